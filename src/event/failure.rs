//! The one table that says what class a failure is of and whether waiting longer could help.
//!
//! Everything that can go wrong in a cell is a [`Symptom`]; class and permanence follow from it alone.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::matrix::Expectation;

/// Whose fault a failure is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The agent broke the contract.
    Product,
    /// Manifests or matrix.
    Configuration,
    /// Docker, kind, network, image pull, the machine, the mock.
    Infrastructure,
}

impl FailureClass {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Configuration => "configuration",
            Self::Infrastructure => "infrastructure",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Declares [`Symptom`] together with its table, so that no row can be without a class or a name.
macro_rules! symptoms {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, $class:ident, at_once: $at_once:literal; )+) => {
        /// What was seen to go wrong. The variants and their classes are one table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Symptom {
            $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+
        }

        impl Symptom {
            /// Every symptom.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in reports and records.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What it is, in a sentence or two.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start()),+ }
            }

            /// Whose fault it is.
            pub const fn class(self) -> FailureClass {
                match self { $(Self::$variant => FailureClass::$class),+ }
            }

            /// Whether it ends its phase at once, because waiting longer can't help.
            pub const fn fails_at_once(self) -> bool {
                match self { $(Self::$variant => $at_once),+ }
            }
        }
    };
}

symptoms! {
    /// The agent's process ended: once after readiness, or three times before it. The ends that the suite causes don't count.
    AgentCrashed = "agent-crashed", Product, at_once: true;
    /// The agent's liveness probe fails, so the kubelet is about to kill the agent.
    AgentUnhealthy = "agent-unhealthy", Product, at_once: true;
    /// The agent was killed for using more memory than its limit.
    AgentOutOfMemory = "agent-out-of-memory", Product, at_once: true;
    /// The agent's readiness probe did not answer well in time.
    AgentNotReady = "agent-not-ready", Product, at_once: false;
    /// A counter did not come to what is expected of it.
    CounterNotMet = "counter-not-met", Product, at_once: false;
    /// A counter went past an exact expectation.
    CounterExceeded = "counter-exceeded", Product, at_once: true;
    /// The nodes that report are not the cluster's nodes.
    WrongNodes = "wrong-nodes", Product, at_once: false;
    /// A request body lacks what it must have.
    BadBody = "bad-body", Product, at_once: true;
    /// An agent did not come back from a restart as it must.
    RestartNotMet = "restart-not-met", Product, at_once: false;
    /// A command of the matrix file ended with another exit code than 0, or was not done in time.
    CommandFailed = "command-failed", Product, at_once: true;

    /// The matrix, an option or a file that they name can't be used.
    BadConfiguration = "bad-configuration", Configuration, at_once: true;
    /// A manifest can't be read or lacks what a run needs.
    BadManifest = "bad-manifest", Configuration, at_once: true;
    /// The API server refused an object, or does not know one of its fields.
    ObjectRefused = "object-refused", Configuration, at_once: true;
    /// An object names a Secret, ConfigMap or account that is not there.
    DanglingReference = "dangling-reference", Configuration, at_once: true;
    /// No node takes the pod.
    Unschedulable = "unschedulable", Configuration, at_once: true;
    /// `expect` names a counter that the mock doesn't report.
    CounterUnreported = "counter-unreported", Configuration, at_once: true;
    /// The kubelet can't make the container from its description.
    ContainerConfig = "container-config", Configuration, at_once: true;
    /// The manifests name an image that is not on the node, or that no registry has under that name.
    ImageNameUnusable = "image-name-unusable", Configuration, at_once: true;

    /// The container engine does not answer.
    EngineGone = "engine-gone", Infrastructure, at_once: true;
    /// The API server does not answer any more.
    ApiServerGone = "api-server-gone", Infrastructure, at_once: false;
    /// A program that the provider needs is missing or does not work.
    ToolMissing = "tool-missing", Infrastructure, at_once: true;
    /// The cluster did not come up.
    ClusterNotUp = "cluster-not-up", Infrastructure, at_once: true;
    /// The cluster runs another version or has other nodes than was asked for.
    ClusterDiffers = "cluster-differs", Infrastructure, at_once: true;
    /// A node or a core pod did not become ready.
    NodeNotReady = "node-not-ready", Infrastructure, at_once: false;
    /// The kubelet, container runtime or network of a ready node did not start a pod.
    PodNotStarted = "pod-not-started", Infrastructure, at_once: false;
    /// A node is short of memory, disk or process ids.
    NodePressure = "node-pressure", Infrastructure, at_once: true;
    /// The node image is not there and can't be pulled.
    NodeImageMissing = "node-image-missing", Infrastructure, at_once: true;
    /// An image can't be built.
    ImageBuildFailed = "image-build-failed", Infrastructure, at_once: true;
    /// An image can't be pulled.
    ImagePullFailed = "image-pull-failed", Infrastructure, at_once: true;
    /// An image can't be brought onto a node, or is another one there.
    ImageLoadFailed = "image-load-failed", Infrastructure, at_once: true;
    /// The mock did not become available, or ended.
    MockUnavailable = "mock-unavailable", Infrastructure, at_once: false;
    /// The mock was restarted, and its counters are lost.
    MockRestarted = "mock-restarted", Infrastructure, at_once: true;
    /// The mock can't be reached any more.
    ForwardLost = "forward-lost", Infrastructure, at_once: false;
    /// The machine is too small, or a limit of it too low.
    MachineTooSmall = "machine-too-small", Infrastructure, at_once: true;
    /// No port of the range is free.
    NoPortFree = "no-port-free", Infrastructure, at_once: true;
    /// A file or folder of the run can't be read or written.
    FilesystemFailed = "filesystem-failed", Infrastructure, at_once: true;
    /// A program could not be started.
    ProcessFailed = "process-failed", Infrastructure, at_once: true;
    /// Something of the cell is still there after clean-up.
    CleanupIncomplete = "cleanup-incomplete", Infrastructure, at_once: false;
    /// The runner itself has a bug. It is nobody else's, and has an exit code of its own.
    RunnerBug = "runner-bug", Infrastructure, at_once: true;
}

