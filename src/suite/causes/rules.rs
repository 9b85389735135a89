//! The table of rules. The first rule that applies is used.

use crate::event::Symptom::{
    self, AgentCrashed, AgentNotReady, AgentOutOfMemory, AgentUnhealthy, CounterNotMet,
    ImageNameUnusable, ImagePullFailed, RestartNotMet, Unschedulable, WrongNodes,
};

/// A rule that explains certain failures by one cause.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The name in records.
    pub name: &'static str,
    /// The failures that the rule can explain.
    pub symptoms: &'static [Symptom],
    /// The source of the line that proves the cause.
    pub source: Source,
    /// Groups of lowercase words. The line must contain at least one word of each group.
    pub words: &'static [&'static [&'static str]],
    /// Facts that must hold in addition.
    pub facts: &'static [Fact],
    /// The cause in one sentence. Names in braces are placeholders.
    pub sentence: &'static str,
    /// The YAML or the command that fixes the cause.
    pub fix: &'static str,
}

/// The source of a line that proves a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The log of the agent that failed; the last matching line is used.
    Log,
    /// The message of the failure, which quotes Kubernetes, or the evidence of the failure.
    Failure,
}

impl Source {
    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "the agent's log",
            Self::Failure => "the failure",
        }
    }
}

/// A fact about the rendered manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The agent's pod uses the network of its node, but its DNS policy isn't `ClusterFirstWithHostNet`.
    WrongDnsPolicy,
    /// No volume is mounted at the path in the line.
    NotMounted,
    /// A ConfigMap is mounted at the path in the line, but doesn't contain the file.
    NoSuchKey,
    /// A container with the image in the line has this pull policy.
    PullPolicy(&'static str),
}

impl Fact {
    /// The description for people.
    pub fn meaning(self) -> String {
        match self {
            Self::WrongDnsPolicy => {
                "`hostNetwork: true` without `dnsPolicy: ClusterFirstWithHostNet`".to_owned()
            }
            Self::NotMounted => "no volume is mounted at that path".to_owned(),
            Self::NoSuchKey => "a ConfigMap is mounted at that path, without that file".to_owned(),
            Self::PullPolicy(policy) => format!("`imagePullPolicy: {policy}`"),
        }
    }
}

/// The symptoms of an agent that doesn't run properly.
const STARTS: &[Symptom] = &[AgentCrashed, AgentUnhealthy, AgentNotReady, RestartNotMet];
/// The symptoms of an agent that doesn't run properly, or runs without doing its work.
const WORKS: &[Symptom] = &[
    AgentCrashed,
    AgentUnhealthy,
    AgentNotReady,
    RestartNotMet,
    CounterNotMet,
    WrongNodes,
];

const NO_FILE: &[&str] = &[
    "no such file",
    "cannot find the file",
    "filenotfound",
    "nosuchfile",
    "does not exist",
];
const CONFIGURATION: &[&str] = &["config", ".yaml", ".yml", ".json", ".toml"];

