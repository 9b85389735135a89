//! The agent's configuration file: parsed and checked once, with the contract's defaults.
//!
//! An unknown key is reported with its path and otherwise ignored, because a real agent has more keys. This module
//! reads the file and does no other I/O.

mod endpoint;
mod interval;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::root;

pub(crate) use endpoint::Endpoint;
pub(crate) use interval::Interval;

/// The default folder for the agent's state.
const DEFAULT_DATA_DIR: &str = "/var/lib/plexd";

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    /// The Central API.
    pub(crate) api: Api,
    /// Identity and registration.
    #[serde(default)]
    pub(crate) registration: Registration,
    /// The node's own API.
    #[serde(default)]
    pub(crate) node_api: NodeApi,
    /// The heartbeat loop.
    #[serde(default)]
    pub(crate) heartbeat: Heartbeat,
    /// The metrics stream.
    #[serde(default)]
    pub(crate) metrics: Stream,
    /// The log stream.
    #[serde(default)]
    pub(crate) log_fwd: Stream,
    /// The audit stream.
    #[serde(default)]
    pub(crate) audit_fwd: Stream,
}

/// The Central API.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Api {
    /// The API's address. If it has a path, that path is a prefix of every call's path.
    pub(crate) base_url: Endpoint,
    /// Whether to accept any certificate.
    #[serde(default)]
    pub(crate) tls_insecure_skip_verify: bool,
}

/// Identity and registration.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Registration {
    /// The folder for the identity.
    pub(crate) data_dir: PathBuf,
    /// A file with the bootstrap token, used if the environment has none.
    pub(crate) token_file: Option<PathBuf>,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            data_dir: DEFAULT_DATA_DIR.into(),
            token_file: None,
        }
    }
}

/// The node's own API. The reference agent doesn't serve this API but, like the real agent, needs its folder if one is
/// configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeApi {
    /// The folder. If it is set, it must be usable.
    pub(crate) data_dir: Option<PathBuf>,
}

/// The heartbeat loop.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Heartbeat {
    /// The node id in the body. The path always contains the registered id, because all nodes share this file.
    pub(crate) node_id: Option<String>,
    /// The time between heartbeats.
    pub(crate) interval: Interval,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            node_id: None,
            interval: Interval::new(Duration::from_secs(5)),
        }
    }
}

/// One of the three streams of entries.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    /// The time between collections.
    pub(crate) collect_interval: Interval,
    /// The time between reports, to the Central API and to the local endpoint.
    pub(crate) report_interval: Interval,
    /// The local endpoint. Without it, entries go only to the Central API.
    pub(crate) local_endpoint: Option<LocalEndpoint>,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            collect_interval: Interval::new(Duration::from_secs(2)),
            report_interval: Interval::new(Duration::from_secs(4)),
            local_endpoint: None,
        }
    }
}

/// A stream's local endpoint.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LocalEndpoint {
    /// The address to post to.
    pub(crate) url: Endpoint,
    /// The name of the secret that contains the bearer token.
    pub(crate) secret_key: String,
    /// Whether to accept any certificate.
    #[serde(default)]
    pub(crate) tls_insecure_skip_verify: bool,
}

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("cannot read configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file's content is invalid.
    #[error("configuration {path} is not valid")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The position and the reason.
        source: Box<serde_saphyr::Error>,
    },
}

/// A configuration, and the paths of ignored keys, such as `api.retries`.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration.
    pub(crate) config: Config,
    /// The ignored keys.
    pub(crate) unknown: Vec<String>,
}

/// Reads and checks a file.
pub(crate) fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let text = std::fs::read_to_string(root::below(path)).map_err(|source| ConfigError::Read {
        path: path.into(),
        source,
    })?;
    let mut loaded = parse(&text).map_err(|source| ConfigError::Invalid {
        path: path.into(),
        source: Box::new(source),
    })?;
    let Registration {
        data_dir,
        token_file,
    } = &mut loaded.config.registration;
    let paths = [data_dir].into_iter().chain(token_file);
    for path in paths.chain(&mut loaded.config.node_api.data_dir) {
        *path = root::below(path);
    }
    Ok(loaded)
}

fn parse(text: &str) -> Result<Loaded, serde_saphyr::Error> {
    let mut unknown = Vec::new();
    let config = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_ignored::deserialize(deserializer, |path| unknown.push(path.to_string()))
    })?;
    Ok(Loaded { config, unknown })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The configuration from the test script of plexd.
    const FROM_TEST_SCRIPT: &str = "\
api:
  base_url: http://mock-api.plexd-e2e:8080
registration:
  data_dir: /var/lib/plexd
node_api:
  data_dir: /var/lib/plexd
heartbeat:
  node_id: e2e-k8s-node
metrics:
  local_endpoint:
    url: https://mock-api.plexd-e2e:8443/local/metrics
    secret_key: local-bearer-token
    tls_insecure_skip_verify: true
log_fwd:
  local_endpoint:
    url: https://mock-api.plexd-e2e:8443/local/logs
    secret_key: local-bearer-token
    tls_insecure_skip_verify: true
audit_fwd:
  local_endpoint:
    url: https://mock-api.plexd-e2e:8443/local/audit
    secret_key: local-bearer-token
    tls_insecure_skip_verify: true
";

    #[test]
    fn the_configuration_from_plexds_test_script_is_valid() {
        let Loaded { config, unknown } = parse(FROM_TEST_SCRIPT).unwrap();
        assert_eq!(unknown, Vec::<String>::new());
        assert_eq!(
            config.api.base_url.to_string(),
            "http://mock-api.plexd-e2e:8080/"
        );
        assert_eq!(config.heartbeat.node_id.as_deref(), Some("e2e-k8s-node"));
        assert_eq!(config.heartbeat.interval.get(), Duration::from_secs(5));
        for (stream, name) in [
            (config.metrics, "metrics"),
            (config.log_fwd, "logs"),
            (config.audit_fwd, "audit"),
        ] {
            assert_eq!(stream.collect_interval.get(), Duration::from_secs(2));
            assert_eq!(stream.report_interval.get(), Duration::from_secs(4));
            let local = stream.local_endpoint.unwrap();
            assert!(local.url.to_string().ends_with(&format!("/local/{name}")));
            assert_eq!(local.secret_key, "local-bearer-token");
            assert!(local.tls_insecure_skip_verify);
        }
    }

    #[test]
    fn only_the_base_url_is_required() {
        let config = parse("api: {base_url: 'http://127.0.0.1:1'}")
            .unwrap()
            .config;
        assert_eq!(config.registration.data_dir, Path::new(DEFAULT_DATA_DIR));
        assert!(config.metrics.local_endpoint.is_none());
        assert!(!config.api.tls_insecure_skip_verify);
    }

    #[test]
    fn unknown_keys_are_reported_with_their_path() {
        let text = "{api: {base_url: 'http://a', retries: 3}, mesh: {port: 51820}, metrics: {local_endpoint: {url: \
                    'https://b', secret_key: c, ca: d}}}";
        assert_eq!(
            parse(text).unwrap().unknown,
            ["api.retries", "mesh", "metrics.local_endpoint.?.ca"]
        );
    }

    #[test]
    fn invalid_configurations_are_rejected() {
        for text in [
            "",
            "{}",
            "api: {base_url: 3}",
            "api: {base_url: 'ftp://a'}",
            "api: {base_url: 'mock-api:8080'}",
            "{api: {base_url: 'http://a'}, heartbeat: {interval: 0s}}",
            "{api: {base_url: 'http://a'}, metrics: {local_endpoint: {url: 'https://b'}}}",
            "api: [",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
