//! Phase 7: the bodies that every node sent have what they must have.

use futures::{StreamExt, TryStreamExt, stream};

use crate::cluster::NodeName;
use crate::deadline::Deadline;
use crate::event::{Evidence, Failure, Symptom};
use crate::matrix::Phase;
use crate::suite::bodies::{self, BODIES};
use crate::suite::context::{Context, Outcome};
use crate::suite::mock::MockClient;
use crate::suite::wait;

/// How many questions are asked of the mock at once.
const CONCURRENCY: usize = 16;

pub(crate) async fn run(context: &mut Context) -> Outcome {
    let deadline = context.deadline(Phase::RequestBodies);
    let mock = context.mock()?;
    let ids = node_ids(context, mock, &deadline).await?;
    let mut rows = Vec::new();
    for (endpoint, checks) in BODIES {
        let bodies = bodies_of(mock, &deadline, endpoint, &ids).await?;
        for ((node, _), body) in ids.iter().zip(bodies) {
            rows.extend(bodies::check(
                node.as_str(),
                endpoint,
                checks,
                body.as_deref(),
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

/// One row a check, for all nodes together.
fn summary(held: &[Evidence], nodes: usize) -> Vec<Evidence> {
    let mut rows: Vec<Evidence> = Vec::new();
    for row in held {
        if !rows.iter().any(|known| known.subject == row.subject) {
            rows.push(Evidence {
                node: None,
                seen: format!("as expected on {nodes} of {nodes} nodes"),
                ..row.clone()
            });
        }
    }
    rows
}
