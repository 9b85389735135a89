//! The counters, scaled: what a cell of so many nodes must have counted, in total and on every node. Pure.

use std::collections::BTreeSet;

use mockapi::view::NodeView;

use super::mock::View;
use crate::cluster::NodeName;
use crate::event::{CounterTable, Evidence, NodeCounters};
use crate::matrix::{Counter, Expectation, Expectations};

/// What one counter must come to per node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) counter: Counter,
    pub(crate) expectation: Expectation,
}

/// The counters that go on by themselves: a minimum above 1 is awaited in `periodic`.
pub(crate) const PERIODIC: [Counter; 2] = [Counter::HeartbeatCount, Counter::MetricsCount];

/// What `assertions` requires: the platform counters, the periodic ones to no more than 1.
pub(crate) fn platform(expectations: &Expectations) -> Vec<Requirement> {
    let requirement = |counter| {
        let expectation = match expectations.of(counter) {
            expectation if !PERIODIC.contains(&counter) => expectation,
            Expectation::AtLeast(minimum) | Expectation::Exactly(minimum) => {
                Expectation::AtLeast(minimum.min(1))
            }
            Expectation::Any => Expectation::Any,
        };
        Requirement {
            counter,
            expectation,
        }
    };
    Counter::PLATFORM.into_iter().map(requirement).collect()
}

/// What `periodic` requires: at least two calls of each loop, more where more is expected.
pub(crate) fn periodic(expectations: &Expectations) -> Vec<Requirement> {
    let requirement = |counter| {
        let expectation = match expectations.of(counter) {
            Expectation::AtLeast(minimum) => Expectation::AtLeast(minimum.max(2)),
            other @ (Expectation::Exactly(_) | Expectation::Any) => other,
        };
        Requirement {
            counter,
            expectation,
        }
    };
    PERIODIC.into_iter().map(requirement).collect()
}

/// What `local-endpoint` requires.
pub(crate) fn local(expectations: &Expectations) -> Vec<Requirement> {
    let requirement = |counter| Requirement {
        counter,
        expectation: expectations.of(counter),
    };
    Counter::LOCAL.into_iter().map(requirement).collect()
}

/// What `request-bodies` waits for: a body from every node that has to send one. Only registered nodes have names.
pub(crate) fn sent(
    expectations: &Expectations,
    counters: impl Iterator<Item = Counter>,
) -> Vec<Requirement> {
    let must_be_sent = |counter: &Counter| expectations.of(*counter).minimum() > 0;
    let others = counters.filter(must_be_sent);
    let sent: BTreeSet<_> = others.chain([Counter::RegistrationCount]).collect();
    let requirement = |counter| Requirement {
        counter,
        expectation: Expectation::AtLeast(1),
    };
    sent.into_iter().map(requirement).collect()
}

/// What must still hold before `cleanup`: everything that is expected exactly.
pub(crate) fn exact(expectations: &Expectations) -> Vec<Requirement> {
    let all = Counter::all().map(|counter| Requirement {
        counter,
        expectation: expectations.of(counter),
    });
    all.filter(|requirement| matches!(requirement.expectation, Expectation::Exactly(_)))
        .collect()
}

/// How the counters stand against requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Everything holds; what was looked at.
    Met(Vec<Evidence>),
    /// Not yet; what is open.
    Open(Vec<Evidence>),
    /// A counter went past what it must be exactly; no waiting brings it back.
    Exceeded(Vec<Evidence>),
}

/// Holds the counters in `view` against `requirements`.
pub(crate) fn check(view: &View, nodes: &[NodeName], requirements: &[Requirement]) -> Standing {
    let totals = requirements
        .iter()
        .map(|requirement| total(view, nodes.len(), *requirement));
    let each = requirements.iter().flat_map(|requirement| {
        let parties = view.parties(nodes).into_iter();
        parties
            .flatten()
            .map(|node| of_node(view, node, *requirement))
    });
    let (held, open): (Vec<_>, Vec<_>) = totals.chain(each).partition(|row| row.evidence.holds);
    let evidence = |rows: Vec<Row>| rows.into_iter().map(|row| row.evidence).collect();
    if open.iter().any(|row| row.exceeded) {
        Standing::Exceeded(evidence(open))
    } else if open.is_empty() {
        // Each node's row says no more than its counter in the counters' table.
        Standing::Met(evidence(
            held.into_iter()
                .filter(|row| row.evidence.node.is_none())
                .collect(),
        ))
    } else {
        Standing::Open(evidence(open))
    }
}

struct Row {
    evidence: Evidence,
    exceeded: bool,
}

