//! The ports that forwarded services may take on this host, as the file and the command line write them.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// Where the cells' forwarded ports come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRange {
    /// One of these, each cell another.
    Between(RangeInclusive<u16>),
    /// Whichever the kernel gives.
    Any,
}

/// A text that is not a port range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    /// Not `<first>-<last>`.
    #[error("a port range is `<first>-<last>` or `any`, not `{0}`")]
    Shape(String),
    /// A number that is not a port.
    #[error("`{0}` is not a port: ports go up to 65535")]
    NoPort(String),
    /// Ports that a process may need privileges for.
    #[error("port {0} is privileged: take 1024 or above")]
    Privileged(u16),
    /// The last before the first.
    #[error("the range is empty: {last} is below {first}")]
    Reversed {
        /// What stands in front of the dash.
        first: u16,
        /// What stands behind it.
        last: u16,
    },
}

impl PortRange {
    /// How many ports there are; `None` where the kernel chooses.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a range that was parsed is never empty"
    )]
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Between(ports) => Some(ports.len()),
            Self::Any => None,
        }
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let shape = || PortRangeError::Shape(text.to_owned());
        let (first, last) = text.split_once('-').ok_or_else(shape)?;
        let (first, last) = (port(first, shape)?, port(last, shape)?);
        if last < first {
            return Err(PortRangeError::Reversed { first, last });
        }
        if first < 1024 {
            return Err(PortRangeError::Privileged(first));
        }
        Ok(Self::Between(first..=last))
    }
}

fn port(text: &str, shape: impl Fn() -> PortRangeError) -> Result<u16, PortRangeError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(shape());
    }
    text.parse()
        .map_err(|_| PortRangeError::NoPort(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_range_and_what_is_none() {
        let parse = str::parse::<PortRange>;
        assert_eq!(parse("1024-1024"), Ok(PortRange::Between(1024..=1024)));
        assert_eq!(parse("any"), Ok(PortRange::Any));
        assert_eq!(parse("80-8080"), Err(PortRangeError::Privileged(80)));
        assert_eq!(
            parse("70000-70001"),
            Err(PortRangeError::NoPort("70000".to_owned()))
        );
        assert_eq!(
            parse("2000-1999"),
            Err(PortRangeError::Reversed {
                first: 2000,
                last: 1999
            })
        );
        for text in ["", "-", "18080", "18080-", "1-2-3", "+1-2", "1 - 2"] {
            assert_eq!(parse(text), Err(PortRangeError::Shape(text.to_owned())));
        }
    }
}
