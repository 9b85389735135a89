//! Ports on loopback. A port is had by binding it, and the listener is never let go in between.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::matrix::PortRange;

/// No port could be bound.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every port of the range is taken.
    #[error("no port of {first}-{last} is free on 127.0.0.1")]
    AllTaken {
        /// The range's first port.
        first: u16,
        /// The range's last port.
        last: u16,
    },
    /// The kernel refused.
    #[error("failed to bind a port on 127.0.0.1")]
    Bind(#[source] io::Error),
}

/// Binds the first free port of `range`.
pub fn bind(range: &PortRange) -> Result<TcpListener, PortError> {
    match range {
        PortRange::Any => listen(0).map_err(PortError::Bind),
        PortRange::Between(ports) => {
            for port in ports.clone() {
                match listen(port) {
                    Ok(listener) => return Ok(listener),
                    Err(error) if is_taken(&error) => {}
                    Err(error) => return Err(PortError::Bind(error)),
                }
            }
            Err(PortError::AllTaken {
                first: *ports.start(),
                last: *ports.end(),
            })
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Somebody else's, or not for us: the next port may still do.
fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_and_a_taken_range_says_so() {
        let taken = bind(&PortRange::Any).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind(&PortRange::Between(port..=port)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("no port of {port}-{port} is free on 127.0.0.1")
        );
    }
}
