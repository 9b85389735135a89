//! Waits for the counters until a condition holds, can no longer hold, or the deadline passes.

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
    /// The condition doesn't hold yet. The failure is reported if the deadline passes now; its message is a short
    /// summary.
    Waiting(Failure),
}

/// Waits until `condition` holds for the current counters.
pub(crate) async fn until<T>(
    context: &Context,
    phase: Phase,
    deadline: &Deadline,
    condition: impl Fn(&View) -> Progress<T>,
) -> Result<T, Failure> {
    let mut open: Option<Failure> = None;
    let waiting = follow(context, phase, &mut open, condition);
    match deadline.run(waiting).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(open, is_down(context), deadline)),
    }
}

/// Whether the mock can't be reached now, so that the counters may be old.
fn is_down(context: &Context) -> bool {
    context
        .mock()
        .is_ok_and(|mock| matches!(*mock.link().borrow(), Link::Down(_)))
}

async fn follow<T>(
    context: &Context,
    phase: Phase,
    open: &mut Option<Failure>,
    condition: impl Fn(&View) -> Progress<T>,
) -> Result<T, Failure> {
    let mut link = context.mock()?.link();
    loop {
        let state = link.borrow_and_update().clone();
        let lost_at = match state {
            Link::Up(view) => match condition(&view) {
                Progress::Done(value) => return Ok(value),
                Progress::Failed(failure) => return Err(failure),
                Progress::Waiting(failure) => {
                    let reported = open.as_ref().map(|failure| &failure.message);
                    if reported != Some(&failure.message) {
                        context.progress(phase, failure.message.clone());
                    }
                    *open = Some(failure);
                    None
                }
            },
            Link::Restarted => {
                let message = "the mock was restarted, so its counters are lost";
                return Err(Failure::new(Symptom::MockRestarted, message));
            }
            Link::Down(since) => Some(since + LOST_AFTER),
        };
        tokio::select! {
            changed = link.changed() => changed.map_err(|_| forward_lost())?,
            Some(()) = OptionFuture::from(lost_at.map(sleep_until)) => return Err(forward_lost()),
        }
    }
}

fn forward_lost() -> Failure {
    let time = humantime::format_duration(LOST_AFTER);
    let message = format!("the mock could not be reached for {time}");
    Failure::new(Symptom::ForwardLost, message)
}

/// The failure if the deadline has passed. An unmet condition counts only if the counters are current.
fn timed_out(open: Option<Failure>, is_down: bool, deadline: &Deadline) -> Failure {
    let after = humantime::format_duration(deadline.budget());
    match open {
        Some(failure) if is_down => {
            let last = failure.message;
            let lost = format!("the mock could not be reached when {after} had passed");
            let message = format!("{lost}; the last known state: {last}");
            Failure::new(Symptom::ForwardLost, message)
        }
        Some(mut failure) => {
            failure.message = format!("{} after {after}", failure.message);
            failure
        }
        None => {
            let message = format!("the mock's counters could not be read for {after}");
            Failure::new(Symptom::ForwardLost, message)
        }
    }
}

/// Returns the rows if all of them hold; otherwise, a failure with the rows that don't.
pub(crate) fn all_hold(
    symptom: Symptom,
    rows: impl IntoIterator<Item = Evidence>,
) -> Result<Vec<Evidence>, Failure> {
    let (held, open): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.holds);
    if open.is_empty() {
        Ok(held)
    } else {
        Err(unmet(symptom, open))
    }
}

/// The failure for the unmet checks in `open`. Its message consists of the first unmet check and the number of others.
pub(crate) fn unmet(symptom: Symptom, open: Vec<Evidence>) -> Failure {
    Failure::new(symptom, summarize(&open)).with_evidence(open)
}

fn summarize(open: &[Evidence]) -> String {
    // The row of a node says more than the total that it affects.
    let first = open.iter().find(|row| row.node.is_some()).or(open.first());
    let Some(first) = first else {
        return "nothing is missing".to_owned();
    };
    let place = first.node.as_ref().map(|node| format!(" on {node}"));
    let is_similar = |row: &&Evidence| row.node.is_some() == first.node.is_some();
    let more = match open.iter().filter(is_similar).count() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    format!(
        "{} is {}{}, expected {}{more}",
        first.subject,
        first.seen,
        place.unwrap_or_default(),
        first.expected
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deadline::RunClock;

    #[test]
    fn an_unmet_counter_is_the_products_fault_only_if_the_mock_can_be_reached() {
        let deadline = RunClock::new().deadline(Duration::from_secs(60));
        let unmet = "heartbeat_count is 1, expected >= 2";
        let failure = || Some(Failure::new(Symptom::CounterNotMet, unmet));
        let current = timed_out(failure(), false, &deadline);
        assert_eq!(current.symptom, Symptom::CounterNotMet);
        assert_eq!(current.message, format!("{unmet} after 1m"));
        let old = timed_out(failure(), true, &deadline);
        assert_eq!(old.symptom, Symptom::ForwardLost);
        let lost = "the mock could not be reached when 1m had passed";
        let message = format!("{lost}; the last known state: {unmet}");
        assert_eq!(old.message, message);
    }
}
