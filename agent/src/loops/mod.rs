//! The loops that the agent runs after its registration, one per file. They are dropped when the process stops, because
//! none of them has data that could be lost.

pub(crate) mod capabilities;
pub(crate) mod events;
pub(crate) mod heartbeat;
pub(crate) mod state;
