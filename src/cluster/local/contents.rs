//! The data of the rendered Secrets and `ConfigMaps`, key by key.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::manifest::Rendered;

pub(super) const SECRET: &str = "Secret";
pub(super) const CONFIG_MAP: &str = "ConfigMap";

/// An object's data by key. Values may be secrets.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// The data of the Secret or ConfigMap `name`; empty if it doesn't exist. Rendering has checked that each object and each
/// key exists unless it is optional or, like the ConfigMap `kube-root-ca.crt`, created by Kubernetes itself.
pub(super) fn data(rendered: &Rendered, kind: &str, name: &str) -> Data {
    let (plain, encoded) = match kind {
        SECRET => ("stringData", "data"),
        _ => ("data", "binaryData"),
    };
    let object = rendered.object(kind, name);
    let table = |field: &str| {
        let table = object.and_then(|object| object.value.get(field)?.as_object());
        let pairs = table.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?)))
    };
    let decoded = table(encoded).filter_map(|(key, text)| Some((key, STANDARD.decode(text).ok()?)));
    let written = table(plain).map(|(key, text)| (key, text.as_bytes().to_vec()));
    // As in an API server, plain text takes precedence.
    decoded.chain(written).collect()
}
