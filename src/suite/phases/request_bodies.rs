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
use crate::suite::mock::{MockClient, Party, View};
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
    let (seen, nodes) = (mock.read(&deadline).await?, context.nodes());
    let senders = senders(&seen, &nodes)?;
    let mut rows = Vec::new();
    for (counter, checks) in &bodies {
        let Some(endpoint) = counter.body() else {
            continue;
        };
        let is_optional = expect.of(*counter).minimum() == 0;
        let sent = bodies_of(mock, &deadline, endpoint, &senders).await?;
        for ((party, _), body) in senders.iter().zip(sent) {
            let body = body.as_deref();
            rows.extend(bodies::check(*party, endpoint, checks, body, is_optional));
        }
    }
    let held = wait::all_hold(Symptom::BadBody, rows)?;
    Ok(summary(&held, &senders).into())
}

/// A node and its id in the mock; or all nodes together, without an id.
type Sender<'s> = (Party<'s>, Option<&'s str>);

/// The last body of each of `senders`. If the mock supports it, one request reads the bodies of all senders, and each
/// body that is missing in the response is requested separately.
async fn bodies_of(
    mock: &MockClient,
    deadline: &Deadline,
    endpoint: &'static str,
    senders: &[Sender<'_>],
) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let mut known = mock.last_requests(endpoint, deadline).await?;
    let requests: Vec<_> = senders
        .iter()
        .map(|&(_, id)| {
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

/// The senders whose bodies are checked: each node, or all nodes together if the mock doesn't distinguish nodes.
fn senders<'s>(seen: &'s View, nodes: &'s [NodeName]) -> Result<Vec<Sender<'s>>, Failure> {
    let sender = |party: Party<'s>| {
        let Some(node) = party else {
            return Ok((None, None));
        };
        let Some((id, _)) = seen.node(node.as_str()) else {
            let message = format!("the mock no longer knows {node}");
            return Err(Failure::new(Symptom::WrongNodes, message));
        };
        Ok((party, Some(id.as_str())))
    };
    seen.parties(nodes).into_iter().map(sender).collect()
}

/// Summarizes the rows of all nodes: one row per check, and one row per endpoint to which some nodes sent no body.
fn summary(held: &[Evidence], senders: &[Sender<'_>]) -> Vec<Evidence> {
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
            [(None, _)] => format!("{} in the last body of all nodes", row.seen),
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
