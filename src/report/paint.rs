//! Colors on a terminal.

use anstyle::{AnsiColor, Style};

use super::marks::Tone;

/// Whether to use colors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paint {
    color: bool,
}

impl Paint {
    pub(super) const fn new(color: bool) -> Self {
        Self { color }
    }

    /// Whether colors are used.
    pub(super) const fn is_on(self) -> bool {
        self.color
    }

    pub(super) fn tone(self, tone: Tone, text: &str) -> String {
        self.style(ansi_style(tone), text)
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

const fn ansi_style(tone: Tone) -> Style {
    match tone {
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Quiet => Style::new().dimmed(),
        Tone::Warning => AnsiColor::Yellow.on_default().bold(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
    }
}
