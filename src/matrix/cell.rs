//! A cell: one point of the matrix, with an id that stays the same when an axis gets more values.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::axis::{check_axis_name, has_value_characters};
use super::names::{NameError, is_lowercase_name};
use super::variant::Layer;
use super::{Coordinate, KubernetesVersion, Variant, text_types};

/// The reserved words of the filter language, which can't be used as names.
pub(super) const FILTER_WORDS: [&str; 9] = [
    "not",
    "and",
    "or",
    "k8s",
    "kubernetes",
    "nodes",
    "config",
    "tag",
    "n",
];

/// Whether `text` looks like a node count in an id: `n<digits>`.
pub(super) fn looks_like_nodes(text: &str) -> bool {
    let digits = text.strip_prefix('n');
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// How many nodes a cell has, including the control plane. At least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeCount(u16);

/// One node, the control plane.
impl Default for NodeCount {
    fn default() -> Self {
        Self(1)
    }
}

impl NodeCount {
    /// The maximum number of nodes of a cell. No machine can run this many, and the number is short enough for a host
    /// name.
    pub const MAX: u16 = 5000;

    /// The node count `count`; `None` if `count` is 0 or greater than [`Self::MAX`].
    pub fn new(count: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&count).then_some(Self(count))
    }

    /// The number of nodes.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The name of a config variant. It matches `[a-z][a-z0-9-]*`, and can't be confused with anything else in ids and
/// filters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigName(String);

/// The config `default`. It is the base configuration, unless the file has a table for it.
impl Default for ConfigName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl ConfigName {
    /// The maximum length of a name. A cell's folder is named after its id, and file names have at most 255 bytes.
    pub const MAX: usize = 60;

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let violated = if !is_lowercase_name(text, "-") {
            "a config name must match `[a-z][a-z0-9-]*`".to_owned()
        } else if text.len() > Self::MAX {
            format!("a config name has at most {} characters", Self::MAX)
        } else if text.starts_with("k8s-") {
            "a config name must not start with `k8s-`".to_owned()
        } else if FILTER_WORDS.contains(&text) {
            format!("`{text}` is a reserved word of the filter language")
        } else if looks_like_nodes(text) {
            "a config name must not look like a node count (`n<digits>`)".to_owned()
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(NameError::new(violated))
    }
}

/// The stable id of a cell: `k8s-<version>-n<nodes>-<config>`, followed by `-<axis>-<value>` for each further axis, and
/// by `#<n>` for the `n`th repetition, from 2.
///
/// The cell's folder is named after it, so it is validated when it is deserialized: see [`KubernetesVersion`],
/// [`NodeCount`], [`ConfigName`] and [`Coordinate`] for its parts.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^k8s-[0-9]+\.[0-9]+-n[0-9]+-[a-z][a-z0-9.-]*(#[0-9]+)?$"))]
pub struct CellId(String);

/// The text isn't a valid cell id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cell id is `k8s-<version>-n<nodes>-<config>`, followed by `-<axis>-<value>` for each further axis and by `#<n>` for a repetition, not {0}"
)]
pub struct CellIdError(String);

impl TryFrom<String> for CellId {
    type Error = CellIdError;

    fn try_from(text: String) -> Result<Self, CellIdError> {
        // Only the normal form of an id is valid, so the id that is built from the parsed parts must equal the text.
        // This rejects signs and leading zeros.
        match Self::parse(&text) {
            Some(id) if id.0 == text => Ok(id),
            Some(_) | None => Err(CellIdError(quoted(&text))),
        }
    }
}

impl From<CellId> for String {
    fn from(id: CellId) -> Self {
        id.0
    }
}

/// The start of `text`, escaped, for an error message.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let start: String = text.chars().take(SHOWN).collect();
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{rest}")
}

impl CellId {
    /// The id of the cell with these values.
    pub fn new(kubernetes: KubernetesVersion, nodes: NodeCount, config: &ConfigName) -> Self {
        Self(format!("k8s-{kubernetes}-n{nodes}-{config}"))
    }

    /// The id of the cell that also has these values on further axes.
    #[must_use]
    pub(super) fn with(self, further: &[Coordinate]) -> Self {
        let further = further.iter();
        further.fold(self, |id, value| Self(format!("{}-{value}", id.0)))
    }

    /// The maximum length of an id without the number of a repetition. Folders are named after ids, and file names have
    /// at most 255 bytes.
    pub(super) const MAX: usize = 200;

    fn parse(text: &str) -> Option<Self> {
        let (cell, number) = match text.split_once(Self::REPETITION) {
            Some((cell, number)) => (cell, Some(number.parse().ok()?)),
            None => (text, None),
        };
        let (version, rest) = cell.strip_prefix("k8s-")?.split_once("-n")?;
        let (nodes, tail) = rest.split_once('-')?;
        let version: KubernetesVersion = version.parse().ok()?;
        let nodes = NodeCount::new(nodes.parse().ok()?)?;
        let id = Self(format!("k8s-{version}-n{nodes}-{tail}"));
        let is_valid = id.0.len() <= Self::MAX && is_tail(tail);
        is_valid.then(|| id.repetition(number.unwrap_or(1)))
    }

