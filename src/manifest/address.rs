//! The address of a Service in a URL, as a pod writes it.

use reqwest::Url;

/// The meaning of a URL in the cluster's DNS: a Service, its namespace and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The Service's name.
    pub service: String,
    /// Its namespace; `None` if the URL doesn't name one, which means the pod's own.
    pub namespace: Option<String>,
    /// The Service's port.
    pub port: u16,
}

impl ServiceAddress {
    /// Reads `http(s)://<service>[.<namespace>[.svc[.<domain>]]][:<port>]…`.
    ///
    /// `None` for any other URL. A host with two labels may also be a host on the internet, depending on which Services
    /// exist.
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let host = url.host_str()?;
        let is_address = url.domain().is_none();
        let mut labels = host.split('.');
        let service = labels.next().filter(|label| *label != "localhost")?;
        let namespace = labels.next().map(str::to_owned);
        if is_address || labels.next().is_some_and(|label| label != "svc") {
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
