//! Waiting for counters: until a condition holds, can no longer hold, or the deadline passes.

use futures::future::OptionFuture;
use tokio::time::sleep_until;

use super::context::Context;
use super::mock::{LOST_AFTER, Link, View};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::matrix::Phase;

/// The state of a condition on the counters.
pub(crate) enum Progress<T> {
    /// The condition holds.
    Done(T),
    /// The condition can no longer hold.
    Failed(Failure),
    /// The condition doesn't hold yet; with a short summary, and with the failure if the deadline passes now.
    Waiting { summary: String, failure: Failure },
}

impl<T> Progress<T> {
    /// The condition doesn't hold yet because of `open`.
    pub(crate) fn waiting(symptom: Symptom, open: Vec<Evidence>) -> Self {
        let summary = summarize(&open);
        let failure = Failure::new(symptom, summary.clone()).with_evidence(open);
        Self::Waiting { summary, failure }
    }
}

/// Waits until `condition` holds for the current counters.
pub(crate) async fn until<T>(
    context: &Context,
    phase: Phase,
    deadline: &Deadline,
    mut condition: impl FnMut(&View) -> Progress<T>,
) -> Result<T, Failure> {
    let mut open: Option<Failure> = None;
    let waiting = follow(context, phase, &mut open, &mut condition);
    match deadline.run(waiting).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(open, deadline)),
    }
}

async fn follow<T>(
    context: &Context,
    phase: Phase,
    open: &mut Option<Failure>,
    condition: &mut impl FnMut(&View) -> Progress<T>,
) -> Result<T, Failure> {
    let mut link = context.mock()?.link();
    let mut reported = String::new();
    loop {
        let state = link.borrow_and_update().clone();
        let lost_at = match state {
            Link::Up(view) => match condition(&view) {
                Progress::Done(value) => return Ok(value),
                Progress::Failed(failure) => return Err(failure),
                Progress::Waiting { summary, failure } => {
                    *open = Some(failure);
                    if summary != reported {
                        context.progress(phase, summary.clone());
                        reported = summary;
                    }
                    None
                }
            },
            Link::Restarted => return Err(mock_restarted()),
            Link::Down(since) => Some(since + LOST_AFTER),
        };
        tokio::select! {
            changed = link.changed() => changed.map_err(|_| forward_lost())?,
            Some(()) = OptionFuture::from(lost_at.map(sleep_until)) => return Err(forward_lost()),
        }
    }
}

fn mock_restarted() -> Failure {
    Failure::new(
        Symptom::MockRestarted,
        "the mock was restarted, so its counters are lost",
    )
}

fn forward_lost() -> Failure {
    Failure::new(
        Symptom::ForwardLost,
        format!(
            "the mock could not be reached for {}",
            humantime::format_duration(LOST_AFTER)
        ),
    )
}

fn timed_out(open: Option<Failure>, deadline: &Deadline) -> Failure {
    let after = humantime::format_duration(deadline.budget());
    match open {
        Some(mut failure) => {
            failure.message = format!("{} after {after}", failure.message);
            failure
        }
        None => Failure::new(
            Symptom::ForwardLost,
            format!("the mock's counters could not be read for {after}"),
        ),
    }
}

/// The first unmet check, and the number of others.
pub(crate) fn summarize(open: &[Evidence]) -> String {
    // The row of a node says more than the total that it affects.
    let first = open.iter().find(|row| row.node.is_some()).or(open.first());
    let Some(first) = first else {
        return "nothing is missing".to_owned();
    };
    let place = first
        .node
        .as_ref()
        .map(|node| format!(" on {node}"))
        .unwrap_or_default();
    let others = open
        .iter()
        .filter(|row| row.node.is_some() == first.node.is_some())
        .count()
        - 1;
    let more = match others {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    format!(
        "{} is {}{place}, expected {}{more}",
        first.subject, first.seen, first.expected
    )
}
