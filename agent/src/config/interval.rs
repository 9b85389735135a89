//! Durations as the configuration writes them: strings such as `500ms`, `10s` and `1m`, never zero.

use std::time::Duration;

use serde::Deserialize;

/// The time between two rounds of a loop; never zero, so that no loop can spin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Interval(Duration);

/// Why a string is no interval.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntervalError {
    /// Not a duration at all.
    #[error("{text:?} is not a duration such as 500ms, 10s or 1m")]
    Malformed {
        /// What was written.
        text: String,
        /// What is wrong with it.
        source: humantime::DurationError,
    },
    /// A loop without a pause.
    #[error("an interval must be longer than zero")]
    Zero,
    /// Longer than any loop pauses.
    #[error("an interval must be at most 24h")]
    TooLong,
}

/// The longest interval.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Interval {
    /// An interval that stands in the code.
    ///
    /// # Panics
    /// At a zero duration.
    pub(crate) const fn new(duration: Duration) -> Self {
        assert!(!duration.is_zero(), "an interval must be longer than zero");
        Self(duration)
    }

    /// As the clock takes it.
    pub(crate) fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Interval {
    type Error = IntervalError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let duration = humantime::parse_duration(&text)
            .map_err(|source| IntervalError::Malformed { text, source })?;
        if duration.is_zero() {
            Err(IntervalError::Zero)
        } else if duration > LONGEST {
            Err(IntervalError::TooLong)
        } else {
            Ok(Self(duration))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_strings_with_a_unit() {
        for (text, expected) in [
            ("500ms", Duration::from_millis(500)),
            ("10s", Duration::from_secs(10)),
            ("1m", Duration::from_secs(60)),
            ("1m30s", Duration::from_secs(90)),
        ] {
            assert_eq!(Interval::try_from(text.to_owned()).unwrap().get(), expected);
        }
    }

    #[test]
    fn a_bare_number_a_negative_one_and_zero_are_refused() {
        for text in ["", "5", "-5s", "5 parsecs", "0s", "0ms"] {
            assert!(
                Interval::try_from(text.to_owned()).is_err(),
                "{text:?} was taken"
            );
        }
    }
}
