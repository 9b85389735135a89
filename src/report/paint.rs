//! Colors on a terminal.

use anstyle::{AnsiColor, Style};

use super::marks::Tone;

/// Whether to use colors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paint {
    /// Whether colors are used.
    pub(super) color: bool,
}

impl Paint {
    pub(super) const fn new(color: bool) -> Self {
        Self { color }
    }

    pub(super) fn tone(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Quiet => Style::new().dimmed(),
            Tone::Warning => AnsiColor::Yellow.on_default().bold(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
        };
        self.style(style, text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.style(Style::new().bold(), text)
    }

    fn style(self, style: Style, text: &str) -> String {
        if self.color {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}
