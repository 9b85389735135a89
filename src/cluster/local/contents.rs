//! The data of the rendered Secrets and `ConfigMaps`, key by key.

use std::collections::BTreeMap;
use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::failure;
use crate::event::Failure;
use crate::manifest::{Object, Rendered};

pub(super) const SECRET: &str = "Secret";
pub(super) const CONFIG_MAP: &str = "ConfigMap";

/// An object's data by key. Values may be secrets.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// The data of the Secret or ConfigMap `name`. Fails if it doesn't exist and isn't optional.
pub(super) fn data(
    rendered: &Rendered,
    kind: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<Data>, Failure> {
    required(rendered.object(kind, name).map(decoded), optional, name)
}

/// The value of a key of the Secret or ConfigMap `name`. Fails if the object or the key doesn't exist and isn't
/// optional.
pub(super) fn value(
    rendered: &Rendered,
    kind: &str,
    name: &str,
    key: &str,
    optional: Option<bool>,
) -> Result<Option<Vec<u8>>, Failure> {
    let object = rendered.object(kind, name);
    let value = object.and_then(|object| decoded(object).remove(key));
    required(value, optional, format_args!("key {key} of {name}"))
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

fn decoded(object: &Object) -> Data {
    let (plain, encoded) = match object.kind.as_str() {
        SECRET => ("stringData", "data"),
        _ => ("data", "binaryData"),
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
