//! The table of all failures, with their class and whether waiting longer could help.
//!
//! Everything that can go wrong in a cell is a [`Symptom`], which alone determines the class.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::matrix::{Expectation, named};

named! {
    /// The side that is responsible for a failure.
    #[derive(
        Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
    )]
    #[serde(rename_all = "kebab-case")]
    pub enum FailureClass {
        /// The agent violated the contract.
        Product = "product",
        /// The manifests or the matrix file are wrong.
        Configuration = "configuration",
        /// Docker, kind, the network, an image pull, the machine or the mock failed.
        Infrastructure = "infrastructure",
    }
}

/// Declares [`Symptom`] together with its table, so that each variant has a name and a class.
macro_rules! symptoms {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, $class:ident, at_once: $at_once:literal; )+) => {
        /// The kind of a failure. The variants and their classes form one table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Symptom {
            $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+
        }

        impl Symptom {
            /// All symptoms.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in reports and records.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The meaning, in a sentence or two.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start()),+ }
            }

            /// The class of this failure.
            pub const fn class(self) -> FailureClass {
                match self { $(Self::$variant => FailureClass::$class),+ }
            }

            /// Whether the failure ends its phase before the timeout, because waiting longer can't help. This value
            /// only documents what the waits do, and doesn't control them.
            pub const fn fails_at_once(self) -> bool {
                match self { $(Self::$variant => $at_once),+ }
            }
        }
    };
}

symptoms! {
    /// The agent's process exited: once after readiness, or three times before it. Restarts by the suite don't count.
    AgentCrashed = "agent-crashed", Product, at_once: true;
    /// The agent's liveness or startup probe failed, and the kubelet has killed the agent or is about to.
    AgentUnhealthy = "agent-unhealthy", Product, at_once: true;
    /// The agent was killed because it exceeded its memory limit.
    AgentOutOfMemory = "agent-out-of-memory", Product, at_once: true;
    /// The agent's readiness probe did not succeed in time.
    AgentNotReady = "agent-not-ready", Product, at_once: false;
    /// A counter did not reach its expected value.
    CounterNotMet = "counter-not-met", Product, at_once: false;
    /// A counter exceeded an exact expectation.
    CounterExceeded = "counter-exceeded", Product, at_once: true;
    /// The nodes that report are not the nodes of the cluster.
    WrongNodes = "wrong-nodes", Product, at_once: false;
    /// A request body lacks required content.
    BadBody = "bad-body", Product, at_once: true;
    /// An agent did not recover from its restart as required.
    RestartNotMet = "restart-not-met", Product, at_once: false;
    /// A command of the matrix file timed out or exited with a code other than 0.
    CommandFailed = "command-failed", Product, at_once: true;

    /// The matrix file, an option or a file that they name can't be used.
    BadConfiguration = "bad-configuration", Configuration, at_once: true;
    /// A manifest can't be read, or lacks something that a run needs.
    BadManifest = "bad-manifest", Configuration, at_once: true;
    /// The API server rejected an object, or doesn't know one of its fields.
    ObjectRefused = "object-refused", Configuration, at_once: true;
    /// An object refers to a Secret, ConfigMap or account that doesn't exist.
    DanglingReference = "dangling-reference", Configuration, at_once: true;
    /// The pod can't be scheduled to any node.
    Unschedulable = "unschedulable", Configuration, at_once: true;
    /// `expect` names a counter that the mock doesn't report.
    CounterUnreported = "counter-unreported", Configuration, at_once: true;
    /// The kubelet can't create the container from its specification.
    ContainerConfig = "container-config", Configuration, at_once: true;
    /// The manifests name an image that is not on the node and that no registry has.
    ImageNameUnusable = "image-name-unusable", Configuration, at_once: true;
    /// A workload in the manifests, other than the agent and the mock, failed.
    WorkloadFailed = "workload-failed", Configuration, at_once: true;

    /// The container engine does not respond.
    EngineGone = "engine-gone", Infrastructure, at_once: true;
    /// The API server no longer responds.
    ApiServerGone = "api-server-gone", Infrastructure, at_once: false;
    /// A program that the provider needs is missing or does not work.
    ToolMissing = "tool-missing", Infrastructure, at_once: true;
    /// The cluster did not start.
    ClusterNotUp = "cluster-not-up", Infrastructure, at_once: true;
    /// The cluster's version or nodes differ from the requested ones.
    ClusterDiffers = "cluster-differs", Infrastructure, at_once: true;
    /// A node or a core pod did not become ready.
    NodeNotReady = "node-not-ready", Infrastructure, at_once: false;
    /// The kubelet, the container runtime or the network of a ready node did not start a pod.
    PodNotStarted = "pod-not-started", Infrastructure, at_once: false;
    /// A node is short of memory, disk space or process IDs.
    NodePressure = "node-pressure", Infrastructure, at_once: true;
    /// The node image does not exist locally and can't be pulled.
    NodeImageMissing = "node-image-missing", Infrastructure, at_once: true;
    /// An image can't be built.
    ImageBuildFailed = "image-build-failed", Infrastructure, at_once: true;
    /// An image can't be pulled.
    ImagePullFailed = "image-pull-failed", Infrastructure, at_once: true;
    /// An image can't be loaded onto a node, or the node has a different image with that name.
    ImageLoadFailed = "image-load-failed", Infrastructure, at_once: true;
    /// The mock did not become available, or its process exited.
    MockUnavailable = "mock-unavailable", Infrastructure, at_once: false;
    /// The mock was restarted, so its counters are lost.
    MockRestarted = "mock-restarted", Infrastructure, at_once: true;
    /// The connection to the mock was lost.
    ForwardLost = "forward-lost", Infrastructure, at_once: false;
    /// The machine is too small, or one of its limits is too low.
    MachineTooSmall = "machine-too-small", Infrastructure, at_once: true;
    /// No port in the range is free.
    NoPortFree = "no-port-free", Infrastructure, at_once: true;
    /// A file or folder of the run can't be read or written.
    FilesystemFailed = "filesystem-failed", Infrastructure, at_once: true;
    /// A program could not be started.
    ProcessFailed = "process-failed", Infrastructure, at_once: true;
    /// A resource of the cell still exists after cleanup.
    CleanupIncomplete = "cleanup-incomplete", Infrastructure, at_once: false;
    /// The runner has a bug. Its exit code is 101.
    RunnerBug = "runner-bug", Infrastructure, at_once: true;
}

