//! A validated matrix file: its cells, and the tables that aren't about axes.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::environment::TextSource;
use super::names::is_lowercase_name;
use super::{Cell, Checks, PhaseSettings, PortRange, RetrySettings, named, text_types};

/// A validated matrix file: its cells in order, and the settings for all of them. By default, it has no cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// The cells in the order of the axes (version, nodes, config, further axes), followed by included cells.
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

/// `[images]`: agent and mock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// `[images.agent]`: the system under test.
    pub agent: SystemUnderTest,
    /// `[images.mock]`.
    pub mock: SystemUnderTest,
}

impl Images {
    /// The agent of `cell`: the one that its values select, or else `[images.agent]`. If the values set only a binary,
    /// the image is [`ImageSource::Reference`].
    pub fn agent_of(&self, cell: &Cell) -> SystemUnderTest {
        match &cell.variant.program {
            None => self.agent.clone(),
            Some(program) => {
                let image = program.image.clone().map(ImageSource::Tag);
                SystemUnderTest {
                    image: image.unwrap_or_default(),
                    binary: program.binary.clone(),
                }
            }
        }
    }
}

/// Where a program comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemUnderTest {
    /// The image for clusters.
    pub image: ImageSource,
    /// The program for the local provider, relative to the matrix file; by default the reference program.
    pub binary: Option<PathBuf>,
}

/// Where an image comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageSource {
    /// The program that is part of the runner.
    #[default]
    Reference,
    /// An existing image, or one that can be pulled.
    Tag(String),
    /// An image that is built by the runner.
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

/// `[deploy]`: the manifests. Paths are relative to the matrix file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// The agent's manifests.
    pub manifests: Manifests,
    /// The name of the agent's `DaemonSet`, if the manifests have several.
    pub daemon_set: Option<String>,
    /// A YAML file that replaces the built-in base of the agent's configuration.
    pub agent_config: Option<PathBuf>,
    /// The key of the agent's configuration in its `ConfigMap`, if it isn't clear.
    pub config_key: Option<String>,
    /// A file or folder that replaces the built-in `deploy/mock-api`.
    pub mock: Option<PathBuf>,
    /// Whether the DaemonSet keeps its probes.
    pub probes: bool,
}

/// Where the agent's manifests come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manifests {
    /// The manifests that are part of the runner.
    BuiltIn,
    /// A file, a folder or a kustomization.
    At(PathBuf),
    /// A Helm chart.
    Chart {
        /// The chart's folder or archive.
        path: PathBuf,
        /// Files with values; later ones take precedence.
        values: Vec<PathBuf>,
    },
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            manifests: Manifests::BuiltIn,
            daemon_set: None,
            agent_config: None,
            config_key: None,
            mock: None,
            probes: true,
        }
    }
}

/// `[existing]`: the cluster of the provider `existing`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// The kubeconfig's context; by default its current context.
    pub context: Option<String>,
    /// The kubeconfig, relative to the matrix file; by default the user's own.
    pub kubeconfig: Option<PathBuf>,
}

named! {
    /// When to keep a cell's cluster for debugging.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Keep {
        /// Never.
        #[default]
        Never = "never",
        /// If the cell failed.
        Failed = "failed",
        /// Always.
        Always = "always",
    }
}

named! {
    /// Whether kind clusters may be clones of prepared ones.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Prepared {
        /// If a template exists, or if creating one pays off within the run.
        #[default]
        Auto = "auto",
        /// Never: kind creates each cluster.
        Never = "never",
    }
}

named! {
    /// The provider that the user requests.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum ProviderChoice {
        /// kind if it can run, otherwise local.
        #[default]
        Auto = "auto",
        /// Real clusters in Docker.
        Kind = "kind",
        /// Plain processes.
        Local = "local",
        /// An existing cluster.
        Existing = "existing",
    }
}

/// How many cells run at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jobs {
    /// As many as the machine can run.
    #[default]
    Auto,
    /// This many, at most [`Jobs::MAX`].
    Exactly(NonZeroUsize),
}

impl Jobs {
    /// The maximum number of cells that may run at once.
    pub const MAX: usize = 10_000;

    /// `number` cells at once; `None` if it isn't between 1 and [`Jobs::MAX`].
    pub fn exactly(number: usize) -> Option<Self> {
        let number = NonZeroUsize::new(number)?;
        (number.get() <= Self::MAX).then_some(Self::Exactly(number))
    }
}

/// The prefix of cluster names: `[a-z][a-z0-9-]*`, at most [`Prefix::MAX`] characters, without a trailing `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// The text isn't a valid prefix of cluster names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix must match `[a-z][a-z0-9-]*`, have at most {max} characters, and not end with `-`", max = Prefix::MAX)]
pub struct PrefixError;

impl Prefix {
    /// The maximum length. A cluster name has at most 40 characters, so there is room for its other parts.
    pub const MAX: usize = 16;

    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        if is_lowercase_name(text, "-") && !text.ends_with('-') && text.len() <= Self::MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(PrefixError)
        }
    }
}

text_types!(Prefix);

/// `[run]`, with defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// The provider.
    pub provider: ProviderChoice,
    /// How many cells run at once.
    pub jobs: Jobs,
    /// The range of forwarded ports.
    pub ports: PortRange,
    /// The prefix of cluster names.
    pub prefix: Prefix,
    /// Whether to use the settings that make a throw-away kind cluster usable sooner.
    pub fast_setup: bool,
    /// When to retry a cell.
    pub retry: RetrySettings,
    /// When to keep a cell's cluster.
    pub keep: Keep,
    /// Whether cells that need the same cluster and agent image share a kind cluster, one after another.
    pub reuse: bool,
    /// Whether kind clusters may be clones of prepared ones.
    pub prepared: Prepared,
    /// Whether cells are skipped if their node image exists neither locally nor in its registry.
    pub skip_missing_images: bool,
    /// Secrets that are masked in all output.
    pub secrets: Vec<TextSource>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            provider: ProviderChoice::Auto,
            jobs: Jobs::Auto,
            ports: PortRange::Between(18080..=18999),
            prefix: Prefix("plexd-e2e".to_owned()),
            fast_setup: true,
            retry: RetrySettings::default(),
            keep: Keep::Never,
            reuse: false,
            prepared: Prepared::Auto,
            skip_missing_images: false,
            secrets: Vec::new(),
        }
    }
}
