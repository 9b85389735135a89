//! The values that the counters of a cell must reach: on each node, and in total, scaled by the number of nodes. All
//! functions are pure.

use std::collections::BTreeSet;

use super::mock::{NodeView, Party, View};
use super::wait::{self, Progress};
use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, NodeCounters, Symptom};
use crate::matrix::{Counter, Expectation, Expectations, nearest};

/// The mock's name for a counter, and its expectation per node.
pub(crate) type Requirement<'e> = (&'e str, Expectation);

/// The counters of periodic calls. The phase `assertions` waits for at most one call of each kind, and `periodic` waits
/// for the rest.
pub(crate) const PERIODIC: [Counter; 2] = [Counter::HeartbeatCount, Counter::MetricsCount];

/// The requirements of `assertions`: the platform counters, and the further counters of the mock that the matrix file
/// names. For periodic calls, the minimum is at most 1.
pub(crate) fn platform(expectations: &Expectations) -> Vec<Requirement<'_>> {
    let requirement = |counter: Counter| {
        let expectation = match expectations.of(counter) {
            expectation if !PERIODIC.contains(&counter) => expectation,
            Expectation::AtLeast(minimum) | Expectation::Exactly(minimum) => {
                Expectation::AtLeast(minimum.min(1))
            }
            Expectation::Any => Expectation::Any,
        };
        (counter.name(), expectation)
    };
    let platform = Counter::PLATFORM.into_iter().map(requirement);
    platform.chain(expectations.further()).collect()
}

/// The requirements of `periodic`: at least two calls of each kind, or more if the matrix file expects more.
pub(crate) fn periodic(expectations: &Expectations) -> Vec<Requirement<'static>> {
    let requirement = |counter: Counter| {
        let expectation = match expectations.of(counter) {
            Expectation::AtLeast(minimum) => Expectation::AtLeast(minimum.max(2)),
            other @ (Expectation::Exactly(_) | Expectation::Any) => other,
        };
        (counter.name(), expectation)
    };
    PERIODIC.into_iter().map(requirement).collect()
}

/// The requirements of `local-endpoint`.
pub(crate) fn local(expectations: &Expectations) -> Vec<Requirement<'static>> {
    let requirement = |counter: Counter| (counter.name(), expectations.of(counter));
    Counter::LOCAL.into_iter().map(requirement).collect()
}

/// The requirements of `request-bodies`: one call for each of `counters` with a minimum above 0. Each node also has to
/// be registered, because the mock knows only the names of registered nodes.
pub(crate) fn sent(
    expectations: &Expectations,
    counters: impl Iterator<Item = Counter>,
) -> Vec<Requirement<'static>> {
    let must_be_sent = |counter: &Counter| expectations.of(*counter).minimum() > 0;
    let others = counters.filter(must_be_sent);
    let sent: BTreeSet<_> = others.chain([Counter::RegistrationCount]).collect();
    let requirement = |counter: Counter| (counter.name(), Expectation::AtLeast(1));
    sent.into_iter().map(requirement).collect()
}

/// The requirements that are checked again before `cleanup`: all exact expectations.
pub(crate) fn exact(expectations: &Expectations) -> Vec<Requirement<'_>> {
    let all = expectations.all();
    all.filter(|(_, expectation)| matches!(expectation, Expectation::Exactly(_)))
        .collect()
}

