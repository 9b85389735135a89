//! The matrix: the meaning of `matrix.toml` as validated types, and the cells that it expands to.
//!
//! This module is pure: no I/O and no clock. The same text always gives the same cells in the same order.

mod axis;
mod cell;
mod checks;
mod command;
mod counter;
mod duration;
mod environment;
mod filter;
#[cfg(test)]
mod fuzz;
mod names;
pub mod nearest;
mod parse;
mod phase;
mod ports;
mod problem;
mod redact;
mod retry;
mod settings;
mod shard;
mod variant;
mod version;

pub use axis::Coordinate;
pub use cell::{Cell, CellId, ConfigName, NodeCount};
pub use checks::{BodyCheck, Checks, Condition, JsonType, Pattern, Pointer, PointerError};
pub use command::{CommandName, HostCommand, locate_programs};
pub use counter::Counter;
pub use duration::{AGES, DurationError, RUN_TIMEOUTS, TIMEOUTS, parse_duration};
pub use environment::{FromEnv, Place, TextSource, resolve_variables};
pub use filter::{Filter, FilterProblems, select};
pub use names::NameError;
pub(crate) use names::{named, text_types};
pub use parse::reference;
pub use phase::{Phase, PhaseSettings, RestartScope};
pub use ports::{PortRange, PortRangeError};
pub use problem::{Problem, Problems};
pub use retry::{FlakyResult, MAX_BACKOFF, MAX_RETRIES, RetryClass, RetrySettings};
pub use settings::{
    Build, Deploy, Existing, ImageSource, Images, Jobs, Keep, Manifests, Matrix, Prefix,
    PrefixError, Prepared, ProviderChoice, RunSettings, SystemUnderTest,
};
pub use shard::{Estimates, MAX_SHARDS, Shard, ShardError, Timings, short_hash};
pub use variant::{AgentProgram, Expectation, Expectations, Layer, Variant, merge};
pub use version::{KubernetesVersion, VersionError};
