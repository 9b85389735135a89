//! How commands print their output.

use clap::Args;

use super::choice::{Choice, one_of};
use crate::report::ColorChoice;

/// The options of all commands that print.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(in crate::cli) struct OutputOptions {
    /// When to use color: auto, always or never
    #[arg(
        long,
        env = "E2E_MATRIX_COLOR",
        value_name = "WHEN",
        default_value = "auto",
        value_parser = one_of(&COLORS)
    )]
    pub(in crate::cli) color: ColorChoice,
}

/// When to use color.
const COLORS: [Choice<ColorChoice>; 3] = [
    (
        "auto",
        ColorChoice::Auto,
        "On a terminal, unless `NO_COLOR` is set",
    ),
    ("always", ColorChoice::Always, "Always"),
    ("never", ColorChoice::Never, "Never"),
];
