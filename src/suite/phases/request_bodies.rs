//! Phase 7: the bodies that each node sent have the required content.

use futures::{StreamExt, TryStreamExt, stream};

use super::counters;
use crate::cluster::NodeName;
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::matrix::Phase;
use crate::suite::bodies;
use crate::suite::context::{Context, Outcome};
use crate::suite::expectations;
use crate::suite::mock::{MockClient, Party};
use crate::suite::wait;

/// The maximum number of concurrent requests to the mock.
const CONCURRENCY: usize = 16;

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let deadline = context.deadline(Phase::RequestBodies);
    let expect = &context.plan.cell.variant.expect;
    let bodies = bodies::all(&context.plan.checks.bodies);
    let counters = bodies.iter().map(|(counter, _)| *counter);
    let sent = expectations::sent(expect, counters);
    counters::reach(context, Phase::RequestBodies, &sent).await?;
    let mock = context.mock()?;
    let senders = senders(context, mock, &deadline).await?;
    let mut rows = Vec::new();
    for (counter, checks) in &bodies {
        let Some(endpoint) = counter.body() else {
            continue;
        };
        let is_optional = expect.of(*counter).minimum() == 0;
        let sent = bodies_of(mock, &deadline, endpoint, &senders).await?;
        for (sender, body) in senders.iter().zip(sent) {
            rows.extend(bodies::check(
                sender.as_ref().map(|sender| &sender.node),
                endpoint,
                checks,
                body.as_deref(),
                is_optional,
            ));
        }
    }
    let (held, failed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.holds);
    if failed.is_empty() {
        Ok(summary(&held, &senders).into())
    } else {
        Err(Failure::new(Symptom::BadBody, wait::summarize(&failed)).with_evidence(failed))
    }
}

/// A node, and its id in the mock.
struct Sender {
    node: NodeName,
    id: String,
}

/// The last body of each of `senders`. Uses one request for all of them if the mock offers it, and one for each body
/// that the response lacks.
async fn bodies_of(
    mock: &MockClient,
    deadline: &Deadline,
    endpoint: &'static str,
    senders: &[Option<Sender>],
) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let mut known = mock.last_requests(endpoint, deadline).await?;
    let requests: Vec<_> = senders
        .iter()
        .map(|sender| {
            let id = sender.as_ref().map(|sender| sender.id.as_str());
            let known = id.and_then(|id| known.remove(id));
            async move {
                match known {
                    Some(body) => Ok(Some(body)),
                    None => mock.last_request(endpoint, id, deadline).await,
                }
            }
        })
        .collect();
    stream::iter(requests)
        .buffered(CONCURRENCY)
        .try_collect()
        .await
}

/// The senders whose bodies are checked: each node, or only `None` for any node if the mock doesn't distinguish nodes.
async fn senders(
    context: &Context,
    mock: &MockClient,
    deadline: &Deadline,
) -> Result<Vec<Option<Sender>>, Failure> {
    let seen = mock.read(deadline).await?;
    let nodes = context.nodes();
    let sender = |party: Party<'_>| {
        let Some(node) = party else { return Ok(None) };
        match seen.node(node.as_str()) {
            Some((id, _)) => Ok(Some(Sender {
                node: node.clone(),
                id: id.clone(),
            })),
            None => Err(Failure::new(
                Symptom::WrongNodes,
                format!("the mock no longer knows {node}"),
            )),
        }
    };
    seen.parties(&nodes).into_iter().map(sender).collect()
}

/// One row per check for all nodes that sent a body, and one for each missing body.
fn summary(held: &[Evidence], senders: &[Option<Sender>]) -> Vec<Evidence> {
    let nodes = senders.len();
    let is_same = |one: &Evidence, other: &Evidence| {
        one.subject == other.subject && one.is_checked() == other.is_checked()
    };
    let mut rows: Vec<Evidence> = Vec::new();
    for row in held {
        if rows.iter().any(|known| is_same(known, row)) {
            continue;
        }
        let count = held.iter().filter(|other| is_same(row, other)).count();
        let seen = match senders {
            [None] => format!("{} in the last body of all nodes", row.seen),
            _ => format!("{} on {count} of {nodes} nodes", row.seen),
        };
        rows.push(Evidence {
            node: None,
            seen,
            ..row.clone()
        });
    }
    rows
}
