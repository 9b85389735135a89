//! The faults that can be switched on in the agent, and the phase of the suite that each must make fail.
//!
//! One table defines names, phases and documentation, and the tests of the suite derive their cases from it. Code whose
//! behavior depends on a fault asks [`Faults::has`].

use std::fmt;
use std::str::FromStr;

/// Defines the enum, its list, its names and its phases from one table.
macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal fails $phase:expr;)*) => {
        /// A fault, which changes exactly one behavior.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Fault {
            /// All faults, in the order of the suite's phases.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The description, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+).trim_ascii_start(),)*
                }
            }

            /// The only phase that must fail, or `None` if the whole suite must pass.
            pub const fn phase(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => $phase,)*
                }
            }
        }
    };
}

faults! {
    /// Exits with code 1 before it listens.
    Crash = "crash" fails Some("readiness");
    /// `/readyz` always answers 503.
    NeverReady = "never-ready" fails Some("readiness");
    /// Never registers, so it can't make any other call either.
    NoRegister = "no-register" fails Some("assertions");
    /// Sends no heartbeats.
    NoHeartbeat = "no-heartbeat" fails Some("assertions");
    /// Never fetches its state, and continues as if it were empty.
    NoState = "no-state" fails Some("assertions");
    /// Never reports its capabilities.
    NoCapabilities = "no-capabilities" fails Some("assertions");
    /// Never reports drift.
    NoDrift = "no-drift" fails Some("assertions");
    /// Sends no metrics to the Central API.
    NoMetrics = "no-metrics" fails Some("assertions");
    /// Sends no logs to the Central API.
    NoLogs = "no-logs" fails Some("assertions");
    /// Sends no audit entries to the Central API.
    NoAudit = "no-audit" fails Some("assertions");
    /// Registers without `hostname` in the body.
    RegisterNoHostname = "register-no-hostname" fails Some("assertions");
    /// Registers without `token` in the body.
    RegisterNoToken = "register-no-token" fails Some("request-bodies");
    /// Sends heartbeats without `timestamp`.
    HeartbeatNoTimestamp = "heartbeat-no-timestamp" fails Some("request-bodies");
    /// Sends heartbeats that are not JSON.
    HeartbeatNotJson = "heartbeat-not-json" fails Some("request-bodies");
    /// Reports an empty list of capabilities.
    EmptyActions = "empty-actions" fails Some("request-bodies");
    /// Each process stops sending heartbeats after its first acknowledged one.
    HeartbeatOnce = "heartbeat-once" fails Some("periodic");
    /// Each process stops sending metrics to the Central API after its first acknowledged report.
    MetricsOnce = "metrics-once" fails Some("periodic");
    /// Registers again after a restart.
    ForgetIdentity = "forget-identity" fails Some("restart");
    /// Only the first process reports its start.
    SilentRestart = "silent-restart" fails Some("restart");
    /// Sends no heartbeats after a restart.
    HeartbeatDiesOnRestart = "heartbeat-dies-on-restart" fails Some("restart");
    /// Sends a single heartbeat after a restart.
    HeartbeatOnceAfterRestart = "heartbeat-once-after-restart" fails Some("restart");
    /// Exits with code 0 after the first acknowledged heartbeat that follows a restart.
    EndsAfterRestart = "ends-after-restart" fails Some("restart");
    /// Decrypts with the wrong key, so it gets no token for the local endpoint.
    WrongKey = "wrong-key" fails Some("local-endpoint");
    /// Sends no metrics to the local endpoint.
    NoLocalMetrics = "no-local-metrics" fails Some("local-endpoint");
    /// Sends no logs to the local endpoint.
    NoLocalLogs = "no-local-logs" fails Some("local-endpoint");
    /// Sends no audit entries to the local endpoint.
    NoLocalAudit = "no-local-audit" fails Some("local-endpoint");
    /// Waits for 5 s before it does anything, including listening on its health port.
    SlowStart = "slow-start" fails None;
    /// Reports times that are ten minutes ahead.
    ClockAhead = "clock-ahead" fails None;
    /// Reports times that are ten minutes behind.
    ClockBehind = "clock-behind" fails None;
    /// Reports times that are ten minutes behind after a restart, as if its clock had been set back.
    ClockSetBack = "clock-set-back" fails None;
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|fault| fault.name() == name);
        known.copied().ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

