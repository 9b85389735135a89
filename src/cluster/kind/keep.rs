//! A cluster that stays after its cell's end: what it is is written down, and people are told how to look inside.

use super::create::Files;
use super::destroy::unkept;
use super::work::Work;
use crate::cluster::{CellPlan, quoted};
use crate::event::Failure;
use crate::machine::Resource;

/// Writes down that the cluster stays. Its tasks have ended. Returns the commands to look inside.
pub(super) fn keep(work: &Work, plan: &CellPlan) -> Result<Vec<String>, Failure> {
    let commands = commands(work, plan);
    for resource in work.parts().into_iter().chain(work.resources()) {
        let kept = match &resource {
            // kind has ended: no process is left to keep.
            Resource::Processes { .. } => work.plan.ledger.gone(resource),
            Resource::KindCluster { .. } => work.plan.ledger.keep(resource, commands.clone()),
            // They are parts of it.
            _ => work.plan.ledger.keep(resource, Vec::new()),
        };
        kept.map_err(|error| unkept(&error))?;
    }
    Ok(commands)
}

fn commands(work: &Work, plan: &CellPlan) -> Vec<String> {
    let kubeconfig = Files::of(work).kubeconfig();
    let path = quoted(&kubeconfig.display().to_string());
    let mut commands = Vec::new();
    // kind writes it last: a cluster that did not come up has none.
    if kubeconfig.exists() {
        commands.push(format!("export KUBECONFIG={path}"));
        commands.push(format!(
            "kubectl --kubeconfig {path} -n {} get pods -o wide",
            plan.namespace
        ));
    }
    let nodes = work.nodes.iter();
    commands.extend(nodes.map(|node| format!("docker exec -it {node} bash")));
    commands.push(format!("kind delete cluster --name {}", work.plan.cluster));
    commands.push("e2e-matrix gc --kept".to_owned());
    commands
}
