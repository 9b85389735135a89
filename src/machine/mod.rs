//! The host: the state folder, the ledger of created resources, ports, processes, capacity.
//!
//! This module knows nothing about Kubernetes, Docker or phases.

pub mod budget;
mod history;
mod ledger;
pub mod load;
mod lock;
mod loopback;
pub mod marked;
pub mod open_files;
pub mod ports;
pub mod probe;
pub mod process;
mod replace;
pub mod sandbox;
mod state;
mod text;
mod untrusted;

pub use history::{History, HistoryError, HistoryFile};
pub use ledger::{
    DeadRun, HostResource, Ledger, LedgerContents, LedgerEntry, LedgerError, Left, LiveClaims,
    Owner, Payload, Resource, folders, is_alive, is_dead, manual_cleanup, outstanding, read_dead,
};
pub use lock::{Lock, LockError, tidy};
pub use loopback::{Loopback, LoopbackError};
pub(crate) use replace::{TEMPORARY, UNFINISHED};
pub use replace::{replace, replace_private};
use state::if_exists;
pub use state::{StateFolder, absolute, private_folder};
pub use text::{check_size, read_text};
pub use untrusted::{create_in, open_in, path_of, remove_tree};
