//! Reconciling: fetching the desired state and reporting the corrections.
//!
//! The reference agent applies nothing. It remembers the last state, and reports how the next state differs from it as
//! drift.

use std::sync::Arc;

use crate::agent::Node;
use crate::api::{ApiError, State};
use crate::fault::Fault;
use crate::retry::{never, until_done};
use crate::wire::{Correction, Drift};

/// Makes one attempt to fetch the state.
pub(crate) async fn fetch(node: &Node) -> Result<State, ApiError> {
    if node.faults.has(Fault::NoState) {
        return Ok(State::new());
    }
    let identity = node.registrar.identity().await;
    node.api.state(&identity).await
}

/// Reconciles now, with `first` if it has already been fetched, and then whenever `node.reconcile` is notified.
/// Requests that arrive during a reconcile are combined.
pub(crate) async fn run(node: Arc<Node>, first: Option<State>) {
    let mut applied = None;
    let mut next = first;
    loop {
        let state = match next.take() {
            Some(state) => state,
            None => {
                match until_done("fetching the state", &node.stop, never, || fetch(&node)).await {
                    Ok(state) => state,
                    Err(_) => return,
                }
            }
        };
        report(&node, corrections(applied.as_ref(), &state)).await;
        applied = Some(state);
        node.reconcile.notified().await;
    }
}

async fn report(node: &Node, corrections: Vec<Correction>) {
    if corrections.is_empty() || node.faults.has(Fault::NoDrift) {
        return;
    }
    let body = Drift {
        timestamp: crate::clock::now(),
        corrections,
    };
    let attempt = async || {
        let identity = node.registrar.identity().await;
        node.api.drift(&identity, &body).await
    };
    // Fails only when the process stops, and then the report no longer matters.
    drop(until_done("the drift report", &node.stop, never, attempt).await);
}

/// The differences, by section. The first state counts as different, even if it is empty.
fn corrections(applied: Option<&State>, state: &State) -> Vec<Correction> {
    let Some(applied) = applied else {
        let detail = format!("first state of this process, {} sections", state.len());
        return vec![Correction {
            kind: "initial".into(),
            detail,
        }];
    };
    let changed = state
        .iter()
        .filter(|(section, value)| applied.get(*section) != Some(value));
    let changed = changed.map(|(section, _)| correction(section, "changed"));
    let removed = applied
        .keys()
        .filter(|section| !state.contains_key(*section));
    changed
        .chain(removed.map(|section| correction(section, "removed")))
        .collect()
}

fn correction(section: &str, what: &str) -> Correction {
    Correction {
        kind: section.to_owned(),
        detail: format!("{section} {what}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(value: Value) -> State {
        serde_json::from_value(value).unwrap()
    }

    fn kinds(applied: Option<&State>, state: &State) -> Vec<String> {
        corrections(applied, state)
            .into_iter()
            .map(|correction| correction.kind)
            .collect()
    }

    #[test]
    fn the_first_state_always_differs() {
        assert_eq!(kinds(None, &State::new()), ["initial"]);
        assert_eq!(kinds(None, &state(json!({"peers": []}))), ["initial"]);
    }

    #[test]
    fn the_same_state_does_not_differ() {
        let same = state(json!({"peers": [1], "metadata": {"a": "b"}}));
        assert_eq!(kinds(Some(&same), &same), Vec::<String>::new());
    }

    #[test]
    fn changed_new_and_missing_sections_differ() {
        let before = state(json!({"data": [], "peers": [1], "policies": []}));
        let after = state(json!({"data": [], "peers": [1, 2], "signing_keys": {}}));
        assert_eq!(
            kinds(Some(&before), &after),
            ["peers", "signing_keys", "policies"]
        );
    }
}
