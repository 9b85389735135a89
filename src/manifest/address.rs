//! The address of a Service in a URL that a pod uses.

use reqwest::Url;

/// The Service that a URL refers to in the cluster's DNS: its name, its namespace and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The Service's name.
    pub service: String,
    /// The Service's namespace; `None` if the URL doesn't name one, so that it refers to the pod's own namespace.
    pub namespace: Option<String>,
    /// The Service's port.
    pub port: u16,
}

impl ServiceAddress {
    /// Reads `http(s)://<service>[.<namespace>[.svc[.<domain>]]][:<port>]…`.
    ///
    /// Returns `None` for any other URL, such as one with a variable as its host: `http://${NODE_IP}`. A host with two
    /// labels may also be a host on the internet, depending on which Services exist.
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let is_in_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.');
        let host = url.domain().filter(|host| host.chars().all(is_in_name))?;
        let mut labels = host.split('.');
        let service = labels.next().filter(|label| *label != "localhost")?;
        let namespace = labels.next().map(str::to_owned);
        if labels.next().is_some_and(|label| label != "svc") {
            return None;
        }
        Some(Self {
            service: service.to_owned(),
            namespace,
            port: url.port_or_known_default()?,
        })
    }

    /// Whether the address refers to the Service `name` in `namespace` when a pod in that namespace uses it.
    pub fn means(&self, name: &str, namespace: &str) -> bool {
        self.service == name && self.namespace.as_deref().is_none_or(|own| own == namespace)
    }
}
