//! Phase 7: the bodies that every node sent have what they must have.

use futures::{StreamExt, TryStreamExt, stream};

use super::counters;
use crate::cluster::NodeName;
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::matrix::Phase;
use crate::suite::bodies;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations;
use crate::suite::mock::MockClient;
use crate::suite::wait;

/// How many questions are asked of the mock at once.
const CONCURRENCY: usize = 16;

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let deadline = context.deadline(Phase::RequestBodies);
    let expect = &context.plan.cell.variant.expect;
    let bodies = bodies::all(&context.plan.checks.bodies);
    let counters = bodies.iter().map(|(counter, _)| *counter);
    let sent = expectations::sent(expect, counters);
    counters::reach(context, Phase::RequestBodies, &sent).await?;
    let mock = context.mock()?;
    let ids = node_ids(context, mock, &deadline).await?;
    let mut rows = Vec::new();
    for (counter, checks) in &bodies {
        let Some(endpoint) = counter.body() else {
            continue;
        };
        let is_optional = expect.of(*counter).minimum() == 0;
        let sent = bodies_of(mock, &deadline, endpoint, &ids).await?;
        for ((node, _), body) in ids.iter().zip(sent) {
            rows.extend(bodies::check(
                node.as_str(),
                endpoint,
                checks,
                body.as_deref(),
                is_optional,
            ));
        }
    }
    let (held, wrong): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.holds);
    if wrong.is_empty() {
        Ok(summary(&held, ids.len()).into())
    } else {
        Err(Failure::new(Symptom::BadBody, wait::in_words(&wrong)).with_evidence(wrong))
    }
}

/// The last body of each of `ids`. One question for all of them, if the mock offers it, and one for each body that its
/// answer lacks.
async fn bodies_of(
    mock: &MockClient,
    deadline: &Deadline,
    endpoint: &'static str,
    ids: &[(NodeName, String)],
) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let mut known = mock.last_requests(endpoint, deadline).await?;
    let asking: Vec<_> = ids
        .iter()
        .map(|(_, id)| {
            let known = known.remove(id);
            async move {
                match known {
                    Some(body) => Ok(Some(body)),
                    None => mock.last_request(endpoint, id, deadline).await,
                }
            }
        })
        .collect();
    stream::iter(asking)
        .buffered(CONCURRENCY)
        .try_collect()
        .await
}

/// The nodes' ids at the mock.
async fn node_ids(
    context: &Context,
    mock: &MockClient,
    deadline: &Deadline,
) -> Result<Vec<(NodeName, String)>, Failure> {
    let seen = mock.nodes(deadline).await?;
    let id_of = |node: NodeName| {
        let mut all = seen.nodes.iter();
        let found = all.find(|(_, view)| view.hostname.as_deref() == Some(node.as_str()));
        match found {
            Some((id, _)) => Ok((node, id.clone())),
            None => Err(Failure::new(
                Symptom::WrongNodes,
                format!("the mock no longer knows {node}"),
            )),
        }
    };
    context.nodes().into_iter().map(id_of).collect()
}

/// One row a check, for all nodes that sent a body, and one for each body that was not sent.
fn summary(held: &[Evidence], nodes: usize) -> Vec<Evidence> {
    let is_same = |one: &Evidence, other: &Evidence| {
        one.subject == other.subject && one.is_checked() == other.is_checked()
    };
    let mut rows: Vec<Evidence> = Vec::new();
    for row in held {
        if rows.iter().any(|known| is_same(known, row)) {
            continue;
        }
        let count = held.iter().filter(|other| is_same(row, other)).count();
        rows.push(Evidence {
            node: None,
            seen: format!("{} on {count} of {nodes} nodes", row.seen),
            ..row.clone()
        });
    }
    rows
}
