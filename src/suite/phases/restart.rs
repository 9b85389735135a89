//! Phase 9: a deleted agent comes back with the same identity.

use futures::future::try_join;
use tokio::sync::SetOnce;

use crate::cluster::NodeName;
use crate::event::{Evidence, Failure, Symptom};
use crate::excerpt::Log;
use crate::matrix::{Counter, Expectation, Expectations, Phase, RestartScope};
use crate::suite::context::{Checked, Context, Outcome};
use crate::suite::evidence::of_agent;
use crate::suite::mock::{NodeView, Party, View};
use crate::suite::wait::{self, Progress};

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let nodes = restarted_nodes(context);
    let mut checked = Checked {
        warnings: keep_logs(context, &nodes).await,
        ..Checked::default()
    };
    let mock = context.mock()?;
    let before = mock.read(&context.deadline(Phase::Restart)).await?;
    context.progress(Phase::Restart, format!("deleting {} agent(s)", nodes.len()));
    let ended = SetOnce::new();
    let deadline = context.deadline(Phase::Restart);
    let restarting = async {
        let restarted = context.cluster.restart(&nodes, &ended, &deadline).await?;
        drop(ended.set(()));
        Ok(restarted)
    };
    // The counters are read again between the processes, so that a heartbeat of an old one doesn't count for a new one.
    let reading = async {
        ended.wait().await;
        mock.read(&context.deadline(Phase::Restart)).await
    };
    let (restarted, between) = try_join(restarting, reading).await?;
    checked.evidence.extend(restarted);
    let expect = &context.plan.cell.variant.expect;
    let loops = await_on(context, &nodes, |party, seen| {
        loops_continue(party, seen, &between, expect)
    });
    checked.evidence.extend(loops.await?);
    if is_checked(expect, Counter::AuditCount) {
        let audit = await_on(context, &nodes, |party, seen| {
            process_started(party, seen, &before)
        });
        checked.evidence.extend(audit.await?);
    }
    if is_checked(expect, Counter::RegistrationCount) {
        let after = mock.read(&context.deadline(Phase::Restart)).await?;
        checked
            .evidence
            .extend(same_registrations(&nodes, &before, &after)?);
    }
    Ok(checked)
}

/// Whether the matrix file expects anything of `counter`.
fn is_checked(expect: &Expectations, counter: Counter) -> bool {
    expect.of(counter) != Expectation::Any
}

/// The nodes whose agents are deleted: all nodes, or the last one, which is a worker if there is one.
fn restarted_nodes(context: &Context) -> Vec<NodeName> {
    let nodes = context.nodes();
    match context.plan.phases.restart {
        RestartScope::All => nodes,
        RestartScope::One => nodes.into_iter().next_back().into_iter().collect(),
    }
}

/// Keeps the logs of the agents on `nodes`, which are about to be deleted. Returns a warning for each log that it can't
/// keep.
async fn keep_logs(context: &Context, nodes: &[NodeName]) -> Vec<String> {
    let only = nodes.first().filter(|_| nodes.len() == 1);
    let logs = context.cluster.logs(only).await;
    let mut warnings = Vec::new();
    for node in nodes {
        if let Err(problem) = keep_log(context, node, &logs).await {
            warnings.push(format!(
                "failed to keep the log of the agent on {node}: {problem}"
            ));
        }
    }
    warnings
}

async fn keep_log(context: &Context, node: &NodeName, logs: &[Log]) -> Result<(), String> {
    let log = of_agent(logs, Some(node)).ok_or("no agent is running on that node")?;
    if !log.is_read() {
        return Err(log.text().trim_end().to_owned());
    }
    let file = format!("agent-before-restart-{node}.log");
    let kept = tokio::fs::write(context.plan.output.join(file), log.text()).await;
    kept.map_err(|error| error.to_string())
}