/// An unknown name. The message lists the known names.
#[derive(Debug, thiserror::Error)]
#[error("unknown fault {0:?}; the known faults are: {names}", names = names())]
pub struct UnknownFault(String);

fn names() -> String {
    let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    names.join(", ")
}

/// The faults of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Parses `<name>[@<node>][,…]`, and keeps the faults that apply to `node`, the node of this process. White space
    /// alone means no faults.
    ///
    /// All names are checked, including those of faults for other nodes, so that a typo is always found.
    pub fn parse(specification: &str, node: &str) -> Result<Self, UnknownFault> {
        let mut faults = Vec::new();
        for item in specification
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (name, target) = match item.split_once('@') {
                Some((name, target)) => (name, Some(target)),
                None => (item, None),
            };
            let fault: Fault = name.trim().parse()?;
            if target.is_none_or(|target| is_meant(target.trim(), node)) {
                faults.push(fault);
            }
        }
        Ok(Self(faults))
    }

    /// Whether this fault is active.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// The active faults, in the requested order.
    pub fn iter(&self) -> impl Iterator<Item = Fault> {
        self.0.iter().copied()
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        Self(faults.into_iter().collect())
    }
}

/// Whether `target` selects this node: by the node's number in kind's order, or by the end of the node's name.
fn is_meant(target: &str, node: &str) -> bool {
    match target.parse::<u32>() {
        Ok(0) => node.ends_with("-control-plane"),
        Ok(1) => node.ends_with("-worker"),
        Ok(number) => node.ends_with(&format!("-worker{number}")),
        Err(_) => !target.is_empty() && node.ends_with(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [&str; 4] = ["c-control-plane", "c-worker", "c-worker2", "c-worker12"];

    fn nodes_with(specification: &str) -> Vec<&'static str> {
        let has = |node: &&&str| {
            Faults::parse(specification, node)
                .unwrap()
                .has(Fault::NoDrift)
        };
        NODES.iter().filter(has).copied().collect()
    }

    #[test]
    fn every_name_is_parsed_as_its_fault() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>().unwrap(), *fault);
        }
    }

    #[test]
    fn only_slow_start_and_clock_faults_must_pass() {
        let passing: Vec<_> = Fault::ALL
            .iter()
            .filter(|fault| fault.phase().is_none())
            .collect();
        let expected = [
            Fault::SlowStart,
            Fault::ClockAhead,
            Fault::ClockBehind,
            Fault::ClockSetBack,
        ];
        assert_eq!(passing, expected.each_ref());
    }

    #[test]
    fn an_empty_specification_means_no_faults() {
        for specification in ["", " ", ",", " , "] {
            assert_eq!(
                Faults::parse(specification, "n").unwrap(),
                Faults::default()
            );
        }
    }

    #[test]
    fn a_node_is_selected_by_its_number_or_by_the_end_of_its_name() {
        assert_eq!(nodes_with("no-drift"), NODES);
        assert_eq!(nodes_with("no-drift@0"), ["c-control-plane"]);
        assert_eq!(nodes_with("no-drift@1"), ["c-worker"]);
        assert_eq!(nodes_with("no-drift@2"), ["c-worker2"]);
        assert_eq!(nodes_with("no-drift@12"), ["c-worker12"]);
        assert_eq!(nodes_with("no-drift@worker2"), ["c-worker2"]);
        assert_eq!(nodes_with("no-drift@control-plane"), ["c-control-plane"]);
        assert_eq!(nodes_with("no-drift@"), Vec::<&str>::new());
    }

    #[test]
    fn several_faults_are_separated_by_commas() {
        let faults = Faults::parse("no-drift, crash@0 ,no-logs@1", "c-worker").unwrap();
        assert_eq!(
            faults.iter().collect::<Vec<_>>(),
            [Fault::NoDrift, Fault::NoLogs]
        );
    }

    #[test]
    fn an_unknown_name_is_an_error_even_for_another_node() {
        let error = Faults::parse("no-drfit@7", "c-worker")
            .unwrap_err()
            .to_string();
        assert!(error.contains("no-drfit"), "{error}");
        for fault in Fault::ALL {
            assert!(
                error.contains(fault.name()),
                "{error} does not list {fault}"
            );
        }
    }
}
