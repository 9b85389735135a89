//! Ports on loopback. A port is reserved by binding it, and the listener stays open until the port is in use.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};
use procfs::{ProcError, ProcResult};

use super::{HostResource, Ledger, LedgerError};
use crate::matrix::PortRange;

/// A port can't be reserved.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Every port of the range is taken.
    #[error("no port in {first}-{last} is free on 127.0.0.1")]
    AllTaken {
        /// The range's first port.
        first: u16,
        /// The range's last port.
        last: u16,
    },
    /// The kernel could not bind the port.
    #[error("failed to bind a port on 127.0.0.1")]
    Bind(#[source] io::Error),
    /// The ledger can't be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Binds the first free port of `range`.
pub fn bind(range: &PortRange) -> Result<TcpListener, PortError> {
    first_free(range, None).map(|(_, listener)| listener)
}

/// Binds the first free port of `range`. Each port is recorded in `ledger` before it is tried, or afterwards if the
/// kernel chooses the port. Returns the port and its listener.
pub fn bind_recorded(range: &PortRange, ledger: &Ledger) -> Result<(u16, TcpListener), PortError> {
    first_free(range, Some(ledger))
}

/// Records that `port` is released, unless this process still listens on it.
pub fn release(port: u16, ledger: &Ledger) -> Result<(), LedgerError> {
    if listens_here(port).unwrap_or(true) {
        return Ok(());
    }
    ledger.gone(&HostResource::Port { port })
}

fn first_free(range: &PortRange, ledger: Option<&Ledger>) -> Result<(u16, TcpListener), PortError> {
    let plan = |port| ledger.map_or(Ok(()), |ledger| ledger.plan(&HostResource::Port { port }));
    match range {
        PortRange::Any => {
            let listener = listen(0).map_err(PortError::Bind)?;
            let port = listener.local_addr().map_err(PortError::Bind)?.port();
            plan(port)?;
            Ok((port, listener))
        }
        PortRange::Between(ports) => {
            for port in ports.clone() {
                plan(port)?;
                match listen(port) {
                    Ok(listener) => return Ok((port, listener)),
                    Err(error) if is_taken(&error) => {
                        ledger.map_or(Ok(()), |ledger| release(port, ledger))?;
                    }
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

/// Whether another process uses the port or this user may not bind it; the next port may still work.
fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

/// Whether this process listens on `port`, according to the kernel. Trying to bind the port would prove nothing,
/// because another process may have taken it in the meantime.
pub fn listens_here(port: u16) -> ProcResult<bool> {
    let process = Process::myself()?;
    let mut sockets = HashSet::new();
    for table in [process.tcp(), process.tcp6()] {
        match table {
            Ok(entries) => sockets.extend(
                entries
                    .iter()
                    .filter(|entry| entry.state == TcpState::Listen)
                    .filter(|entry| entry.local_address.port() == port)
                    .map(|entry| entry.inode),
            ),
            Err(ProcError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    for descriptor in process.fd()? {
        match descriptor.map(|descriptor| descriptor.target) {
            Ok(FDTarget::Socket(inode)) if sockets.contains(&inode) => return Ok(true),
            // If this process can't open another file, it can't read the remaining descriptors.
            Err(error @ ProcError::Io(..)) => return Err(error),
            // A descriptor that was closed in the meantime belongs to no listener.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_belongs_to_this_process_until_it_is_dropped() {
        let listener = bind(&PortRange::Any).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens_here(port).unwrap());
        drop(listener);
        assert!(!listens_here(port).unwrap());
    }

    #[test]
    fn the_ledger_lists_a_port_until_it_is_released() {
        use crate::machine::{Owner, Resource, StateFolder, outstanding};

        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = Ledger::open(&state, Owner::new("abcde", "out")).unwrap();
        let (port, listener) = bind_recorded(&PortRange::Any, &ledger).unwrap();
        let same = PortRange::Between(port..=port);
        bind_recorded(&same, &ledger).unwrap_err();
        release(port, &ledger).unwrap();
        let known = || outstanding(ledger.folder()).unwrap();
        let held = Resource::new(&HostResource::Port { port }).unwrap();
        assert_eq!(known(), [held], "this process holds it all the time");
        drop(listener);
        release(port, &ledger).unwrap();
        assert_eq!(known(), []);
    }

    #[test]
    fn a_taken_port_is_skipped_and_a_range_without_a_free_port_is_an_error() {
        let taken = bind(&PortRange::Any).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind(&PortRange::Between(port..=port)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("no port in {port}-{port} is free on 127.0.0.1")
        );
    }
}
