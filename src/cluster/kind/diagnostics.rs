//! Collects diagnostics of a failed cell before its cluster is deleted: kind's output and the nodes' journals, in
//! addition to the cluster's state.
//!
//! Nothing here fails: if something can't be collected, its text says so.

use futures::future::join_all;

use super::create::OUTPUT;
use super::nodes::run;
use super::prepared::Origin;
use super::work::Work;
use crate::cluster::kubernetes::Tenant;
use crate::cluster::kubernetes::diagnostics::{self, file, mask};
use crate::cluster::kubernetes::health::is_node_ready;
use crate::cluster::kubernetes::watch::Snapshot;
use crate::cluster::{Diagnostic, NodeName};
use crate::deadline::Deadline;
use crate::error::chain;

/// The option that says how many lines of a node's journal to collect.
const JOURNAL_LINES: &str = "--lines=100";

/// Collects all diagnostics.
pub(super) async fn collect(work: &Work, tenant: &Tenant, deadline: &Deadline) -> Vec<Diagnostic> {
    let mut found = vec![file("kind.log", kind_output(work), false)];
    let mut snapshot = None;
    if let Some(kube) = tenant.kube.get() {
        found.extend(diagnostics::collect(&kube));
        snapshot = Some(kube.view.snapshot());
    }
    let failed = failed_nodes(work, snapshot.as_ref()).into_iter();
    let reading = join_all(failed.map(|node| journal(work, node)));
    match deadline.run(reading).await {
        Ok(journals) => found.extend(journals),
        Err(timed_out) => {
            let text = format!("collecting diagnostics {timed_out}\n");
            found.push(file("incomplete.txt", text, false));
        }
    }
    for diagnostic in &mut found {
        diagnostic.text = mask(&tenant.plan, &diagnostic.text);
    }
    found
}

/// The output of kind, or why there is none.
fn kind_output(work: &Work) -> String {
    let path = work.file(OUTPUT);
    let creator = match work.origin.get() {
        Some(Origin::Prepared(template)) => {
            format!("it is a clone of the template {}", template.id)
        }
        Some(Origin::Kept(_)) => "an earlier run kept it".to_owned(),
        Some(Origin::Fresh(_)) | None => {
            return std::fs::read_to_string(&path)
                .unwrap_or_else(|error| format!("{}: {}\n", path.display(), chain(&error)));
        }
    };
    format!("kind did not create this cluster: {creator}\n")
}

/// The containers of the nodes that aren't ready. A node that the API server doesn't report isn't ready.
fn failed_nodes<'w>(work: &'w Work, snapshot: Option<&Snapshot>) -> Vec<&'w NodeName> {
    let is_ready = |node: &NodeName| snapshot?.node(node.as_str()).map(is_node_ready);
    let containers = work.containers.iter().zip(work.nodes());
    let failed = containers.filter(|(_, node)| is_ready(node) != Some(true));
    failed.map(|(container, _)| container).collect()
}

/// The last lines of a node's kubelet journal.
async fn journal(work: &Work, node: &NodeName) -> Diagnostic {
    let command = ["journalctl", "--no-pager", "--unit=kubelet", JOURNAL_LINES];
    let text = match work.shared.docker().await {
        Ok(docker) => run(docker, node, &command, None)
            .await
            .unwrap_or_else(|why| format!("the kubelet's journal can't be read: {why}\n")),
        Err(failure) => format!("{failure}\n"),
    };
    file(&format!("kubelet-{node}.log"), text, false)
}