impl fmt::Display for Symptom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// One thing that was looked at: what should have been, what was, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The node it concerns; none where it concerns the cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What was looked at, such as `audit_count`.
    pub subject: String,
    /// What it should be, such as `>= 1`.
    pub expected: String,
    /// What it was, such as `0`.
    pub seen: String,
    /// Whether that is as it should be.
    pub holds: bool,
}

impl Evidence {
    /// What is expected if anything will do.
    pub const NOT_CHECKED: &str = Expectation::NOT_CHECKED;

    /// Whether anything was expected of what was looked at.
    pub fn is_checked(&self) -> bool {
        self.expected != Self::NOT_CHECKED
    }

    /// That nothing of `subject` is left; what still is there is named.
    pub fn none_left(subject: impl Into<String>, left: &[String]) -> Self {
        Self {
            node: None,
            subject: subject.into(),
            expected: "none left".to_owned(),
            seen: if left.is_empty() {
                "none".to_owned()
            } else {
                left.join(", ")
            },
            holds: left.is_empty(),
        }
    }
}

/// The lines of a log that matter to a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogExcerpt {
    /// Whose log, such as `plexd on plexd-e2e-…-worker`.
    pub source: String,
    /// The lines, oldest first, as they came, with a mark where some are left out.
    pub lines: Vec<String>,
    /// The file that has the log, relative to the run's folder; none where it is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What most likely caused a failure, by a rule that was seen to apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LikelyCause {
    /// The name of the rule.
    pub rule: String,
    /// The cause, in a sentence.
    pub message: String,
    /// The line of a log, or the words of Kubernetes, that the rule applies to.
    pub line: String,
    /// The YAML or the command that fixes it.
    pub fix: String,
}

/// Why a phase failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What was seen; class and permanence follow from it.
    pub symptom: Symptom,
    /// One sentence for a person who has only this line.
    pub message: String,
    /// What to do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What most likely caused it, where a rule applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely_cause: Option<Box<LikelyCause>>,
    /// What did not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Logs that matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogExcerpt>,
}

impl Failure {
    /// A failure with nothing but its sentence.
    pub fn new(symptom: Symptom, message: impl Into<String>) -> Self {
        Self {
            symptom,
            message: message.into(),
            remedy: None,
            likely_cause: None,
            evidence: Vec::new(),
            logs: Vec::new(),
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds what did not hold.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// Adds a log.
    #[must_use]
    pub fn with_log(mut self, source: impl Into<String>, lines: Vec<String>) -> Self {
        self.logs.push(LogExcerpt {
            source: source.into(),
            lines,
            file: None,
        });
        self
    }

    /// Whose fault it is.
    pub const fn class(&self) -> FailureClass {
        self.symptom.class()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented table, row by row: a change of class is a change of what exit codes mean.
    #[test]
    fn every_symptom_has_its_documented_class() {
        let of = |class| -> Vec<&str> {
            let all = Symptom::ALL
                .iter()
                .filter(|symptom| symptom.class() == class);
            all.map(|symptom| symptom.name()).collect()
        };
        assert_eq!(
            of(FailureClass::Product),
            [
                "agent-crashed",
                "agent-unhealthy",
                "agent-out-of-memory",
                "agent-not-ready",
                "counter-not-met",
                "counter-exceeded",
                "wrong-nodes",
                "bad-body",
                "restart-not-met",
                "command-failed",
            ]
        );
        assert_eq!(
            of(FailureClass::Configuration),
            [
                "bad-configuration",
                "bad-manifest",
                "object-refused",
                "dangling-reference",
                "unschedulable",
                "counter-unreported",
                "container-config",
                "image-name-unusable",
            ]
        );
        let (product, configuration) = (10, 8);
        assert_eq!(
            of(FailureClass::Infrastructure).len(),
            Symptom::ALL.len() - product - configuration
        );
    }

    #[test]
    fn all_of_class_configuration_fails_at_once() {
        for symptom in Symptom::ALL {
            if symptom.class() == FailureClass::Configuration {
                assert!(symptom.fails_at_once(), "{symptom}");
            }
        }
    }

    #[test]
    fn names_are_unique_and_survive_the_record() {
        let mut names: Vec<_> = Symptom::ALL.iter().map(|symptom| symptom.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Symptom::ALL.len());
        for symptom in Symptom::ALL {
            let text = serde_json::to_string(symptom).unwrap();
            assert_eq!(text, format!("\"{}\"", symptom.name()));
            assert_eq!(serde_json::from_str::<Symptom>(&text).unwrap(), *symptom);
        }
    }
}