impl fmt::Display for Symptom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// One check: what was expected, what was found, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The node that was checked; absent if the check concerns the whole cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What was checked, such as `audit_count`.
    pub subject: String,
    /// The expectation, such as `>= 1`.
    pub expected: String,
    /// The value that was found, such as `0`.
    pub seen: String,
    /// Whether the value meets the expectation.
    pub holds: bool,
}

impl Evidence {
    /// The expectation if every value is accepted.
    pub const NOT_CHECKED: &str = Expectation::NOT_CHECKED;

    /// Whether there was an expectation other than [`Self::NOT_CHECKED`].
    pub fn is_checked(&self) -> bool {
        self.expected != Self::NOT_CHECKED
    }

    /// A check of the whole cell.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass texts and numbers of various types"
    )]
    pub fn new(
        subject: impl ToString,
        expected: impl ToString,
        seen: impl ToString,
        holds: bool,
    ) -> Self {
        Self {
            node: None,
            subject: subject.to_string(),
            expected: expected.to_string(),
            seen: seen.to_string(),
            holds,
        }
    }

    /// The same check for `node`, if there is one.
    #[must_use]
    pub fn on(mut self, node: Option<&(impl ToString + ?Sized)>) -> Self {
        self.node = node.map(ToString::to_string);
        self
    }

    /// The check that none of the resources in `subject`, such as `containers`, is left. `left` has the names of the
    /// remaining ones.
    pub fn none_left(subject: impl ToString, left: &[String]) -> Self {
        let names = left.join(", ");
        let seen = if left.is_empty() { "none" } else { &names };
        Self::new(subject, "none left", seen, left.is_empty())
    }
}

/// The lines of a log that matter for a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogExcerpt {
    /// The source of the log, such as `plexd on plexd-e2e-…-worker`.
    pub source: String,
    /// The lines, oldest first and unchanged, with a mark for each gap.
    pub lines: Vec<String>,
    /// The file that contains the whole log, relative to the run's folder; absent if the log was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// The most likely cause of a failure, according to a rule whose evidence was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LikelyCause {
    /// The name of the rule.
    pub rule: String,
    /// The cause, in one sentence.
    pub message: String,
    /// The line of a log, or the message of Kubernetes, that the rule matched.
    pub line: String,
    /// The YAML or the command that fixes the cause.
    pub fix: String,
}

/// Why a phase failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{message}")]
pub struct Failure {
    /// The kind of failure, which determines its class.
    pub symptom: Symptom,
    /// One sentence that can be understood without the rest.
    pub message: String,
    /// What to do about it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The most likely cause, if a rule matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely_cause: Option<Box<LikelyCause>>,
    /// The checks that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Excerpts from the relevant logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogExcerpt>,
}

impl Failure {
    /// A failure with only a message.
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

    /// Adds what to do about the failure.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds failed checks.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// Returns `evidence` if all of it holds.
    ///
    /// # Errors
    /// Returns this failure, with the failed checks as its evidence.
    pub fn unless_all_hold(self, evidence: Vec<Evidence>) -> Result<Vec<Evidence>, Self> {
        let (held, open): (Vec<_>, Vec<_>) = evidence.into_iter().partition(|row| row.holds);
        if open.is_empty() {
            Ok(held)
        } else {
            Err(self.with_evidence(open))
        }
    }

    /// Adds a log excerpt.
    #[must_use]
    pub fn with_log(mut self, source: impl Into<String>, lines: Vec<String>) -> Self {
        self.logs.push(LogExcerpt {
            source: source.into(),
            lines,
            file: None,
        });
        self
    }

    /// The class of this failure.
    pub const fn class(&self) -> FailureClass {
        self.symptom.class()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented table, row by row. Changing a class would change the meaning of exit codes.
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
                "workload-failed",
            ]
        );
        let (product, configuration) = (10, 9);
        assert_eq!(
            of(FailureClass::Infrastructure).len(),
            Symptom::ALL.len() - product - configuration
        );
    }

    #[test]
    fn configuration_failures_end_their_phase_at_once() {
        for symptom in Symptom::ALL {
            if symptom.class() == FailureClass::Configuration {
                assert!(symptom.fails_at_once(), "{symptom}");
            }
        }
    }

    #[test]
    fn names_are_unique_and_can_be_read_back() {
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
