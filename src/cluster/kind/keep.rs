//! Keeps a cluster after the end of its cell: records the cluster, and lists the commands to inspect and to delete it.

use std::slice;

use super::claim::{Kept, KindResource};
use super::create::KUBECONFIG;
use super::wipe::Leftovers;
use super::work::Work;
use crate::cluster::CellPlan;
use crate::deadline::milliseconds;
use crate::event::Failure;
use crate::machine::process::quoted;

/// Records that the cluster is kept. Its tasks must have ended. If the cluster `is_sound`, a later run may reuse it.
/// Returns the commands to inspect and to delete it.
pub(super) fn keep(work: &Work, plan: &CellPlan, is_sound: bool) -> Result<Vec<String>, Failure> {
    let commands = commands(work, plan);
    let ledger = &plan.ledger;
    let [folder, processes] = work.plan.on_host();
    // kind has ended, so no process is left.
    ledger.gone(&processes)?;
    if let Some(mut claim) = work.claim() {
        if is_sound {
            claim.kept = reusable(work, plan).map(Box::new);
        }
        // The folder is needed for inspection.
        ledger.keep(&folder, Vec::new())?;
        ledger.keep(&KindResource::Cluster(claim), commands.clone())?;
    }
    Ok(commands)
}

/// Everything that a later run needs to reuse the cluster; `None` if the cluster never came up.
fn reusable(work: &Work, plan: &CellPlan) -> Option<Kept> {
    work.access.get()?;
    Some(Kept {
        cell: plan.cell.id.clone(),
        fingerprint: work.fingerprint.get()?.template(),
        nodes: work.nodes(),
        before: work.before().get()?,
        leftovers: Leftovers::of(plan),
        folders: [work.earlier_folders(), slice::from_ref(&work.plan.runtime)].concat(),
        creation_ms: milliseconds(*work.creation_time.get()?),
    })
}

fn commands(work: &Work, plan: &CellPlan) -> Vec<String> {
    let kubeconfig = work.file(KUBECONFIG);
    let path = quoted(&kubeconfig.display().to_string());
    let mut commands = Vec::new();
    // A cluster whose API server never responded has no such file.
    if kubeconfig.exists() {
        commands.push(format!("export KUBECONFIG={path}"));
        commands.push(format!(
            "kubectl --kubeconfig {path} -n {} get pods -o wide",
            plan.namespace
        ));
    }
    let nodes = work.containers.iter();
    commands.extend(nodes.map(|node| format!("docker exec -it {node} bash")));
    commands.push(format!("kind delete cluster --name {}", work.plan.cluster));
    commands.push("e2e-matrix gc --kept".to_owned());
    commands
}
