//! The host: where state lives, what was made on it, its ports, its processes, its size.
//!
//! Nothing here knows of Kubernetes or of phases.

mod ledger;
pub mod load;
mod lock;
pub mod ports;
pub mod probe;
pub mod process;
mod state;

pub use ledger::{Ledger, LedgerEntry, LedgerError, Resource, is_dead, outstanding};
pub use lock::{Lock, LockError};
pub use state::{StateFolder, absolute, private_folder};
