//! The tables of the file that are no axis: images, deployment and run settings, validated.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::{Cell, Checks, FromEnv, PhaseSettings, PortRange, RetrySettings};

/// A validated matrix file: its cells in order, and everything that holds for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// The cells, in the order of axes: version, nodes, config, then the further ones; then what was included.
    pub cells: Vec<Cell>,
    /// `[images]`.
    pub images: Images,
    /// `[deploy]`.
    pub deploy: Deploy,
    /// `[run]`.
    pub run: RunSettings,
    /// `[existing]`.
    pub existing: Existing,
    /// `[phases.*]`.
    pub phases: PhaseSettings,
    /// `[[checks]]` and `[[commands]]`.
    pub checks: Checks,
}

/// `[images]`: what runs as agent and as mock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// `[images.agent]`: the system under test.
    pub agent: SystemUnderTest,
    /// `[images.mock]`.
    pub mock: SystemUnderTest,
}

impl Images {
    /// The agent of `cell`: what a value of the cell names, or else `[images.agent]`. Without an image that a value leaves out.
    pub fn agent_of(&self, cell: &Cell) -> SystemUnderTest {
        match &cell.variant.program {
            None => self.agent.clone(),
            Some(program) => SystemUnderTest {
                image: program
                    .image
                    .clone()
                    .map(ImageSource::Tag)
                    .unwrap_or_default(),
                binary: program.binary.clone(),
            },
        }
    }
}

/// Where one of the two programs comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemUnderTest {
    /// The image that runs in a cluster.
    pub image: ImageSource,
    /// What the local provider starts, relative to the matrix file; the reference program where the image is it.
    pub binary: Option<PathBuf>,
}

/// Where an image comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageSource {
    /// The program that comes with the runner.
    #[default]
    Reference,
    /// An image that is there already or can be pulled.
    Tag(String),
    /// An image that is built.
    Build(Build),
}

/// An image build. Paths are relative to the matrix file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// The build context.
    pub context: PathBuf,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
}

/// `[deploy]`: which manifests are applied. Paths are relative to the matrix file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// The agent's manifests.
    pub manifests: Manifests,
    /// The name of the agent's `DaemonSet`, for manifests with several.
    pub daemon_set: Option<String>,
    /// A YAML file in place of the built-in base of the agent's configuration.
    pub agent_config: Option<PathBuf>,
    /// A file or folder in place of the built-in `deploy/mock-api`.
    pub mock: Option<PathBuf>,
    /// Whether the DaemonSet keeps its probes.
    pub probes: bool,
}

/// Where the agent's manifests come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manifests {
    /// The manifests that come with the program.
    BuiltIn,
    /// A file, a folder or a kustomization.
    At(PathBuf),
    /// A Helm chart.
    Chart {
        /// The chart's folder or archive.
        path: PathBuf,
        /// Files with values, in the order in which they override each other.
        values: Vec<PathBuf>,
    },
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            manifests: Manifests::BuiltIn,
            daemon_set: None,
            agent_config: None,
            mock: None,
            probes: true,
        }
    }
}

/// `[existing]`: the cluster of the provider `existing`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// The kubeconfig's context; its current one where there is none.
    pub context: Option<String>,
    /// The kubeconfig, relative to the matrix file; the user's own where there is none.
    pub kubeconfig: Option<PathBuf>,
}

/// Whether a cell's place stays after its end, to be looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// It goes.
    #[default]
    Never,
    /// It stays where something failed or broke.
    Failed,
    /// It stays.
    Always,
}

/// Which provider the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderChoice {
    /// kind where it can run, else local.
    #[default]
    Auto,
    /// Real clusters in Docker.
    Kind,
    /// Plain processes.
    Local,
    /// A cluster that is there already.
    Existing,
}

impl ProviderChoice {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Kind, Self::Local, Self::Existing];

    /// Its name, in files, options and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kind => "kind",
            Self::Local => "local",
            Self::Existing => "existing",
        }
    }

    /// The choice with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name)
    }
}

/// How many cells run at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jobs {
    /// As many as the machine takes.
    #[default]
    Auto,
    /// This many, at most [`Jobs::MOST`].
    Exactly(NonZeroUsize),
}

impl Jobs {
    /// The most cells that may be asked to run at once.
    pub const MOST: usize = 10_000;

    /// `number` cells at once; `None` outside 1 to [`Jobs::MOST`].
    pub fn exactly(number: usize) -> Option<Self> {
        let number = NonZeroUsize::new(number)?;
        (number.get() <= Self::MOST).then_some(Self::Exactly(number))
    }
}

/// The start of every cluster name: `[a-z][a-z0-9-]*`, at most [`Prefix::MAX`] characters, no `-` at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// A text that cannot start a cluster's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is `[a-z][a-z0-9-]*`, at most {max} characters, and does not end in `-`", max = Prefix::MAX)]
pub struct PrefixError;

impl Prefix {
    /// Leaves room for slug and run in a cluster name of at most 40 characters.
    pub const MAX: usize = 16;

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let characters = text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let ends = text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-');
        if characters && ends && text.len() <= Self::MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(PrefixError)
        }
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// `[run]`, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// Where cells run.
    pub provider: ProviderChoice,
    /// How many at once.
    pub jobs: Jobs,
    /// Forwarded ports.
    pub ports: PortRange,
    /// Start of cluster names.
    pub prefix: Prefix,
    /// Whether kind's file carries the settings that make a throw-away cluster usable sooner.
    pub tuned: bool,
    /// When a cell is retried.
    pub retry: RetrySettings,
    /// Whether the place of a cell stays after its end.
    pub keep: Keep,
    /// Whether cells that differ only in config get the same kind cluster, one after another.
    pub reuse: bool,
    /// Texts that no output may show.
    pub secrets: Vec<String>,
    /// The same, in variables of the runner's environment.
    pub secrets_from_env: Vec<FromEnv<()>>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            provider: ProviderChoice::Auto,
            jobs: Jobs::Auto,
            ports: PortRange::Between(18080..=18999),
            prefix: Prefix("plexd-e2e".to_owned()),
            tuned: true,
            retry: RetrySettings::default(),
            keep: Keep::Never,
            reuse: false,
            secrets: Vec::new(),
            secrets_from_env: Vec::new(),
        }
    }
}
