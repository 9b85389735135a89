//! Listening on addresses in Go's notation.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, lookup_host};

/// Binds `host:port`, or `:port` for all interfaces. Port 0 is any free port.
pub(crate) async fn bind(addr: &str) -> io::Result<TcpListener> {
    match addr.strip_prefix(':') {
        Some(port) => TcpListener::bind(&every_interface(port)?[..]).await,
        None => TcpListener::bind(&lookup_host(addr).await?.collect::<Vec<_>>()[..]).await,
    }
}

/// The addresses to try in turn: IPv6, whose socket also accepts IPv4, and then IPv4 for a machine without IPv6.
fn every_interface(port: &str) -> io::Result<[SocketAddr; 2]> {
    let invalid = |_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the port is not a number up to 65535",
        )
    };
    let port: u16 = port.parse().map_err(invalid)?;
    Ok([
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_in_go_notation_can_be_bound() {
        for addr in [":0", "127.0.0.1:0", "localhost:0"] {
            let listener = bind(addr).await.unwrap();
            assert_ne!(listener.local_addr().unwrap().port(), 0, "{addr}");
        }
    }

    #[tokio::test]
    async fn an_invalid_address_is_an_error() {
        for addr in ["", ":", ":70000", "127.0.0.1", "127.0.0.1:http"] {
            assert!(bind(addr).await.is_err(), "{addr}");
        }
    }
}
