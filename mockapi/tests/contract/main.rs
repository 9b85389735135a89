//! The wire contract, row by row, against a mock in this process, and once against the program.

#![expect(clippy::unwrap_used, reason = "a test that can't continue has failed")]

mod attribution;
mod central;
mod faults;
mod harness;
mod load;
mod local;
mod program;
mod registration;
mod streams;
mod testing;
