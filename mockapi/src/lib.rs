//! The mock Central API that plexd is tested against.
//!
//! It answers every call that an agent makes, counts it per node, keeps the last body, and reports all of this through
//! its test interface. It doesn't check the content of calls: they are counted and kept unchanged, and the runner
//! judges them.
//!
//! - [`start`] serves in the caller's process, for tests; [`cli`] is the program.
//! - [`view`] has the types of the responses of `/test/assertions…`.
//! - [`faults`] has the document of `POST /test/faults`.
//!
//! `GET /test/assertions/stream` sends server-sent events named `assertions`. Each event is a [`view::Snapshot`]: the
//! first one contains all nodes, and later ones contain the nodes that changed. `POST /test/reset` ends the stream,
//! because a new connection starts with all nodes.

mod call;
mod central;
pub mod cli;
mod counter;
mod endpoint;
mod events;
pub mod faults;
mod fixture;
mod identity;
mod listen;
mod local;
mod problem;
mod registry;
mod routes;
mod server;
mod signer;
mod state;
mod testing;
mod tls;
pub mod view;
mod wipe;

pub use endpoint::Endpoint;
pub use server::{Options, Server, StartError, start};
pub use signer::SigningKeyError;
pub use testing::Interface;
pub use tls::CertificateError;
