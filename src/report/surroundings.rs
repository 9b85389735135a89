//! What the console may do: whether a person watches, in colour, and how wide.
//!
//! The only thing outside of the records that any report depends on, and only the console does.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

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
    /// A person watches a terminal whose lines can be redrawn.
    pub is_watched: bool,
    /// `NO_COLOR` is set.
    pub no_color: bool,
    /// Its columns; none if it is no terminal, or does not tell.
    pub width: Option<usize>,
}

impl Surroundings {
    /// Looks at `stream` and at the environment.
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

    /// Whether to write in colour.
    pub const fn color(self, choice: ColorChoice) -> bool {
        match choice {
            ColorChoice::Auto => self.is_watched && !self.no_color,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// A dumb terminal can't move its cursor, and a CI server keeps what it is shown as lines.
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
    fn colour_is_for_those_who_watch_and_do_not_mind() {
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
    fn what_is_no_terminal_is_not_watched_and_has_no_width() {
        let file = tempfile::tempfile().unwrap();
        let surroundings = Surroundings::of(&file);
        assert!(!surroundings.is_watched);
        assert_eq!(surroundings.width, None);
    }
}