fn total(view: &View, nodes: usize, requirement: Requirement) -> Row {
    row(
        None,
        requirement.counter,
        requirement.expectation.scaled(nodes),
        view.count(None, requirement.counter),
    )
}

fn of_node(view: &View, node: &NodeName, requirement: Requirement) -> Row {
    row(
        Some(node),
        requirement.counter,
        requirement.expectation,
        view.count(Some(node), requirement.counter),
    )
}

fn row(node: Option<&NodeName>, counter: Counter, expectation: Expectation, seen: u64) -> Row {
    let (holds, exceeded) = match expectation {
        Expectation::AtLeast(minimum) => (seen >= minimum, false),
        Expectation::Exactly(value) => (seen == value, seen > value),
        Expectation::Any => (true, false),
    };
    Row {
        evidence: Evidence {
            node: node.map(ToString::to_string),
            subject: counter.name().to_owned(),
            expected: expectation.to_string(),
            seen: seen.to_string(),
            holds,
        },
        exceeded,
    }
}

/// The mock's name for a counter.
pub(crate) const fn mocks(counter: Counter) -> mockapi::view::Counter {
    use mockapi::view::Counter as Mocks;
    match counter {
        Counter::RegistrationCount => Mocks::Registration,
        Counter::HeartbeatCount => Mocks::Heartbeat,
        Counter::StateCount => Mocks::State,
        Counter::CapabilitiesCount => Mocks::Capabilities,
        Counter::DriftCount => Mocks::Drift,
        Counter::MetricsCount => Mocks::Metrics,
        Counter::LogsCount => Mocks::Logs,
        Counter::AuditCount => Mocks::Audit,
        Counter::LocalMetricsCount => Mocks::LocalMetrics,
        Counter::LocalLogsCount => Mocks::LocalLogs,
        Counter::LocalAuditCount => Mocks::LocalAudit,
    }
}

/// Whether the nodes that report are the cluster's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Nodes of the cluster that nobody registered as.
    pub(crate) missing: Vec<String>,
    /// Who reports and is no node of the cluster.
    pub(crate) strangers: Vec<String>,
    /// As many report as there are nodes, so that a stranger stands in somebody's place.
    pub(crate) complete: bool,
}

impl Membership {
    /// Compares the nodes that report with `nodes`; there is nothing to compare if the mock doesn't count per node.
    pub(crate) fn of(view: &View, nodes: &[NodeName]) -> Self {
        let nodes = if view.nodes.is_some() { nodes } else { &[] };
        let expected: BTreeSet<&str> = nodes.iter().map(NodeName::as_str).collect();
        let reported: BTreeSet<&str> = view
            .reporting()
            .filter_map(|(_, node)| hostname(node))
            .collect();
        let stranger = |(id, node): (&String, &NodeView)| match hostname(node) {
            Some(name) if expected.contains(name) => None,
            Some(name) => Some(format!("{name} (as {id})")),
            None => Some(format!("{id} (without a hostname)")),
        };
        Self {
            missing: expected
                .difference(&reported)
                .map(ToString::to_string)
                .collect(),
            strangers: view.reporting().filter_map(stranger).collect(),
            complete: view.reporting().count() >= nodes.len(),
        }
    }

    /// Whether they are the same.
    pub(crate) fn matches(&self) -> bool {
        self.missing.is_empty() && self.strangers.is_empty()
    }

    /// What does not match, by name.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        let row = |node: &String, expected: &str, seen: &str| Evidence {
            node: Some(node.clone()),
            subject: "registration".to_owned(),
            expected: expected.to_owned(),
            seen: seen.to_owned(),
            holds: false,
        };
        let missing = self
            .missing
            .iter()
            .map(|node| row(node, "registered", "missing"));
        let strangers = self
            .strangers
            .iter()
            .map(|node| row(node, "a node of the cluster", "a stranger"));
        missing.chain(strangers).collect()
    }
}

fn hostname(node: &NodeView) -> Option<&str> {
    node.hostname.as_deref()
}

/// The counters of `view`, for the record: per node by host name, where it has one.
pub(crate) fn table(view: &View) -> NodeCounters {
    let values = |of: &dyn Fn(mockapi::view::Counter) -> u64| -> CounterTable {
        Counter::all()
            .map(|counter| (counter.name().to_owned(), of(mocks(counter))))
            .collect()
    };
    let node = |(id, node): (&String, &NodeView)| {
        let name = node.hostname.clone().unwrap_or_else(|| id.clone());
        (name, values(&|counter| node.counters[counter]))
    };
    NodeCounters {
        total: values(&|counter| view.totals[counter]),
        nodes: view.reporting().map(node).collect(),
    }
}

#[cfg(test)]
mod tests {
    use mockapi::view::Counters;

    use super::*;

