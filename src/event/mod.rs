//! Everything that happens in a run, as versioned, serializable events. The runner emits them, and the reports read
//! them.
//!
//! This module runs nothing and formats nothing. Every report is a function of the recorded events, so everything that
//! a report shows has to be part of an event.

mod emitter;
mod failure;
mod outcome;
mod record;
mod texts;

pub use crate::matrix::FlakyResult;
pub use emitter::{Emitter, Message, Stamped};
pub use failure::{Evidence, Failure, FailureClass, LikelyCause, LogExcerpt, Symptom};
pub use outcome::{
    CellEnd, CellVerdict, CounterTable, Execution, NodeCounters, PhaseResult, PhaseStatus,
    RunVerdict, Termination,
};
pub use record::{
    AxisFacts, CellFacts, CellSummary, CommandFacts, Event, HostFacts, MachineLoad, PartFacts,
    Record, RunFacts, SessionFacts, Severity, ShardFacts, Step, VERSION, schema,
};
