//! The reference agent: what a plexd node does towards the Central API, and every way in which it can be told to do it
//! wrong.
//!
//! The suite is proven against it: without a [`fault::Fault`] every phase passes, with one exactly that fault's phase
//! fails. It speaks the wire contract and nothing else: no mesh, no tunnels, no policies are put into effect.
//!
//! What flows where: [`cli`] reads configuration and environment and starts the agent; the agent gets an identity,
//! reconciles the state, and runs its loops; the streams (metrics, logs, audit) collect entries into one buffer a side
//! and deliver them.

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
