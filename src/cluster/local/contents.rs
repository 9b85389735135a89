//! The data of the rendered Secrets and `ConfigMaps`, key by key.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::failure;
use crate::event::Failure;
use crate::manifest::{Object, Rendered};

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
}

/// An object's data by key. Values may be tokens.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// The data of all Secrets and `ConfigMaps`. Has no `Debug`: it contains tokens.
pub(super) struct Contents(HashMap<(Kind, String), Data>);

impl Contents {
    pub(super) fn of(rendered: &Rendered) -> Self {
        let all = rendered.objects().filter_map(|object| {
            let kind = match object.kind.as_str() {
                "Secret" => Kind::Secret,
                "ConfigMap" => Kind::ConfigMap,
                _ => return None,
            };
            Some(((kind, object.name.clone()), data(kind, object)))
        });
        Self(all.collect())
    }

    /// The data of the object `name`. Fails if it doesn't exist and isn't optional.
    pub(super) fn get(
        &self,
        kind: Kind,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<&Data>, Failure> {
        required(self.0.get(&(kind, name.to_owned())), optional, name)
    }

    /// The value of a key of the object `name`. Fails if either doesn't exist and isn't optional.
    pub(super) fn value(
        &self,
        kind: Kind,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<&Vec<u8>>, Failure> {
        let data = self.0.get(&(kind, name.to_owned()));
        let value = data.and_then(|data| data.get(key));
        required(value, optional, format_args!("key {key} of {name}"))
    }
}

fn required<T>(
    value: Option<T>,
    optional: Option<bool>,
    what: impl Display,
) -> Result<Option<T>, Failure> {
    if value.is_none() && optional != Some(true) {
        return Err(failure::container(format_args!("{what} does not exist")));
    }
    Ok(value)
}

fn data(kind: Kind, object: &Object) -> Data {
    let (plain, encoded) = match kind {
        Kind::Secret => ("stringData", "data"),
        Kind::ConfigMap => ("data", "binaryData"),
    };
    let table = |field: &str| {
        let table = object.value.get(field).and_then(Value::as_object);
        let pairs = table.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?)))
    };
    let decoded = table(encoded).filter_map(|(key, text)| Some((key, STANDARD.decode(text).ok()?)));
    let written = table(plain).map(|(key, text)| (key, text.as_bytes().to_vec()));
    // As in an API server, plain text takes precedence.
    decoded.chain(written).collect()
}
