//! What the console may do: whether a person watches, in colour, and how wide.
//!
//! The only thing outside of the records that any report depends on, and only the console does.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// The width of what is no terminal, or does not tell: the shipped matrix fits.
const DEFAULT_WIDTH: usize = 100;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// Where a person watches and does not mind.
    #[default]
    Auto,
    /// Even into a file.
    Always,
    /// Not at all.
    Never,
}

/// What is known of a stream and of who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// It is a terminal.
    pub is_terminal: bool,
    /// `TERM=dumb`: it can't move its cursor.
    pub is_dumb: bool,
    /// `CI` is set: what it shows is kept as lines.
    pub is_ci: bool,
    /// `NO_COLOR` is set.
    pub no_color: bool,
    /// Its columns.
    pub width: usize,
}

impl Surroundings {
    /// Looks at `stream` and at the environment.
    pub fn of(stream: &(impl AsFd + IsTerminal)) -> Self {
        Self {
            is_terminal: stream.is_terminal(),
            is_dumb: env::var_os("TERM").is_some_and(|term| term == "dumb"),
            is_ci: env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false"),
            no_color: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            width: width(stream),
        }
    }

    /// Whether to write in colour.
    pub const fn color(self, choice: ColorChoice) -> bool {
        match choice {
            ColorChoice::Auto => self.is_terminal && !self.is_dumb && !self.no_color,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }

    /// Whether lines may be redrawn.
    pub const fn redraws(self) -> bool {
        self.is_terminal && !self.is_dumb && !self.is_ci
    }
}

fn width(stream: &impl AsFd) -> usize {
    let columns = rustix::termios::tcgetwinsize(stream).map_or(0, |size| size.ws_col);
    match columns {
        0 => DEFAULT_WIDTH,
        columns => columns.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Surroundings = Surroundings {
        is_terminal: true,
        is_dumb: false,
        is_ci: false,
        no_color: false,
        width: 80,
    };

    #[test]
    fn only_a_person_at_a_real_terminal_gets_redrawn_lines() {
        for (surroundings, redraws, color) in [
            (TERMINAL, true, true),
            (
                Surroundings {
                    is_dumb: true,
                    ..TERMINAL
                },
                false,
                false,
            ),
            (
                Surroundings {
                    is_ci: true,
                    ..TERMINAL
                },
                false,
                true,
            ),
            (
                Surroundings {
                    no_color: true,
                    ..TERMINAL
                },
                true,
                false,
            ),
            (
                Surroundings {
                    is_terminal: false,
                    ..TERMINAL
                },
                false,
                false,
            ),
        ] {
            assert_eq!(surroundings.redraws(), redraws, "{surroundings:?}");
            assert_eq!(
                surroundings.color(ColorChoice::Auto),
                color,
                "{surroundings:?}"
            );
            assert!(surroundings.color(ColorChoice::Always));
            assert!(!surroundings.color(ColorChoice::Never));
        }
    }

    #[test]
    fn what_is_no_terminal_has_the_default_width() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Surroundings::of(&file).width, DEFAULT_WIDTH);
    }
}
