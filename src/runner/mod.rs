//! A run: admission of cells, the life of each cell, signals, and the verdict.
//!
//! This room never prints and never formats: it emits events, and the sinks do the rest. Nothing flows back to it but
//! cancellation.

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
mod signals;

use plan::{Planner, Renderer};
use provider::{Chosen, ProviderOptions, choose};
use request::RunRequest;
use resume::Earlier;
use run::run;

pub use explain::{ExplainRequest, Explanation, Setting, explain};
pub use folder::{FolderError, PARTS, RunFolder};
pub use gc::{GcOptions, GcOutcome, GcReport, GcRow, gc};
pub use plan::PlanError;
pub use policy::{RunPolicy, StopAfter};
pub use prepare::{PrepareRequest, Prepared, PreparedCell, prepare_clusters};
pub use provider::ProviderError;
pub use request::{RunOutcome, Selection};
pub use resume::{ResumeError, Resumption};
pub use session::{LiveSinks, PartId, Session, SessionError, base, execute, out, prepare};
pub use signals::handle_signals;
