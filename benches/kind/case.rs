//! What is measured: some cells that run at once, or the shipped matrix.

use std::fmt::{self, Display, Formatter, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::column::Column;

/// What is measured in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Case {
    /// Cells that differ only in the name of their config.
    Cells {
        /// How many cells run at once.
        cells: usize,
        /// How many nodes each cell has.
        nodes: usize,
        /// The intervals of the cells' agents.
        config: Config,
    },
    /// The matrix file of this repository.
    Matrix,
}

/// The intervals of the agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Config {
    /// Half a second, as in the shipped `fast`.
    Fast,
    /// The agent's defaults, which are also those of the script.
    Default,
}

impl Case {
    /// The columns that can be measured in this case.
    pub(crate) fn columns(self) -> impl Iterator<Item = Column> {
        Column::ALL.into_iter().filter(move |column| match self {
            Self::Matrix => column.is_for_matrix(),
            Self::Cells { cells, nodes, .. } => match column {
                Column::Bare | Column::Fresh | Column::Prepared => true,
                Column::Reused => cells > 1,
                Column::Script => nodes == 1,
                Column::Baseline | Column::First | Column::Second => false,
            },
        })
    }

    /// The order of the columns in a round. Each round begins with a different column, so that no column comes first in
    /// every round. The runs of the matrix keep their order, because the second one has to follow the first.
    pub(crate) fn order(self, columns: &[Column], round: usize) -> Vec<Column> {
        let mut order = columns.to_vec();
        match self {
            Self::Cells { .. } => order.rotate_left(round % columns.len()),
            Self::Matrix => {}
        }
        order
    }

    /// The content of the matrix file; `None` for the matrix file of this repository.
    pub(crate) fn matrix(self, version: &str) -> Option<String> {
        let Self::Cells {
            cells,
            nodes,
            config,
        } = self
        else {
            return None;
        };
        let names = (0..cells).map(|number| format!("{config}-{number}"));
        let names: Vec<String> = names.collect();
        let mut text = format!(
            "[matrix]\nkubernetes = [\"{version}\"]\nnodes = [{nodes}]\nconfig = {names:?}\n[run]\nports = \"any\"\n"
        );
        for name in names {
            // Writing to a String can't fail.
            let _ = write!(text, "[config.{name}]\n{}", config.settings());
        }
        Some(text)
    }
}

impl Config {
    /// The content of the config's table.
    const fn settings(self) -> &'static str {
        match self {
            Self::Fast => {
                "agent.heartbeat.interval = \"500ms\"\n\
                 agent.metrics = { collect_interval = \"500ms\", report_interval = \"500ms\" }\n\
                 agent.log_fwd = { collect_interval = \"500ms\", report_interval = \"500ms\" }\n\
                 agent.audit_fwd = { collect_interval = \"500ms\", report_interval = \"500ms\" }\n"
            }
            Self::Default => "",
        }
    }
}

impl Display for Config {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Fast => "fast",
            Self::Default => "default",
        })
    }
}

impl Display for Case {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cells {
                cells,
                nodes,
                config,
            } => write!(formatter, "{cells}x{nodes}-{config}"),
            Self::Matrix => formatter.write_str("matrix"),
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (size, config) = text.split_once('-')?;
            let (cells, nodes) = size.split_once('x')?;
            let config = match config {
                "fast" => Config::Fast,
                "default" => Config::Default,
                _ => return None,
            };
            let positive = |text: &str| text.parse().ok().filter(|number| *number > 0);
            Some(Self::Cells {
                cells: positive(cells)?,
                nodes: positive(nodes)?,
                config,
            })
        };
        if text == "matrix" {
            return Ok(Self::Matrix);
        }
        parsed().ok_or_else(|| {
            format!("`{text}` is not a case: expected `matrix` or `<cells>x<nodes>-<fast|default>`, such as `4x1-fast`")
        })
    }
}

impl TryFrom<String> for Case {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Case> for String {
    fn from(case: Case) -> Self {
        case.to_string()
    }
}
