//! The address of a Service, as a pod writes it into a URL.

use reqwest::Url;

/// What a URL says to the cluster's DNS: which Service, in which namespace, at which of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The Service's name.
    pub service: String,
    /// Its namespace; none where the URL leaves it to the pod's own.
    pub namespace: Option<String>,
    /// The Service's port.
    pub port: u16,
}

impl ServiceAddress {
    /// Reads `http(s)://<service>[.<namespace>[.svc[.<domain>]]][:<port>]…`.
    ///
    /// None for every other URL. A host of two labels may also be somebody's on the internet: only the Services that
    /// there are can tell.
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

    /// Whether it means the Service `name` in `namespace`, asked by a pod of that namespace.
    pub fn means(&self, name: &str, namespace: &str) -> bool {
        self.service == name && self.namespace.as_deref().is_none_or(|own| own == namespace)
    }
}
