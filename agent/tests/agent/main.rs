//! The agent as a process, against a mock Central API in the test's own process.

mod faults;
mod lifecycle;
mod plexd;
mod stage;
mod usage;
