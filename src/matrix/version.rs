//! A Kubernetes minor version, as an axis value: `1.30`.

use std::fmt;
use std::str::FromStr;

/// A Kubernetes minor version. Ordered by number, so that `1.9` is before `1.30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    /// The number before the dot.
    pub major: u16,
    /// The number after the dot.
    pub minor: u16,
}

/// The text isn't a version in the form `<major>.<minor>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Kubernetes version is `<major>.<minor>`, such as `1.30`, not `{0}`")]
pub struct VersionError(String);

impl FromStr for KubernetesVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let (major, minor) = text.split_once('.').ok_or_else(error)?;
        Ok(Self {
            major: number(major).ok_or_else(error)?,
            minor: number(minor).ok_or_else(error)?,
        })
    }
}

/// A number in a version: only digits, without a leading zero.
fn number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let parse = |text: &str| text.parse::<KubernetesVersion>().unwrap();
        assert!(parse("1.9") < parse("1.30"));
        assert_eq!(parse("1.30").to_string(), "1.30");
    }

    #[test]
    fn invalid_versions_are_rejected() {
        for text in [
            "", "1", "1.", ".30", "1.3.0", "v1.30", "1.030", "1.-1", "1.99999",
        ] {
            assert!(text.parse::<KubernetesVersion>().is_err(), "{text}");
        }
    }
}
