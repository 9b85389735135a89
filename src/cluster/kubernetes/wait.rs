//! Waits for conditions on a cluster. A condition is a pure function of the cluster's state. It is evaluated after each
//! change, until a deadline.
//!
//! A problem that may be temporary is only a suspicion. It becomes a failure if it lasts.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::OptionFuture;
use tokio::time::{Instant, sleep_until};

use super::watch::{Snapshot, View};
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure};

/// A problem that may be temporary.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    /// Identifies the problem across evaluations.
    pub(crate) key: String,
    /// How long it may last.
    pub(crate) patience: Duration,
    /// The failure if it lasts longer.
    pub(crate) failure: Failure,
}

impl Suspicion {
    pub(crate) fn new(key: impl Into<String>, patience: Duration, failure: Failure) -> Self {
        Self {
            key: key.into(),
            patience,
            failure,
        }
    }

    /// A problem that is certainly permanent, so the wait fails immediately.
    pub(crate) fn certain(key: &str, failure: Failure) -> Self {
        Self::new(key, Duration::ZERO, failure)
    }
}

/// The state of a condition.
pub(crate) enum Progress {
    /// The condition holds.
    Done(Vec<Evidence>),
    /// The condition doesn't hold yet. Contains the failure to return if the deadline passes now, and the suspected
    /// problems.
    Pending(Failure, Vec<Suspicion>),
}

impl Progress {
    /// Done if every check in `evidence` holds. Otherwise pending, with `failure` to return if the deadline passes.
    pub(crate) fn of(
        evidence: Vec<Evidence>,
        failure: Failure,
        suspicions: Vec<Suspicion>,
    ) -> Self {
        match failure.unless_all_hold(evidence) {
            Ok(evidence) => Self::Done(evidence),
            Err(failure) => Self::Pending(failure, suspicions),
        }
    }
}

/// Evaluates `condition` until it is done, the deadline passes, or a problem lasts too long.
pub(crate) async fn until(
    view: &View,
    deadline: &Deadline,
    condition: impl Fn(&Snapshot) -> Progress,
) -> Result<Vec<Evidence>, Failure> {
    let mut changes = view.changes();
    let mut suspects = Suspects::default();
    let mut logged = String::new();
    loop {
        changes.mark_unchanged();
        let (pending, suspicions) = match condition(&view.snapshot()) {
            Progress::Done(evidence) => return Ok(evidence),
            Progress::Pending(pending, suspicions) => (pending, suspicions),
        };
        if pending.message != logged {
            logged.clone_from(&pending.message);
            tracing::debug!(pending = logged, "waiting");
        }
        let next = suspects.update(suspicions, Instant::now())?;
        tokio::select! {
            changed = changes.changed() => {
                // This can't happen: `view` owns the sender.
                if changed.is_err() { return Err(pending); }
            }
            Some(()) = OptionFuture::from(next.map(sleep_until)) => {}
            () = deadline.passed() => return Err(suspects.most_likely(pending)),
        }
    }
}

/// The suspected problems by key, with the time of their first occurrence.
#[derive(Default)]
struct Suspects(BTreeMap<String, (Instant, Failure)>);

impl Suspects {
    /// Updates the suspected problems. Fails if one has lasted too long. Otherwise returns when to evaluate them again.
    fn update(
        &mut self,
        suspicions: Vec<Suspicion>,
        now: Instant,
    ) -> Result<Option<Instant>, Failure> {
        self.0
            .retain(|key, _| suspicions.iter().any(|suspicion| suspicion.key == *key));
        let mut next = None;
        for suspicion in suspicions {
            let since = self.0.get(&suspicion.key).map_or(now, |(since, _)| *since);
            let end = since + suspicion.patience;
            if end <= now {
                return Err(suspicion.failure);
            }
            self.0.insert(suspicion.key, (since, suspicion.failure));
            next = Some(next.map_or(end, |other: Instant| other.min(end)));
        }
        Ok(next)
    }

    /// The failure when the deadline has passed: the problem that has lasted longest, or else `pending`. The evidence
    /// of `pending` is kept.
    fn most_likely(self, pending: Failure) -> Failure {
        let oldest = self.0.into_values().min_by_key(|(since, _)| *since);
        match oldest {
            Some((_, failure)) => failure.with_evidence(pending.evidence),
            None => pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Symptom;

    fn suspicion(key: &str, seconds: u64) -> Suspicion {
        let failure = Failure::new(Symptom::Unschedulable, key);
        Suspicion::new(key, Duration::from_secs(seconds), failure)
    }

    #[test]
    fn only_a_lasting_problem_is_a_failure() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut suspects = Suspects::default();
        let mut found = |seconds| suspects.update(vec![suspicion("a", 5)], after(seconds));
        assert_eq!(found(0).unwrap(), Some(after(5)));
        assert!(found(4).is_ok());
        assert_eq!(found(5).unwrap_err().message, "a");
        // The problem disappears. When it comes back, its time starts again.
        assert_eq!(suspects.update(vec![], after(5)).unwrap(), None);
        let mut found = |seconds| suspects.update(vec![suspicion("a", 5)], after(seconds));
        assert!(found(6).is_ok());
        assert!(found(10).is_ok());
        assert_eq!(found(11).unwrap_err().message, "a");
    }

    #[test]
    fn at_the_deadline_the_oldest_suspicion_is_the_cause() {
        let pending = || Failure::new(Symptom::AgentNotReady, "not in time");
        assert_eq!(Suspects::default().most_likely(pending()), pending());
        let start = Instant::now();
        let mut suspects = Suspects::default();
        suspects.update(vec![suspicion("b", 50)], start).unwrap();
        let both = vec![suspicion("a", 50), suspicion("b", 50)];
        suspects
            .update(both, start + Duration::from_secs(1))
            .unwrap();
        assert_eq!(suspects.most_likely(pending()).message, "b");
    }

    #[test]
    fn a_certain_problem_fails_at_once() {
        let both = vec![suspicion("b", 5), suspicion("a", 0)];
        let found = Suspects::default().update(both, Instant::now());
        assert_eq!(found.unwrap_err().message, "a");
    }
}
