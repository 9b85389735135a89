//! Phase 6: exactly the nodes of the cluster report, and each of them has made all platform calls.

use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, Symptom};
use crate::matrix::{Counter, Phase};
use crate::suite::context::{Checked, Context, Outcome};
use crate::suite::expectations::{self, Membership, Requirement};
use crate::suite::mock::View;
use crate::suite::wait::{self, Progress};

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let deadline = context.deadline(Phase::Assertions);
    let nodes = context.nodes();
    let requirements = expectations::platform(&context.plan.cell.variant.expect);
    let condition = |view: &View| check(view, &nodes, &requirements);
    wait::until(context, Phase::Assertions, &deadline, condition).await
}

fn check(view: &View, nodes: &[NodeName], requirements: &[Requirement<'_>]) -> Progress<Checked> {
    let members = Membership::of(view, nodes);
    if !members.unexpected.is_empty() && members.complete {
        return Progress::Failed(wrong_nodes(&members));
    }
    match expectations::check(view, nodes, requirements) {
        Progress::Failed(failure) => Progress::Failed(failure),
        Progress::Done(mut evidence) if members.matches() => {
            evidence.extend(view.nodes.is_none().then(only_totals));
            Progress::Done(Checked {
                evidence,
                warnings: repeated_registrations(view, nodes),
                ..Checked::default()
            })
        }
        Progress::Done(_) => {
            Progress::Waiting(wait::unmet(Symptom::WrongNodes, members.evidence()))
        }
        Progress::Waiting(mut unmet) if members.matches() || view.reporting().next().is_none() => {
            unmet.evidence.sort_by_key(|row| row.node.is_none());
            Progress::Waiting(unmet)
        }
        Progress::Waiting(unmet) => {
            let evidence = members.evidence().into_iter().chain(unmet.evidence);
            Progress::Waiting(wait::unmet(Symptom::WrongNodes, evidence.collect()))
        }
    }
}

/// The row for a mock that doesn't distinguish nodes.
fn only_totals() -> Evidence {
    let seen = "the mock reports only totals";
    Evidence::new("counters of each node", Evidence::NOT_CHECKED, seen, true)
}

fn wrong_nodes(members: &Membership) -> Failure {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let message = format!(
        "the nodes that report are not the nodes of the cluster: unexpected: {}; missing: {}",
        list(&members.unexpected),
        list(&members.missing)
    );
    Failure::new(Symptom::WrongNodes, message).with_evidence(members.evidence())
}

/// Warnings about nodes that registered more than once. This isn't a failure, because an agent retries the call if a
/// response is lost.
fn repeated_registrations(view: &View, nodes: &[NodeName]) -> Vec<String> {
    let warning = |node: &NodeName| {
        let count = view.count(Some(node), Counter::RegistrationCount);
        let text = || format!("{node} registered {count} times before it was asked to restart");
        (count > 1).then(text)
    };
    nodes.iter().filter_map(warning).collect()
}
