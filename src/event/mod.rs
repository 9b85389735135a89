//! What happens in a run, as serialisable, versioned events: the runner says them, the reports read them.
//!
//! Nothing here runs anything or formats anything. Every report is a function of the recorded events alone,
//! so whatever a report shows has to be in here.

mod emitter;
mod failure;
mod outcome;
mod record;
mod schema;

pub use crate::matrix::FlakyResult;
pub use emitter::{Emitter, Said, Stamped};
pub use failure::{Evidence, Failure, FailureClass, LikelyCause, LogExcerpt, Symptom};
pub use outcome::{
    CellEnd, CellVerdict, CounterTable, Execution, NodeCounters, PhaseResult, PhaseStatus,
    RunVerdict, Termination,
};
pub use record::{
    AxisFacts, CellFacts, CellSummary, CommandFacts, Event, HostFacts, MachineLoad, PartFacts,
    Record, RunFacts, SessionFacts, Severity, ShardFacts, Step, VERSION,
};
pub use schema::schema;
