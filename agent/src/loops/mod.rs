//! The agent's loops after its registration, one file each. They are dropped when the process ends, because none of them
//! has data that could be lost.

pub(crate) mod capabilities;
pub(crate) mod events;
pub(crate) mod heartbeat;
pub(crate) mod state;
