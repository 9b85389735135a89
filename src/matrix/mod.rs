//! The matrix: what `matrix.toml` means, as validated types, and the cells that it expands to.
//!
//! Pure: no IO and no clock. The same text gives the same cells in the same order, always.

mod cell;
mod counter;
mod phase;
mod settings;
mod variant;
mod version;

pub use cell::{Cell, CellId, ConfigName, NodeCount};
pub use counter::Counter;
pub use phase::{Phase, PhaseSettings, RestartScope};
pub use settings::{
    Build, Deploy, ImageSource, Images, Jobs, Matrix, PortRange, Prefix, ProviderChoice,
    RunSettings, SystemUnderTest,
};
pub use variant::{Expectation, Expectations, Variant};
pub use version::KubernetesVersion;
