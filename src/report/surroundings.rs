//! The capabilities of the console: whether a person watches, colors, and width.
//!
//! Only the console depends on this; all other reports depend only on events.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// If a person watches and `NO_COLOR` isn't set.
    #[default]
    Auto,
    /// Always, even in a file.
    Always,
    /// Never.
    Never,
}

/// What is known of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether it is a terminal with redrawable lines that a person watches.
    pub is_watched: bool,
    /// Whether `NO_COLOR` is set.
    pub no_color: bool,
    /// The number of columns; `None` if it isn't a terminal or doesn't report it.
    pub width: Option<usize>,
}

impl Surroundings {
    /// Inspects `stream` and the environment.
    pub fn of(stream: &(impl AsFd + IsTerminal)) -> Self {
        let environment = |name| env::var_os(name).and_then(|value| value.into_string().ok());
        let term = environment("TERM");
        let ci = environment("CI");
        Self {
            is_watched: stream.is_terminal() && is_watched(term.as_deref(), ci.as_deref()),
            no_color: environment("NO_COLOR").is_some_and(|value| !value.is_empty()),
            width: width(stream),
        }
    }

    /// Whether to use colors.
    pub const fn color(self, choice: ColorChoice) -> bool {
        match choice {
            ColorChoice::Auto => self.is_watched && !self.no_color,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// A dumb terminal can't move its cursor, and a CI server stores the output as lines.
fn is_watched(term: Option<&str>, ci: Option<&str>) -> bool {
    term != Some("dumb") && matches!(ci, None | Some("" | "false" | "0"))
}

fn width(stream: &impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then(|| size.ws_col.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_person_watches() {
        assert!(is_watched(Some("xterm"), None));
        assert!(is_watched(None, Some("false")));
        assert!(!is_watched(Some("dumb"), None));
        assert!(!is_watched(Some("xterm"), Some("true")));
    }

    #[test]
    fn colors_are_used_on_a_watched_terminal_without_no_color() {
        for (is_watched, no_color, auto) in [
            (true, false, true),
            (true, true, false),
            (false, false, false),
        ] {
            let surroundings = Surroundings {
                is_watched,
                no_color,
                width: None,
            };
            assert_eq!(surroundings.color(ColorChoice::Auto), auto);
            assert!(surroundings.color(ColorChoice::Always));
            assert!(!surroundings.color(ColorChoice::Never));
        }
    }

    #[test]
    fn a_stream_that_is_not_a_terminal_is_not_watched_and_has_no_width() {
        let file = tempfile::tempfile().unwrap();
        let surroundings = Surroundings::of(&file);
        assert!(!surroundings.is_watched);
        assert_eq!(surroundings.width, None);
    }
}
