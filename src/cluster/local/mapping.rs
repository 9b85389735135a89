//! From a pod's world to the machine's: mount paths become folders, a Service's address the mock's real listener.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde_json::Value;

use crate::manifest::ServiceAddress;

/// A port of a Service, and what listens behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServicePort {
    pub(super) service: String,
    pub(super) namespace: String,
    pub(super) port: u16,
    pub(super) listener: SocketAddr,
}

/// What a pod's texts are translated by.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping {
    mounts: Vec<(String, PathBuf)>,
    services: Vec<ServicePort>,
}

impl Mapping {
    pub(super) fn new(services: Vec<ServicePort>) -> Self {
        Self {
            mounts: Vec::new(),
            services,
        }
    }

    /// Makes everything below `path` of the pod mean `folder` of the machine.
    pub(super) fn mount(&mut self, path: &str, folder: PathBuf) {
        self.mounts
            .push((path.trim_end_matches('/').to_owned(), folder));
        // The longest path first: a mount inside a mount hides what is below it.
        self.mounts
            .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    /// Translates a text that is a path or a URL as a whole; any other one stays as it is.
    pub(super) fn text(&self, text: &str) -> String {
        let mapped = self.path(text).or_else(|| self.url(text));
        mapped.unwrap_or_else(|| text.to_owned())
    }

    /// Translates an argument: also what follows the `=` of `--option=value`.
    pub(super) fn argument(&self, argument: &str) -> String {
        match argument.split_once('=') {
            Some((option, value)) if option.starts_with('-') => {
                format!("{option}={}", self.text(value))
            }
            _ => self.text(argument),
        }
    }

    /// Translates every text of a configuration.
    pub(super) fn value(&self, value: &mut Value) {
        match value {
            Value::Object(table) => table.values_mut().for_each(|value| self.value(value)),
            Value::Array(list) => list.iter_mut().for_each(|value| self.value(value)),
            Value::String(text) => *text = self.text(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn path(&self, text: &str) -> Option<String> {
        let path = Path::new(text);
        let (mount, folder) = self
            .mounts
            .iter()
            .find(|(mount, _)| path.starts_with(mount))?;
        let below = path.strip_prefix(mount).ok()?;
        let mapped = if below.as_os_str().is_empty() {
            folder.clone()
        } else {
            folder.join(below)
        };
        Some(mapped.to_string_lossy().into_owned())
    }

    /// Puts the listener into the URL's place of host and port, and leaves the rest as it was written.
    fn url(&self, text: &str) -> Option<String> {
        let address = ServiceAddress::of(&Url::parse(text).ok()?)?;
        let port = self.services.iter().find(|port| {
            port.port == address.port && address.means(&port.service, &port.namespace)
        })?;
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Some(format!("{scheme}://{}{}", port.listener, &rest[end..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping() -> Mapping {
        let port = |port, listener| ServicePort {
            service: "mock-api".to_owned(),
            namespace: "plexd-e2e".to_owned(),
            port,
            listener: SocketAddr::from(([127, 0, 0, 1], listener)),
        };
        let mut mapping = Mapping::new(vec![port(8080, 41_000), port(8443, 42_000)]);
        mapping.mount("/var/lib/plexd", "/run/node/host/var/lib/plexd".into());
        mapping.mount("/etc/plexd/", "/run/node/pod/config".into());
        mapping.mount("/etc/plexd/extra", "/run/node/pod/extra".into());
        mapping
    }

    #[test]
    fn texts_are_translated_as_a_whole() {
        for (text, expected) in [
            ("/etc/plexd/config.yaml", "/run/node/pod/config/config.yaml"),
            ("/etc/plexd/extra/a", "/run/node/pod/extra/a"),
            ("/etc/plexd", "/run/node/pod/config"),
            ("/etc/plexd-other/a", "/etc/plexd-other/a"),
            ("/var/lib/plexd", "/run/node/host/var/lib/plexd"),
            ("see /etc/plexd", "see /etc/plexd"),
            ("http://mock-api.plexd-e2e:8080", "http://127.0.0.1:41000"),
            ("http://mock-api:8080/v1", "http://127.0.0.1:41000/v1"),
            (
                "https://mock-api.plexd-e2e.svc.cluster.local:8443/local/logs?a=b",
                "https://127.0.0.1:42000/local/logs?a=b",
            ),
            ("http://mock-api.other:8080", "http://mock-api.other:8080"),
            ("http://mock-api.plexd-e2e:9", "http://mock-api.plexd-e2e:9"),
            ("http://10.0.0.1:8080", "http://10.0.0.1:8080"),
        ] {
            assert_eq!(mapping().text(text), expected);
        }
    }

    #[test]
    fn arguments_are_translated_behind_their_option() {
        assert_eq!(
            mapping().argument("--config=/etc/plexd/config.yaml"),
            "--config=/run/node/pod/config/config.yaml"
        );
        assert_eq!(mapping().argument("a=/etc/plexd"), "a=/etc/plexd");
    }
}