/// Compares the counters in `view` with `requirements`. If a counter exceeds an exact expectation or isn't reported by
/// the mock, waiting can't help.
pub(crate) fn check(
    view: &View,
    nodes: &[NodeName],
    requirements: &[Requirement<'_>],
) -> Progress<Vec<Evidence>> {
    if let Some(failure) = unreported(view, requirements) {
        return Progress::Failed(failure);
    }
    let totals = requirements
        .iter()
        .map(|(counter, expectation)| row(view, None, counter, expectation.scaled(nodes.len())));
    let per_node = requirements.iter().flat_map(|(counter, expectation)| {
        let nodes = view.parties(nodes).into_iter().flatten();
        nodes.map(|node| row(view, Some(node), counter, *expectation))
    });
    let (rows, exceeded): (Vec<Evidence>, Vec<bool>) = totals.chain(per_node).unzip();
    match wait::all_hold(Symptom::CounterNotMet, rows) {
        // The rows per node would only repeat the table of counters.
        Ok(held) => Progress::Done(held.into_iter().filter(|row| row.node.is_none()).collect()),
        Err(unmet) if exceeded.contains(&true) => Progress::Failed(Failure {
            symptom: Symptom::CounterExceeded,
            ..unmet
        }),
        Err(unmet) => Progress::Waiting(unmet),
    }
}

/// The failure if the matrix file expects counters that the mock doesn't report.
fn unreported(view: &View, requirements: &[Requirement<'_>]) -> Option<Failure> {
    let is_unreported = |(counter, expectation): &&Requirement<'_>| {
        *expectation != Expectation::Any && !view.totals.contains_key(*counter)
    };
    let unreported: Vec<_> = requirements.iter().filter(is_unreported).collect();
    let (name, _) = unreported.first()?;
    let rows = unreported.iter().map(|(counter, expectation)| {
        Evidence::new(*counter, expectation, "not reported by the mock", false)
    });
    let reported = nearest::quoted(view.totals.keys());
    let message = format!(
        "the mock reports no counter `{name}`, so `expect` can't name it (use `{name} = \"any\"` to leave it out); it reports {reported}"
    );
    Some(Failure::new(Symptom::CounterUnreported, message).with_evidence(rows))
}

/// The evidence for whether `counter` meets the expectation for `party`, and whether the counter exceeds it.
fn row(view: &View, party: Party<'_>, counter: &str, expectation: Expectation) -> (Evidence, bool) {
    let seen = view.count(party, counter);
    let (holds, exceeded) = match expectation {
        Expectation::AtLeast(minimum) => (seen >= minimum, false),
        Expectation::Exactly(value) => (seen == value, seen > value),
        Expectation::Any => (true, false),
    };
    let evidence = Evidence::new(counter, expectation, seen, holds).on(party);
    (evidence, exceeded)
}

/// How the nodes that report compare with the nodes of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Nodes of the cluster that haven't registered.
    pub(crate) missing: Vec<String>,
    /// Nodes that report but don't belong to the cluster.
    pub(crate) unexpected: Vec<String>,
    /// Whether at least as many nodes report as the cluster has, so that waiting for others is pointless.
    pub(crate) complete: bool,
}

impl Membership {
    /// Compares the nodes that report with `nodes`. Always matches if the mock doesn't count per node.
    pub(crate) fn of(view: &View, nodes: &[NodeName]) -> Self {
        let nodes = if view.nodes.is_some() { nodes } else { &[] };
        let expected: BTreeSet<&str> = nodes.iter().map(NodeName::as_str).collect();
        let reporting = view.reporting();
        let names = reporting.filter_map(|(_, node)| node.hostname.as_deref());
        let reported: BTreeSet<&str> = names.collect();
        let missing = expected.difference(&reported).map(ToString::to_string);
        let unexpected = |(id, node): (&String, &NodeView)| match &node.hostname {
            Some(name) if expected.contains(name.as_str()) => None,
            Some(name) => Some(format!("{name} (as {id})")),
            None => Some(format!("{id} (without a hostname)")),
        };
        Self {
            missing: missing.collect(),
            unexpected: view.reporting().filter_map(unexpected).collect(),
            complete: view.reporting().count() >= nodes.len(),
        }
    }

    /// Whether exactly the nodes of the cluster report.
    pub(crate) fn matches(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }

    /// One row per missing node and per unexpected node.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        let row = |node: &String, expected: &str, seen: &str| {
            Evidence::new("registration", expected, seen, false).on(Some(node))
        };
        let missing = self.missing.iter();
        let missing = missing.map(|node| row(node, "registered", "missing"));
        let unexpected = self.unexpected.iter();
        let unexpected =
            unexpected.map(|node| row(node, "a node of the cluster", "an unexpected node"));
        missing.chain(unexpected).collect()
    }
}

