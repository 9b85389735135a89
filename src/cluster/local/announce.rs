//! Where a program listens, as it says itself on its standard output once it does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listener of one of our programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Listener {
    /// The agent's health endpoints.
    AgentHealth,
    /// The Central API.
    MockHttp,
    /// The local endpoint.
    MockTls,
}

/// The listeners that were announced so far.
pub(super) type Listeners = BTreeMap<Listener, SocketAddr>;

impl Listener {
    const ALL: [Self; 3] = [Self::AgentHealth, Self::MockHttp, Self::MockTls];

    /// The name that stands before the address in the line that announces it.
    pub(super) const fn variable(self) -> &'static str {
        match self {
            Self::AgentHealth => "PLEXD_HEALTH_ADDR",
            Self::MockHttp => "MOCKAPI_ADDR",
            Self::MockTls => "MOCKAPI_TLS_ADDR",
        }
    }

    /// Reads a line such as `MOCKAPI_ADDR=127.0.0.1:40123`.
    pub(super) fn announced(line: &str) -> Option<(Self, SocketAddr)> {
        let (name, address) = line.trim().split_once('=')?;
        let listener = Self::ALL.into_iter().find(|one| one.variable() == name)?;
        Some((listener, reachable(address.parse().ok()?)))
    }
}

/// An address that can be connected to: one that listens everywhere also listens on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_announcements_are_read() {
        for (line, expected) in [
            (
                "MOCKAPI_ADDR=127.0.0.1:1\n",
                Some((Listener::MockHttp, "127.0.0.1:1")),
            ),
            (
                "MOCKAPI_TLS_ADDR=0.0.0.0:2",
                Some((Listener::MockTls, "127.0.0.1:2")),
            ),
            (
                "PLEXD_HEALTH_ADDR=[::]:3",
                Some((Listener::AgentHealth, "[::1]:3")),
            ),
            ("PLEXD_HEALTH_ADDR=:9100", None),
            ("INFO listening on 127.0.0.1:1", None),
        ] {
            let expected = expected.map(|(one, address)| (one, address.parse().unwrap()));
            assert_eq!(Listener::announced(line), expected, "{line}");
        }
    }
}
