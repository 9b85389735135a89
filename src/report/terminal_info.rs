//! The capabilities of the terminal: whether it is interactive, whether it shows colors, and how wide it is.
//!
//! Only the console depends on these capabilities. All other reports depend only on events.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// The value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On an interactive terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always, even in a file.
    Always,
    /// Never.
    Never,
}

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
        Self {
            is_interactive: stream.is_terminal() && is_interactive(term.as_deref(), ci.as_deref()),
            no_color: environment("NO_COLOR").is_some_and(|value| !value.is_empty()),
            width: width(stream),
        }
    }

    /// Whether to use colors.
    pub const fn color(self, choice: ColorChoice) -> bool {
        match choice {
            ColorChoice::Auto => self.is_interactive && !self.no_color,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// Whether the environment allows redrawing: a dumb terminal can't move its cursor, and a CI server stores lines.
fn is_interactive(term: Option<&str>, ci: Option<&str>) -> bool {
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
    fn dumb_terminals_and_ci_are_not_interactive() {
        assert!(is_interactive(Some("xterm"), None));
        assert!(is_interactive(None, Some("false")));
        assert!(!is_interactive(Some("dumb"), None));
        assert!(!is_interactive(Some("xterm"), Some("true")));
    }

    #[test]
    fn colors_are_used_on_an_interactive_terminal_without_no_color() {
        for (is_interactive, no_color, auto) in [
            (true, false, true),
            (true, true, false),
            (false, false, false),
        ] {
            let terminal = TerminalInfo {
                is_interactive,
                no_color,
                width: None,
            };
            assert_eq!(terminal.color(ColorChoice::Auto), auto);
            assert!(terminal.color(ColorChoice::Always));
            assert!(!terminal.color(ColorChoice::Never));
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
