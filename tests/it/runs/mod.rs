//! Whole runs of the real binary on the local provider: what they print, their exit codes, and what they leave behind.

mod agent_exits;
mod axes;
mod budget;
mod commands;
mod continued;
mod deployed;
mod expectations;
mod faults;
mod foreign_record;
mod full_disk;
mod interruption;
mod keep;
pub(crate) mod labels;
mod mixed;
mod plain_mock;
mod recorded;
mod repetitions;
mod retries;
mod scale;
mod scripted;
mod secrets;
mod why;