/// Waits until `check` holds for each of `nodes`. The wait has its own deadline.
async fn await_on(
    context: &Context,
    nodes: &[NodeName],
    check: impl Fn(Party<'_>, &View) -> Vec<Evidence>,
) -> Result<Vec<Evidence>, Failure> {
    let deadline = context.deadline(Phase::Restart);
    wait::until(context, Phase::Restart, &deadline, |view: &View| {
        let parties = view.parties(nodes).into_iter();
        let rows = parties.flat_map(|party| check(party, view));
        match wait::all_hold(Symptom::RestartNotMet, rows) {
            Ok(held) => Progress::Done(held),
            Err(unmet) => Progress::Waiting(unmet),
        }
    })
    .await
}

/// How many heartbeats must follow after the restart. A single one doesn't prove that the loop continues.
const HEARTBEATS: u64 = 2;

/// Evidence that the new process continues the periodic calls.
fn loops_continue(
    party: Party<'_>,
    seen: &View,
    between: &View,
    expect: &Expectations,
) -> Vec<Evidence> {
    let row = |(counter, more): (Counter, u64)| {
        let least = between.count(party, counter).saturating_add(more);
        let now = seen.count(party, counter);
        let subject = format!("{counter} after the restart");
        Evidence::new(subject, format!(">= {least}"), now, now >= least).on(party)
    };
    let metrics = match expect.of(Counter::MetricsCount) {
        Expectation::AtLeast(_) | Expectation::Any => 1,
        // One more call would violate the expectation.
        Expectation::Exactly(_) => 0,
    };
    let loops = [
        (Counter::HeartbeatCount, HEARTBEATS),
        (Counter::MetricsCount, metrics),
    ];
    let loops = loops.into_iter();
    let checked = loops.filter(|(counter, _)| is_checked(expect, *counter));
    checked.map(row).collect()
}

/// Evidence that the new process reported its start.
fn process_started(party: Party<'_>, seen: &View, before: &View) -> Vec<Evidence> {
    let reading = before.count(party, Counter::AuditCount);
    let now = seen.count(party, Counter::AuditCount);
    let (subject, expected) = ("audit_count after the restart", format!("> {reading}"));
    let audit = Evidence::new(subject, expected, now, now > reading).on(party);
    let start = party.map(|node| start_row(node, of_node(seen, node), of_node(before, node)));
    start.into_iter().chain([audit]).collect()
}

fn of_node<'v>(view: &'v View, node: &NodeName) -> Option<&'v NodeView> {
    view.node(node.as_str()).map(|(_, seen)| seen)
}

/// Compares the numbers of process starts, if the mock counts them. Otherwise, compares the timestamps of the last
/// starts, which is less reliable, because an agent's clock may step back.
fn start_row(node: &NodeName, seen: Option<&NodeView>, before: Option<&NodeView>) -> Evidence {
    let starts = |view: Option<&NodeView>| view.and_then(|view| view.process_starts);
    let (subject, expected, found, holds) = if let Some(now) = starts(seen) {
        let reading = starts(before).unwrap_or_default();
        let subject = "number of process_start audit entries";
        let (expected, found) = (format!("> {reading}"), now.to_string());
        (subject, expected, found, now > reading)
    } else {
        let subject = "last process_start audit entry";
        let time = |view: Option<&NodeView>| view.and_then(|view| view.last_process_start);
        let (old, new) = (time(before), time(seen));
        let expected = old.map_or_else(|| "any".to_owned(), |old| format!("after {old:.3}"));
        let found = new.map_or_else(|| "none".to_owned(), |new| format!("{new:.3}"));
        (subject, expected, found, new.is_some() && new > old)
    };
    Evidence::new(subject, expected, found, holds).on(Some(node))
}

/// Checks that no agent has registered again. An agent that does so has lost its identity.
fn same_registrations(
    nodes: &[NodeName],
    before: &View,
    after: &View,
) -> Result<Vec<Evidence>, Failure> {
    let row = |party: Party<'_>| {
        let expected = before.count(party, Counter::RegistrationCount);
        let seen = after.count(party, Counter::RegistrationCount);
        let (subject, equal) = ("registration_count across the restart", seen == expected);
        Evidence::new(subject, format!("= {expected}"), seen, equal).on(party)
    };
    let rows = after.parties(nodes).into_iter().map(row);
    wait::all_hold(Symptom::RestartNotMet, rows).map_err(|mut failure| {
        failure.message += ": the agent registered again instead of using its identity";
        failure
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_start_is_described_by_what_the_mock_counts() {
        let node = NodeName::new("worker");
        let seen = |process_starts| NodeView {
            process_starts,
            ..NodeView::default()
        };
        for (starts, expected) in [
            (
                Some(1),
                ["number of process_start audit entries", "> 1", "1"],
            ),
            (None, ["last process_start audit entry", "any", "none"]),
        ] {
            let row = start_row(&node, Some(&seen(starts)), Some(&seen(starts)));
            assert_eq!([row.subject, row.expected, row.seen], expected);
        }
    }
}