/// The counters of `view` for the record: in total and per node. A node is listed by its host name, or by its id if it
/// has none.
pub(crate) fn table(view: &View) -> NodeCounters {
    let node = |(id, node): (&String, &NodeView)| {
        let name = node.hostname.clone().unwrap_or_else(|| id.clone());
        (name, node.counters.clone())
    };
    NodeCounters {
        total: view.totals.clone(),
        nodes: view.reporting().map(node).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CounterTable;

    /// A view in which each node made each call the given number of times, except for `exceptions`.
    fn view(nodes: &[(&str, u64)], exceptions: &[(&str, Counter, u64)]) -> View {
        let mut view = View {
            nodes: Some(std::collections::BTreeMap::new()),
            ..View::default()
        };
        for (name, count) in nodes {
            let mut counters = CounterTable::new();
            for counter in Counter::ALL {
                let exception = exceptions
                    .iter()
                    .find(|row| row.0 == *name && row.1 == counter);
                let count = exception.map_or(*count, |row| row.2);
                counters.insert(counter.name().to_owned(), count);
                *view.totals.entry(counter.name().to_owned()).or_default() += count;
            }
            let node = NodeView {
                hostname: Some((*name).to_owned()),
                counters,
                ..NodeView::default()
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

    fn unmet(comparison: Progress<Vec<Evidence>>) -> Vec<String> {
        match comparison {
            Progress::Done(_) => Vec::new(),
            Progress::Waiting(Failure { evidence: rows, .. })
            | Progress::Failed(Failure { evidence: rows, .. }) => rows
                .iter()
                .map(|row| {
                    let node = row.node.as_deref().unwrap_or("total");
                    format!("{node}: {} {} {}", row.subject, row.seen, row.expected)
                })
                .collect(),
        }
    }

    #[test]
    fn a_busy_node_does_not_hide_a_silent_one() {
        let silent = [("b", Counter::AuditCount, 0)];
        let seen = view(&[("a", 9), ("b", 1)], &silent);
        let expectations = Expectations::default();
        let requirements = platform(&expectations);
        assert_eq!(
            unmet(check(&seen, &nodes(&["a", "b"]), &requirements)),
            ["b: audit_count 0 >= 1"]
        );
    }

    #[test]
    fn totals_scale_with_the_nodes() {
        let seen = view(&[("a", 1)], &[]);
        let requirements = periodic(&Expectations::default());
        assert_eq!(
            unmet(check(&seen, &nodes(&["a"]), &requirements)),
            [
                "total: heartbeat_count 1 >= 2",
                "total: metrics_count 1 >= 2",
                "a: heartbeat_count 1 >= 2",
                "a: metrics_count 1 >= 2",
            ]
        );
        let seen = view(&[("a", 2), ("b", 2)], &[]);
        let comparison = check(&seen, &nodes(&["a", "b"]), &requirements);
        assert!(matches!(comparison, Progress::Done(rows) if rows[0].expected == ">= 4"));
    }

    #[test]
    fn exceeding_an_exact_expectation_fails_at_once() {
        let mut expectations = Expectations::default();
        expectations.set("capabilities_count", Expectation::Exactly(1));
        expectations.set("heartbeat_count", Expectation::AtLeast(5));
        let requirements = platform(&expectations);
        let seen = view(&[("a", 1)], &[("a", Counter::CapabilitiesCount, 2)]);
        assert!(matches!(
            check(&seen, &nodes(&["a"]), &requirements),
            Progress::Failed(failure) if failure.symptom == Symptom::CounterExceeded
        ));
        // `periodic` waits for the minimum of a periodic counter.
        let seen = view(&[("a", 1)], &[]);
        assert!(matches!(
            check(&seen, &nodes(&["a"]), &requirements),
            Progress::Done(_)
        ));
        assert_eq!(periodic(&expectations)[0].1, Expectation::AtLeast(5));
        assert_eq!(exact(&expectations).len(), 1);
    }

    #[test]
    fn a_local_call_is_required_unless_its_minimum_is_zero() {
        let seen = view(&[("a", 1)], &[("a", Counter::LocalLogsCount, 0)]);
        let mut expectations = Expectations::default();
        let comparison = check(&seen, &nodes(&["a"]), &local(&expectations));
        assert_eq!(
            unmet(comparison),
            [
                "total: local_logs_count 0 >= 1",
                "a: local_logs_count 0 >= 1"
            ]
        );
        expectations.set("local_logs_count", Expectation::AtLeast(0));
        let comparison = check(&seen, &nodes(&["a"]), &local(&expectations));
        assert!(matches!(comparison, Progress::Done(_)));
    }

    #[test]
    fn a_further_counter_of_the_mock_is_checked_if_the_matrix_file_names_it() {
        let mut seen = view(&[("a", 1), ("b", 1)], &[]);
        for (node, count) in [("node-a", 3), ("node-b", 1)] {
            let nodes = seen.nodes.as_mut().unwrap();
            let counters = &mut nodes.get_mut(node).unwrap().counters;
            counters.insert("peers_count".to_owned(), count);
        }
        seen.totals.insert("peers_count".to_owned(), 4);
        let mut expectations = Expectations::default();
        expectations.set("peers_count", Expectation::AtLeast(2));
        let requirements = platform(&expectations);
        assert_eq!(
            unmet(check(&seen, &nodes(&["a", "b"]), &requirements)),
            ["b: peers_count 1 >= 2"]
        );
        assert_eq!(table(&seen).nodes["b"]["peers_count"], 1);
    }

    #[test]
    fn a_counter_that_the_mock_does_not_report_is_a_configuration_failure() {
        let seen = view(&[("a", 1)], &[]);
        let mut expectations = Expectations::default();
        expectations.set("peers_count", Expectation::Any);
        let comparison = check(&seen, &nodes(&["a"]), &platform(&expectations));
        assert!(matches!(comparison, Progress::Done(_)));
        expectations.set("peers_count", Expectation::AtLeast(0));
        let Progress::Failed(failure) = check(&seen, &nodes(&["a"]), &platform(&expectations))
        else {
            panic!("no failure");
        };
        assert_eq!(failure.symptom, Symptom::CounterUnreported);
        for word in ["no counter `peers_count`", "`audit_count`", "`state_count`"] {
            assert!(failure.message.contains(word), "{failure}");
        }
    }

    #[test]
    fn unexpected_and_missing_nodes_are_named() {
        let seen = view(&[("a", 1), ("x", 1)], &[]);
        let members = Membership::of(&seen, &nodes(&["a", "b"]));
        assert_eq!(members.missing, ["b"]);
        assert_eq!(members.unexpected, ["x (as node-x)"]);
        assert!(members.complete);
        assert!(!members.matches());
        assert!(Membership::of(&seen, &nodes(&["a", "x"])).matches());
    }

    #[test]
    fn missing_nodes_alone_and_unexpected_nodes_alone_are_a_mismatch() {
        let missing = Membership::of(&view(&[("a", 1)], &[]), &nodes(&["a", "b"]));
        assert!(!missing.matches() && !missing.complete);
        let unexpected = Membership::of(&view(&[("a", 1), ("x", 1)], &[]), &nodes(&["a"]));
        assert!(!unexpected.matches() && unexpected.complete);
        let unknown = Membership::of(&View::default(), &nodes(&["a"]));
        assert!(unknown.matches() && unknown.complete);
    }

    #[test]
    fn each_missing_node_and_each_unexpected_node_is_evidence() {
        let mut seen = view(&[("a", 1), ("x", 1)], &[]);
        let reporting = seen.nodes.as_mut().unwrap();
        reporting.get_mut("node-x").unwrap().hostname = None;
        let members = Membership::of(&seen, &nodes(&["a", "b"]));
        let rows: Vec<_> = members
            .evidence()
            .into_iter()
            .map(|row| (row.node.unwrap(), row.expected, row.seen, row.holds))
            .collect();
        let row = |node: &str, expected: &str, seen: &str| {
            (node.to_owned(), expected.to_owned(), seen.to_owned(), false)
        };
        assert_eq!(
            rows,
            [
                row("b", "registered", "missing"),
                row(
                    "node-x (without a hostname)",
                    "a node of the cluster",
                    "an unexpected node"
                ),
            ]
        );
        assert!(table(&seen).nodes.keys().eq(["a", "node-x"]));
    }

    #[test]
    fn a_body_is_required_unless_its_counter_may_stay_at_zero() {
        let mut expectations = Expectations::default();
        expectations.set("audit_count", Expectation::AtLeast(0));
        expectations.set("metrics_count", Expectation::AtLeast(3));
        expectations.set("logs_count", Expectation::Any);
        let counters = [
            Counter::MetricsCount,
            Counter::LogsCount,
            Counter::AuditCount,
        ];
        let required = sent(&expectations, counters.into_iter());
        let once = Expectation::AtLeast(1);
        assert_eq!(
            required,
            [("registration_count", once), ("metrics_count", once)]
        );
    }
}
