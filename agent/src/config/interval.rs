//! Durations in the configuration: strings such as `500ms`, `10s` and `1m`, greater than zero.

use std::time::Duration;

use serde::Deserialize;

/// The time between two rounds of a loop. It is greater than zero, so that no loop runs without a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Interval(Duration);

/// A string isn't a valid interval.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntervalError {
    /// The string isn't a duration.
    #[error("{text:?} is not a duration such as 500ms, 10s or 1m")]
    Malformed {
        /// The string.
        text: String,
        /// The cause.
        source: humantime::DurationError,
    },
    /// The duration is zero.
    #[error("an interval must be greater than zero")]
    Zero,
    /// The duration is too long.
    #[error("an interval must be at most 24h")]
    TooLong,
}

/// The longest interval.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Interval {
    /// An interval that is given in code.
    ///
    /// # Panics
    /// If the duration is zero.
    pub(crate) const fn new(duration: Duration) -> Self {
        assert!(!duration.is_zero(), "an interval must be greater than zero");
        Self(duration)
    }

    /// The interval as a `Duration`.
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
    fn numbers_without_a_unit_negative_durations_and_zero_are_rejected() {
        for text in ["", "5", "-5s", "5 parsecs", "0s", "0ms"] {
            assert!(
                Interval::try_from(text.to_owned()).is_err(),
                "{text:?} was accepted"
            );
        }
    }
}
