//! An HTTP or HTTPS address.

use std::fmt;

use reqwest::Url;
use serde::Deserialize;

/// An `http://` or `https://` address with a host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Endpoint(Url);

/// A string isn't a valid endpoint.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an http:// or https:// address")]
pub(crate) struct EndpointError(String);

impl Endpoint {
    /// The address of the path `segments` below this endpoint. Each segment is escaped.
    pub(crate) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The address itself.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// Whether the address uses TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(url)),
            Ok(_) | Err(_) => Err(EndpointError(text)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn paths_are_joined_below_a_prefix_with_or_without_a_slash() {
        for (base, expected) in [
            ("http://a:8080", "http://a:8080/v1/ping"),
            ("http://a:8080/", "http://a:8080/v1/ping"),
            ("https://a/prefix", "https://a/prefix/v1/ping"),
            ("https://a/prefix/", "https://a/prefix/v1/ping"),
        ] {
            assert_eq!(endpoint(base).join(&["v1", "ping"]).as_str(), expected);
        }
    }

    #[test]
    fn an_id_cannot_leave_its_segment() {
        assert_eq!(
            endpoint("http://a").join(&["nodes", "x/../y?z"]).as_str(),
            "http://a/nodes/x%2F..%2Fy%3Fz"
        );
    }
}
