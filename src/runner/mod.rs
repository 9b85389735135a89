//! A run: admission of cells, the life of each cell, signals, and the verdict.
//!
//! This module never prints and never formats: it emits events, and the sinks do the rest. Nothing flows back to it
//! except cancellation.

mod admission;
mod cell_task;
mod dispatch;
mod explain;
mod facts;
mod folder;
mod gc;
mod generated;
mod leftovers;
mod manifest_files;
mod order;
mod plan;
mod policy;
mod prepare;
mod provider;
mod queue;
mod request;
mod resume;
mod retry;
mod run;
mod session;
mod setup;
mod signals;

use plan::{Planner, Renderer};
use request::RunRequest;
use resume::Earlier;
use run::run;

pub use explain::{Explanation, Setting, explain};
pub use folder::{FolderError, PARTS, RunFolder};
pub use gc::{GcOptions, GcOutcome, GcRow, gc};
pub use plan::PlanError;
pub use policy::RunPolicy;
pub use prepare::{Prepared, PreparedCell, prepare_clusters};
pub use request::{RunOutcome, Selection};
pub use resume::{ResumeError, Resumption};
pub use session::{LiveSinks, PartId, Session, SessionError, execute, prepare};
pub use setup::{Workload, base, out};
pub use signals::handle_signals;
