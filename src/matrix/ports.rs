//! The host's ports for forwarded services, in the syntax of the file and the command line.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The ports that can be used for forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRange {
    /// A range of ports. Each cell gets a different one.
    Between(RangeInclusive<u16>),
    /// Any free port; the kernel chooses.
    Any,
}

/// The text isn't a valid port range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    /// The text isn't in the form `<first>-<last>`.
    #[error("a port range is `<first>-<last>` or `any`, not `{0}`")]
    Form(String),
    /// A number isn't a port.
    #[error("`{0}` is not a port: ports go up to 65535")]
    NotAPort(String),
    /// The range includes ports that may require privileges.
    #[error("port {0} is privileged: use 1024 or above")]
    Privileged(u16),
    /// The last port is lower than the first one.
    #[error("the range is empty: {last} is below {first}")]
    Reversed {
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
}

impl PortRange {
    /// The number of ports; `None` if the kernel chooses.
    #[expect(clippy::len_without_is_empty, reason = "a parsed range is never empty")]
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Between(ports) => Some(ports.len()),
            Self::Any => None,
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(ports) => write!(formatter, "{}-{}", ports.start(), ports.end()),
            Self::Any => formatter.write_str("any"),
        }
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let form_error = || PortRangeError::Form(text.to_owned());
        let (first, last) = text.split_once('-').ok_or_else(form_error)?;
        let (first, last) = (port(first, form_error)?, port(last, form_error)?);
        if last < first {
            return Err(PortRangeError::Reversed { first, last });
        }
        if first < 1024 {
            return Err(PortRangeError::Privileged(first));
        }
        Ok(Self::Between(first..=last))
    }
}

fn port(text: &str, form_error: impl Fn() -> PortRangeError) -> Result<u16, PortRangeError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(form_error());
    }
    text.parse()
        .map_err(|_| PortRangeError::NotAPort(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_ranges_are_accepted() {
        let parse = str::parse::<PortRange>;
        assert_eq!(parse("1024-1024"), Ok(PortRange::Between(1024..=1024)));
        assert_eq!(parse("any"), Ok(PortRange::Any));
        assert_eq!(parse("80-8080"), Err(PortRangeError::Privileged(80)));
        assert_eq!(
            parse("70000-70001"),
            Err(PortRangeError::NotAPort("70000".to_owned()))
        );
        assert_eq!(
            parse("2000-1999"),
            Err(PortRangeError::Reversed {
                first: 2000,
                last: 1999
            })
        );
        for text in ["", "-", "18080", "18080-", "1-2-3", "+1-2", "1 - 2"] {
            assert_eq!(parse(text), Err(PortRangeError::Form(text.to_owned())));
        }
    }
}