/// All rules, in the order in which they are tried.
pub const RULES: &[Rule] = &[
    Rule {
        name: "dns-policy",
        symptoms: WORKS,
        source: Source::Log,
        words: &[&[
            "dns error",
            "no such host",
            "name or service not known",
            "name resolution",
            "name does not resolve",
            "failed to lookup address",
            "server misbehaving",
            "unknownhostexception",
            "nodename nor servname",
            "no address associated with hostname",
        ]],
        facts: &[Fact::WrongDnsPolicy],
        sentence: "the agent can't resolve the names of Services: it uses its node's network with the DNS policy {dns-policy}",
        fix: "# DaemonSet {daemonset}, spec.template.spec\ndnsPolicy: ClusterFirstWithHostNet",
    },
    Rule {
        name: "config-not-mounted",
        symptoms: STARTS,
        source: Source::Log,
        words: &[NO_FILE, CONFIGURATION],
        facts: &[Fact::NotMounted],
        sentence: "no ConfigMap is mounted at {folder}, where the agent looks for its configuration",
        fix: "# DaemonSet {daemonset}, spec.template.spec\ncontainers:\n  - name: {container}\n    volumeMounts:\n      - name: config\n        \
              mountPath: {folder}\n        readOnly: true\nvolumes:\n  - name: config\n    configMap:\n      name: {config-map}",
    },
    Rule {
        name: "config-wrong-key",
        symptoms: STARTS,
        source: Source::Log,
        words: &[NO_FILE, CONFIGURATION],
        facts: &[Fact::NoSuchKey],
        sentence: "the ConfigMap mounted at {folder} doesn't contain the file {file}",
        fix: "# DaemonSet {daemonset}, spec.template.spec\nvolumes:\n  - name: {volume}\n    configMap:\n      name: {config-map}\n      items:\n        \
              - key: {key}\n          path: {file}",
    },
    Rule {
        name: "no-token",
        symptoms: WORKS,
        source: Source::Log,
        words: &[
            &["token"],
            &[
                "no bootstrap token",
                "required",
                "missing",
                "not set",
                "unset",
                "empty",
                "must be set",
                "not found",
                "undefined",
                "keyerror",
            ],
        ],
        facts: &[],
        sentence: "the agent has no bootstrap token",
        fix: "# DaemonSet {daemonset}, spec.template.spec\ncontainers:\n  - name: {container}\n    env:\n      - name: PLEXD_BOOTSTRAP_TOKEN\n        \
              valueFrom:\n          secretKeyRef:\n            name: plexd-bootstrap\n            key: token",
    },
    Rule {
        name: "config-refused",
        symptoms: STARTS,
        source: Source::Log,
        words: &[
            &["config", "base_url", "baseurl", "yaml"],
            &[
                "required",
                "invalid",
                "not valid",
                "unknown field",
                "missing",
                "unmarshal",
                "parse",
            ],
        ],
        facts: &[],
        sentence: "the agent rejects its configuration",
        fix: "# the configuration of the agent; `e2e-matrix explain` shows where each value comes from\n\
              cat {kept-manifests}/06-configmaps.yaml",
    },
    Rule {
        name: "rbac",
        symptoms: WORKS,
        source: Source::Log,
        words: &[&["system:serviceaccount:"], &["cannot "], &["resource"]],
        facts: &[],
        sentence: "the agent's service account {account} is not allowed to {verb} {resource}",
        fix: "# a ClusterRole that a ClusterRoleBinding binds to the ServiceAccount {account}\nrules:\n  - apiGroups: [\"{group}\"]\n    \
              resources: [\"{resource}\"]\n    verbs: [\"{verb}\"]",
    },
    Rule {
        name: "read-only",
        symptoms: STARTS,
        source: Source::Log,
        words: &[&["read-only file system", "readonlyfilesystem", "erofs"]],
        facts: &[],
        sentence: "the agent writes to {path}, which is read-only in its container",
        fix: "# DaemonSet {daemonset}, spec.template.spec; an existing mount must not have `readOnly: true`\ncontainers:\n  \
              - name: {container}\n    volumeMounts:\n      - name: writable\n        mountPath: {path}\nvolumes:\n  - name: writable\n    emptyDir: {}",
    },
    Rule {
        name: "host-name",
        symptoms: &[WrongNodes],
        source: Source::Failure,
        words: &[&["unexpected node"]],
        facts: &[],
        sentence: "the agent doesn't register under its node's name",
        fix: "# DaemonSet {daemonset}, spec.template.spec\ncontainers:\n  - name: {container}\n    env:\n      - name: MY_NODE_NAME\n        \
              valueFrom:\n          fieldRef:\n            fieldPath: spec.nodeName",
    },
    Rule {
        name: "image-not-on-node",
        symptoms: &[ImageNameUnusable],
        source: Source::Failure,
        words: &[&["errimageneverpull", "pull policy of never"]],
        facts: &[],
        sentence: "the image {image} is not on the node, and its pull policy Never forbids pulling it",
        fix: "# the container with this image\nimage: {image}\nimagePullPolicy: IfNotPresent",
    },
    Rule {
        name: "pull-policy",
        symptoms: &[ImageNameUnusable, ImagePullFailed],
        source: Source::Failure,
        words: &[&["pull"]],
        facts: &[Fact::PullPolicy("Always")],
        sentence: "the pull policy Always requires a registry that has {image}, even if the image is on the node",
        fix: "# the container with this image\nimage: {image}\nimagePullPolicy: IfNotPresent",
    },
    Rule {
        name: "memory-limit",
        symptoms: &[AgentOutOfMemory],
        source: Source::Failure,
        words: &[],
        facts: &[],
        sentence: "the agent needs more memory than its limit, {memory-limit}",
        fix: "# DaemonSet {daemonset}, spec.template.spec, with a sufficient amount\ncontainers:\n  - name: {container}\n    resources:\n      \
              limits:\n        memory: 256Mi",
    },
    Rule {
        name: "requests-too-large",
        symptoms: &[Unschedulable],
        source: Source::Failure,
        words: &[&["insufficient"]],
        facts: &[],
        sentence: "the pod requests more resources than a node has",
        fix: "# DaemonSet {daemonset}, spec.template.spec, with amounts that are free on each node\ncontainers:\n  - name: {container}\n    resources:\n      \
              requests:\n        cpu: 50m\n        memory: 64Mi",
    },
    Rule {
        name: "taint",
        symptoms: &[Unschedulable],
        source: Source::Failure,
        words: &[&["taint"]],
        facts: &[],
        sentence: "the agent doesn't tolerate a taint of the node",
        fix: "# DaemonSet {daemonset}, spec.template.spec\ntolerations:\n  - operator: Exists",
    },
];
