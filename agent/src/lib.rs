//! The reference agent: it makes the calls that a plexd node makes to the Central API, and has switchable faults.
//!
//! The agent proves that the suite works: without a [`fault::Fault`], every phase passes; with a fault, only the
//! fault's phase fails. The agent implements only the wire contract: no mesh, no tunnels, no policies.
//!
//! [`cli`] reads the configuration and the environment, and starts the agent. The agent gets an identity, reconciles
//! the state, and runs its loops. The streams (metrics, logs, audit) collect entries in one buffer per destination, and
//! deliver them.

mod agent;
mod api;
pub mod cli;
mod clock;
mod config;
mod dns;
mod environment;
pub mod fault;
mod health;
mod identity;
mod local;
mod logging;
mod loops;
mod registrar;
mod retry;
mod root;
mod secret;
mod shutdown;
mod stream;
mod tls;
mod wire;