    /// A view in which each named node made every call so often, but for the exceptions.
    fn view(nodes: &[(&str, u64)], exceptions: &[(&str, Counter, u64)]) -> View {
        let mut view = View {
            nodes: Some(std::collections::BTreeMap::new()),
            ..View::default()
        };
        for (name, count) in nodes {
            let mut counters = Counters::default();
            for counter in Counter::all() {
                let exception = exceptions
                    .iter()
                    .find(|row| row.0 == *name && row.1 == counter);
                counters[mocks(counter)] = exception.map_or(*count, |row| row.2);
                view.totals[mocks(counter)] += counters[mocks(counter)];
            }
            let node = NodeView {
                hostname: Some((*name).to_owned()),
                first_seen: jiff::Timestamp::UNIX_EPOCH,
                last_seen: jiff::Timestamp::UNIX_EPOCH,
                last_process_start: None,
                process_starts: None,
                counters,
                last_at: mockapi::view::LastAt::default(),
            };
            view.nodes
                .as_mut()
                .unwrap()
                .insert(format!("node-{name}"), node);
        }
        view
    }

    fn nodes(names: &[&str]) -> Vec<NodeName> {
        names.iter().copied().map(NodeName::new).collect()
    }

    fn open(standing: Standing) -> Vec<String> {
        match standing {
            Standing::Met(_) => Vec::new(),
            Standing::Open(rows) | Standing::Exceeded(rows) => rows
                .iter()
                .map(|row| {
                    let node = row.node.as_deref().unwrap_or("total");
                    format!("{node}: {} {} {}", row.subject, row.seen, row.expected)
                })
                .collect(),
        }
    }

    #[test]
    fn one_chatty_node_hides_no_silent_one() {
        let silent = [("b", Counter::AuditCount, 0)];
        let seen = view(&[("a", 9), ("b", 1)], &silent);
        let requirements = platform(&Expectations::default());
        assert_eq!(
            open(check(&seen, &nodes(&["a", "b"]), &requirements)),
            ["b: audit_count 0 >= 1"]
        );
    }

    #[test]
    fn totals_scale_with_the_nodes() {
        let seen = view(&[("a", 1)], &[]);
        let requirements = periodic(&Expectations::default());
        assert_eq!(
            open(check(&seen, &nodes(&["a"]), &requirements)),
            [
                "total: heartbeat_count 1 >= 2",
                "total: metrics_count 1 >= 2",
                "a: heartbeat_count 1 >= 2",
                "a: metrics_count 1 >= 2",
            ]
        );
        let seen = view(&[("a", 2), ("b", 2)], &[]);
        let standing = check(&seen, &nodes(&["a", "b"]), &requirements);
        assert!(matches!(standing, Standing::Met(rows) if rows[0].expected == ">= 4"));
    }

    #[test]
    fn what_goes_past_exactly_is_over_at_once() {
        let mut expectations = Expectations::default();
        expectations.set(Counter::CapabilitiesCount, Expectation::Exactly(1));
        expectations.set(Counter::HeartbeatCount, Expectation::AtLeast(5));
        let requirements = platform(&expectations);
        let seen = view(&[("a", 1)], &[("a", Counter::CapabilitiesCount, 2)]);
        assert!(matches!(
            check(&seen, &nodes(&["a"]), &requirements),
            Standing::Exceeded(_)
        ));
        // A periodic counter's minimum is `periodic`'s to wait for.
        let seen = view(&[("a", 1)], &[]);
        assert!(matches!(
            check(&seen, &nodes(&["a"]), &requirements),
            Standing::Met(_)
        ));
        assert_eq!(
            periodic(&expectations)[0].expectation,
            Expectation::AtLeast(5)
        );
        assert_eq!(exact(&expectations).len(), 1);
    }

    #[test]
    fn no_minimum_is_met_by_nothing() {
        let mut expectations = Expectations::default();
        expectations.set(Counter::LocalLogsCount, Expectation::AtLeast(0));
        let seen = view(&[("a", 1)], &[("a", Counter::LocalLogsCount, 0)]);
        let standing = check(&seen, &nodes(&["a"]), &local(&expectations));
        assert!(matches!(standing, Standing::Met(_)));
    }

    #[test]
    fn strangers_and_missing_nodes_are_named() {
        let seen = view(&[("a", 1), ("x", 1)], &[]);
        let members = Membership::of(&seen, &nodes(&["a", "b"]));
        assert_eq!(members.missing, ["b"]);
        assert_eq!(members.strangers, ["x (as node-x)"]);
        assert!(members.complete);
        assert!(!members.matches());
        assert!(Membership::of(&seen, &nodes(&["a", "x"])).matches());
    }
}
