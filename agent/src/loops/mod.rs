//! What the agent does over and over once it is registered, one file a loop. Each is dropped at the stop: none of them
//! holds anything that would be lost.

pub(crate) mod capabilities;
pub(crate) mod events;
pub(crate) mod heartbeat;
pub(crate) mod state;
