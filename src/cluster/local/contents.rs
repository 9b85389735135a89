//! The contents of the rendered Secrets and `ConfigMaps`, key by key.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::manifest::{Object, Rendered};

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
}

/// Contents by key. Has no `Debug`: they contain tokens.
pub(super) type Keys = BTreeMap<String, Vec<u8>>;

/// The contents of all Secrets and `ConfigMaps`.
pub(super) struct Contents(HashMap<(Kind, String), Keys>);

impl Contents {
    pub(super) fn of(rendered: &Rendered) -> Self {
        let all = rendered.objects().filter_map(|object| {
            let kind = match object.kind.as_str() {
                "Secret" => Kind::Secret,
                "ConfigMap" => Kind::ConfigMap,
                _ => return None,
            };
            Some(((kind, object.name.clone()), keys(kind, object)))
        });
        Self(all.collect())
    }

    /// The contents of the object `name`.
    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<&Keys> {
        self.0.get(&(kind, name.to_owned()))
    }
}

fn keys(kind: Kind, object: &Object) -> Keys {
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
