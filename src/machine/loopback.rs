//! Blocks of loopback addresses. A process reserves a block by binding an abstract socket name, which the kernel gives
//! to one process at a time and frees when that process ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The number of addresses in a block: more than a cell has nodes.
const SIZE: u32 = 1 << 13;
/// The number of blocks. The first one starts at 127.1.0.0, because lower addresses are commonly used.
const BLOCKS: u32 = (255 << 16) / SIZE;
/// How many blocks to try.
const ATTEMPTS: usize = 100;

/// Why no block can be reserved.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    /// A process listens on all addresses.
    #[error("port {0} is taken on every loopback address")]
    Taken(u16),
    /// All tried blocks are reserved by other processes.
    #[error("no loopback address is free")]
    NoneFree,
    /// The kernel returned an error.
    #[error("failed to use a loopback address")]
    Io(#[from] io::Error),
}

/// A block of loopback addresses that no other process on this machine uses, until it is dropped.
#[derive(Debug)]
pub struct Loopback {
    first: u32,
    _name: UnixDatagram,
}

impl Loopback {
    /// Reserves a block in which no process listens on the ports in `free`. Each item is the index of an address in the
    /// block, and a port on that address.
    pub fn take(free: &[(u16, u16)]) -> Result<Self, LoopbackError> {
        let mut reason = LoopbackError::NoneFree;
        for _ in 0..ATTEMPTS {
            let Some(block) = Self::block(rand::random_range(0..BLOCKS))? else {
                continue;
            };
            match block.first_taken(free)? {
                None => return Ok(block),
                // A dead run may have left a process there, so another block is tried.
                Some(port) => reason = LoopbackError::Taken(port),
            }
        }
        Err(reason)
    }

    /// Reserves the block with this number; `None` if another process has it. Each network namespace has its own blocks
    /// and names.
    fn block(number: u32) -> io::Result<Option<Self>> {
        let first = u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number * SIZE;
        let name = format!("e2e-matrix/{}", Ipv4Addr::from(first));
        match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(name) => Ok(Some(Self { first, _name: name })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn first_taken(&self, free: &[(u16, u16)]) -> io::Result<Option<u16>> {
        for (place, port) in free {
            match TcpListener::bind(SocketAddrV4::new(self.address(*place), *port)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Ok(Some(*port)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The address with the index `place` in the block.
    pub fn address(&self, place: u16) -> Ipv4Addr {
        // The block's first address is never used: it ends in 0, which some programs treat as the address of a network.
        Ipv4Addr::from(self.first + 1 + u32::from(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_reserved_only_once() {
        let block = Loopback::block(1).unwrap().unwrap();
        assert_eq!(block.address(0), Ipv4Addr::new(127, 1, 32, 1));
        assert!(Loopback::block(1).unwrap().is_none());
        drop(block);
        assert!(Loopback::block(1).unwrap().is_some());
    }

    #[test]
    fn the_error_names_a_port_that_is_taken_in_every_block() {
        let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = everywhere.local_addr().unwrap().port();
        let error = Loopback::take(&[(0, port)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("port {port} is taken on every loopback address")
        );
        drop(everywhere);
        Loopback::take(&[(0, port)]).unwrap();
    }
}