    /// The separator between a cell's id and the number of a repetition. Ids in the matrix don't contain it.
    const REPETITION: char = '#';

    /// The id of repetition `number` of the cell. Numbers start at 1; repetition 1 has the id of the cell itself.
    #[must_use]
    pub fn repetition(&self, number: u32) -> Self {
        match number {
            0 | 1 => self.clone(),
            number => Self(format!("{}{}{number}", self.0, Self::REPETITION)),
        }
    }

    /// The cell's id in the matrix, without the number of a repetition.
    pub fn in_matrix(&self) -> &str {
        let repetition = self.0.split_once(Self::REPETITION);
        repetition.map_or(&*self.0, |(cell, _)| cell)
    }

    /// The number of the repetition, starting at 1.
    pub fn number(&self) -> u32 {
        let repetition = self.0.split_once(Self::REPETITION);
        let number = repetition.and_then(|(_, number)| number.parse().ok());
        number.unwrap_or(1)
    }
}

text_types!(ConfigName, CellId);

/// Whether `text` is a valid end of an id, after the node count: a config, followed by any parts for further axes.
fn is_tail(text: &str) -> bool {
    let is_config = |text: &str| ConfigName::parse(text).is_ok();
    let mut dashes = text.match_indices('-');
    is_config(text)
        || dashes.any(|(dash, _)| {
            let part = text[dash + 1..].split_once('-');
            let is_part = part.is_some_and(|(axis, value)| {
                check_axis_name(axis).is_ok() && has_value_characters(value)
            });
            is_part && is_config(&text[..dash])
        })
}

/// One cell of the matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The cell's id.
    pub id: CellId,
    /// The Kubernetes version of the cell's cluster.
    pub kubernetes: KubernetesVersion,
    /// The number of nodes of the cell's cluster.
    pub nodes: NodeCount,
    /// The cell's value on the axis `config`.
    pub config: ConfigName,
    /// The cell's values on the further axes, in the file's order.
    pub axes: Vec<Coordinate>,
    /// The settings in the tables of these values, such as `[config.fast]`, in the order in which they are merged.
    pub layers: Arc<[Layer]>,
    /// The merged settings.
    pub variant: Arc<Variant>,
    /// The tags of the cell's values and of the cell itself. Filters can select cells by tag.
    pub tags: BTreeSet<String>,
    /// Whether a failure of the cell doesn't change the exit code.
    pub allow_failure: bool,
    /// The node image from `[kubernetes."x.y"] image`, if the file sets one.
    pub node_image: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repetition_has_the_id_of_its_cell_and_its_number() {
        let version = "1.36".parse().unwrap();
        let cell = CellId::new(version, NodeCount::default(), &ConfigName::default());
        assert_eq!(cell.repetition(1), cell);
        assert_eq!(cell.number(), 1);
        let third = cell.repetition(3);
        assert_eq!(third.as_str(), "k8s-1.36-n1-default#3");
        assert_eq!((third.in_matrix(), third.number()), (cell.as_str(), 3));
    }

    fn read(text: &str) -> Result<CellId, serde_json::Error> {
        serde_json::from_value(text.into())
    }

    proptest! {
        #[test]
        fn every_id_survives_a_round_trip(
            major in any::<u16>(), minor in any::<u16>(), nodes in 1..=NodeCount::MAX,
            config in "[a-z][a-z0-9-]{0,59}", number in 1..=u32::MAX,
        ) {
            let config = ConfigName::parse(&config);
            prop_assume!(config.is_ok());
            let version = KubernetesVersion { major, minor };
            let id = CellId::new(version, NodeCount::new(nodes).unwrap(), &config.unwrap());
            let id = id.repetition(number);
            prop_assert_eq!(read(id.as_str()).unwrap(), id);
        }

        #[test]
        fn a_valid_id_is_one_plain_file_name(text in "(k8s-|/|\\.\\./)?.{0,20}(-n1-default)?(#|/|\u{0}|\\PC){0,3}[0-9]{0,3}") {
            if let Ok(id) = read(&text) {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.#".contains(c);
                prop_assert!(id.as_str().starts_with("k8s-") && id.as_str().chars().all(plain));
            }
        }
    }

    #[test]
    fn an_invalid_id_is_rejected_and_quoted() {
        let long = format!("k8s-1.30-n1-{}", "a".repeat(ConfigName::MAX + 1));
        for text in [
            "",
            "/x",
            "../x",
            "..",
            "x",
            "k8s-1.30-n1-",
            "k8s-1.30-n0-default",
            "k8s-1.30-n01-default",
            "k8s-1.30-n+1-default",
            "k8s-01.30-n1-default",
            "k8s-1.30-n1-default/x",
            "k8s-1.30-n1-default#1",
            "k8s-1.30-n1-default#02",
            "k8s-1.30-n1-default#",
            "k8s-1.30-n1-default#4294967296",
            "k8s-1.30-n1-default#2#3",
            "k8s-1.30-n1-a\u{0}",
            "k8s-1.30-n1-a\n",
            "k8s-1.30-n1-k8s-1",
            &long,
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains("a cell id is `k8s-<version>"),
                "{text}: {error}"
            );
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
