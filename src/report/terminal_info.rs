//! The capabilities of the terminal: whether it is interactive, whether it shows colors, and how wide it is.
//!
//! Only the console depends on these capabilities. All other reports depend only on events.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// The properties of an output stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalInfo {
    /// Whether the stream is a terminal that can redraw lines, outside of CI.
    pub is_interactive: bool,
    /// Whether `NO_COLOR` is set.
    pub no_color: bool,
    /// The number of columns; `None` if the stream isn't a terminal, or if the terminal doesn't report its width.
    pub width: Option<usize>,
}

impl TerminalInfo {
    /// Inspects `stream` and the environment.
    pub fn of(stream: &(impl AsFd + IsTerminal)) -> Self {
        let environment = |name| env::var_os(name).and_then(|value| value.into_string().ok());
        let term = environment("TERM");
        let ci = environment("CI");
        let size = rustix::termios::tcgetwinsize(stream).ok();
        let size = size.filter(|size| size.ws_col > 0);
        Self {
            is_interactive: stream.is_terminal() && is_interactive(term.as_deref(), ci.as_deref()),
            no_color: environment("NO_COLOR").is_some_and(|value| !value.is_empty()),
            width: size.map(|size| size.ws_col.into()),
        }
    }

    /// Whether to use colors, unless the user decides.
    pub const fn shows_color(self) -> bool {
        self.is_interactive && !self.no_color
    }
}

/// Whether the environment allows redrawing: a dumb terminal can't move its cursor, and a CI server stores lines.
fn is_interactive(term: Option<&str>, ci: Option<&str>) -> bool {
    term != Some("dumb") && matches!(ci, None | Some("" | "false" | "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumb_terminals_and_ci_are_not_interactive() {
        assert!(is_interactive(Some("xterm"), None));
        assert!(is_interactive(None, Some("false")));
        assert!(!is_interactive(Some("dumb"), None));
        assert!(!is_interactive(Some("xterm"), Some("true")));
    }

    #[test]
    fn colors_are_used_on_an_interactive_terminal_without_no_color() {
        for (is_interactive, no_color, shows_color) in [
            (true, false, true),
            (true, true, false),
            (false, false, false),
        ] {
            let terminal = TerminalInfo {
                is_interactive,
                no_color,
                width: None,
            };
            assert_eq!(terminal.shows_color(), shows_color);
        }
    }

    #[test]
    fn a_file_is_not_interactive_and_has_no_width() {
        let file = tempfile::tempfile().unwrap();
        let terminal = TerminalInfo::of(&file);
        assert!(!terminal.is_interactive);
        assert_eq!(terminal.width, None);
    }
}
