//! The mock Central API that plexd is tested against.
//!
//! It answers every call that an agent makes, counts it per node, keeps its last body, and tells a
//! runner all of that through its test interface. It is lenient about content: a call that reached
//! its endpoint is counted and kept as it came, and judging it is the runner's work.
//!
//! - [`start`] serves in this process, for tests; [`cli`] is the same as a program.
//! - [`view`] has the types of what `/test/assertions…` answers.
//! - [`faults`] has the document of `POST /test/faults`.
//!
//! `GET /test/assertions/stream` sends server-sent events named `assertions`, each one a
//! [`view::Snapshot`]: every node on connect, later those that changed. After `POST /test/reset`
//! the stream ends, since a reconnect starts whole again.

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
