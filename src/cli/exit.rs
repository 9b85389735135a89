//! The exit codes: one table, from which the documentation is generated.

use std::process::ExitCode;

use crate::event::{FailureClass, RunVerdict, Termination};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All cells passed.
    Passed = 0,
    /// A product failure.
    Product = 1,
    /// A configuration failure.
    Configuration = 2,
    /// An infrastructure failure.
    Infrastructure = 3,
    /// Nothing to do.
    NothingToDo = 4,
    /// A bug in the runner.
    RunnerBug = 101,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// All exit codes in order of precedence, each with the case that it is used for.
    pub const TABLE: [(Self, &'static str); 8] = [
        (
            Self::Interrupted,
            "interrupted by SIGINT (Ctrl-C): reports are written and everything is cleaned up; \
             a second signal skips the cleanup and prints the `gc` command that deletes the remaining resources",
        ),
        (
            Self::Terminated,
            "ended by SIGTERM or a closed terminal, with the same cleanup",
        ),
        (
            Self::Product,
            "a cell has a failure of class product: the agent violated the contract; \
             or a cell passed only on a retry, with `--flaky-result fail`",
        ),
        (
            Self::Configuration,
            "a file, an option or a filter can't be used, a filter's term matches nothing in the matrix, \
             or a cell has a failure of class configuration",
        ),
        (
            Self::Infrastructure,
            "Docker, kind or a node image is missing, no port is free, the output folder can't be written, \
             a cell has a failure of class infrastructure, `--run-timeout` cut off a cell, a merged run ended early or lacks a shard, or `gc` couldn't delete something or read an entry of a dead run",
        ),
        (
            Self::NothingToDo,
            "there is nothing to do: a valid filter selects no cells, a shard is empty, the matrix has no cells, or all cells are skipped (`--no-cells pass` turns this into 0)",
        ),
        (
            Self::RunnerBug,
            "the runner itself has a bug; please report it",
        ),
        (
            Self::Passed,
            "every selected cell passed, was skipped, or is allowed to fail; cells that passed on a retry count as passed by default",
        ),
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<FailureClass> for Exit {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Product => Self::Product,
            FailureClass::Configuration => Self::Configuration,
            FailureClass::Infrastructure => Self::Infrastructure,
        }
    }
}

impl From<RunVerdict> for Exit {
    fn from(verdict: RunVerdict) -> Self {
        match verdict {
            RunVerdict::Interrupted { by } => match by {
                Termination::Interrupt => Self::Interrupted,
                Termination::Terminate => Self::Terminated,
                Termination::RunTimeout => Self::Infrastructure,
            },
            RunVerdict::RunnerBug => Self::RunnerBug,
            RunVerdict::ProductFailure | RunVerdict::FlakyFailure => Self::Product,
            RunVerdict::ConfigurationFailure => Self::Configuration,
            RunVerdict::InfrastructureFailure => Self::Infrastructure,
            RunVerdict::NothingToDo => Self::NothingToDo,
            RunVerdict::Passed => Self::Passed,
        }
    }
}
