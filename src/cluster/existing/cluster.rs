//! A cell in a shared cluster, phase by phase.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::sync::SetOnce;

use super::labels::{is_ours, run_of, selector};
use super::lease::CellLease;
use super::provider::TargetCluster;
use super::reclaim::{ExistingResource, NAMESPACE};
use super::{clear, definitions};
use crate::cluster::kubernetes::{Access, Tenant, diagnostics, ready};
use crate::cluster::milestone::Milestone;
use crate::cluster::{CellPlan, Cleared, Cluster, Diagnostic, NodeName, StepLog};
use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Failure, Symptom};
use crate::excerpt::Log;
use crate::machine::{LedgerContents, LedgerError, StateFolder, is_dead};
use crate::manifest::Object;

/// How long the API server may take to respond after the deadline.
const RESPONSE_LIMIT: Duration = Duration::from_secs(5);

/// A cell's part of the cluster.
pub(super) struct ExistingCluster {
    pub(super) shared: Arc<TargetCluster>,
    pub(super) tenant: Arc<Tenant>,
    /// The Lease that represents the cell's turn. Set when the cell starts to wait for its turn.
    turn: OnceLock<CellLease>,
    /// Whether the cell has got its turn.
    has_turn: AtomicBool,
}

impl ExistingCluster {
    pub(super) fn new(shared: Arc<TargetCluster>, plan: Arc<CellPlan>) -> Self {
        Self {
            shared,
            tenant: Arc::new(Tenant::new(plan, Arc::new(Milestone::new()))),
            turn: OnceLock::new(),
            has_turn: AtomicBool::new(false),
        }
    }

    fn own_namespace(&self) -> ExistingResource {
        let name = &self.tenant.plan.namespace;
        self.shared.connection.namespace(name)
    }

    /// Waits for the cell's turn in the cluster, and then keeps renewing the Lease in the background.
    async fn take_turn(&self, client: &Client, deadline: &Deadline) -> Result<(), Failure> {
        let plan = &self.tenant.plan;
        // The namespace is recorded first: its name identifies the holder of the Lease, so `gc` can release the Lease.
        plan.ledger.plan(&self.own_namespace())?;
        let turn = CellLease::new(client, &plan.namespace, plan.ledger.run());
        let turn = self.turn.get_or_init(|| turn).clone();
        turn.take(&self.shared.state, deadline).await?;
        self.has_turn.store(true, Ordering::SeqCst);
        let lost = Arc::clone(&self.tenant.lost);
        self.tenant
            .spawn(async move { lost.set(Err(turn.hold().await)) });
        Ok(())
    }

    /// Deletes the namespaces that dead runs left behind. Fails if another namespace with our label exists: it was kept
    /// on purpose, or belongs to a run on another machine.
    async fn clear_stale(&self, client: &Client, deadline: &Deadline) -> Result<(), Failure> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let ours = ListParams::default().labels(&selector());
        for found in namespaces.list(&ours).await? {
            let name = found.name_any();
            let run = run_of(&found).unwrap_or_default().to_owned();
            if !is_stale(&self.shared.state, &name, &run)? {
                return Err(self.occupied(&name));
            }
            tracing::info!(namespace = name, "deleting the namespace of a dead run");
            let clearing = Box::pin(clear::namespace(client, &name, &run, deadline));
            let steps = &self.tenant.steps;
            steps.measure("stale namespace", clearing).await?;
        }
        Ok(())
    }

    fn occupied(&self, name: &str) -> Failure {
        let message = format!(
            "the namespace {name} of another run exists, and its agents use the nodes' ports"
        );
        let kubectl = self.shared.connection.kubectl();
        Failure::new(Symptom::ClusterNotUp, message).with_remedy(format!(
            "delete it with `e2e-matrix gc --kept`, or with `{kubectl} delete namespace {name}`"
        ))
    }

    /// The ledger entry for an object of the cell; `None` if the object is in the cell's namespace.
    fn resource(&self, object: &Object) -> Option<ExistingResource> {
        let connection = &self.shared.connection;
        match object.kind.as_str() {
            NAMESPACE => Some(connection.namespace(&object.name)),
            _ if object.is_namespaced() => None,
            kind => Some(connection.object(&object.api_version, kind, &object.name)),
        }
    }

    /// The ledger entries for all objects of the cell that are not in its namespace.
    fn resources(&self) -> Vec<ExistingResource> {
        let objects = self.tenant.plan.rendered.objects();
        objects.filter_map(|object| self.resource(object)).collect()
    }

    /// Fails if an object outside the cell's namespace, or the namespace itself, exists already and isn't ours: the cell
    /// would change it and then delete it. Existing custom resource definitions are used unchanged instead.
    async fn check_names(&self, client: &Client) -> Result<(), Failure> {
        let resources = self.resources().into_iter();
        for resource in resources.filter(|resource| resource.kind != definitions::KIND) {
            let found = resource.api(client).get_opt(&resource.name).await?;
            if found.is_some_and(|found| !is_ours(&found)) {
                let (kind, name) = (&resource.kind, &resource.name);
                let message =
                    format!("{kind} {name} exists already and was not created by e2e-matrix");
                let remedy =
                    "omit `--cluster-name`, or choose a name that is not used in the cluster";
                return Err(Failure::new(Symptom::BadConfiguration, message).with_remedy(remedy));
            }
        }
        Ok(())
    }

    /// Deletes what the cell has created, and checks that nothing is left.
    async fn clear(&self, client: &Client, deadline: &Deadline) -> Result<Cleared, Failure> {
        let plan = &self.tenant.plan;
        let (name, run) = (&plan.namespace, plan.ledger.run());
        let resources = self.resources();
        let cleared = clear::cell(client, name, run, &resources, deadline).await?;
        for resource in &resources {
            plan.ledger.gone(resource)?;
        }
        Ok(cleared)
    }

    async fn apply(&self) -> Result<Vec<Evidence>, Failure> {
        let tenant = &self.tenant;
        let client = self.shared.client().await?;
        let foreign = definitions::foreign(client, tenant.plan.rendered.objects()).await?;
        let is_own =
            |object: &&Object| object.kind != definitions::KIND || !foreign.contains(&object.name);
        let own = || tenant.plan.rendered.objects().filter(is_own);
        for resource in own().filter_map(|object| self.resource(object)) {
            tenant.plan.ledger.plan(&resource)?;
        }
        // Each node pulls the images itself when its pods start, so there is nothing to wait for.
        let pods_may_start = Milestone::reached_already(());
        let mut evidence = tenant.apply(own(), &pods_may_start).await?;
        evidence.extend(foreign.into_iter().map(|name| {
            let subject = format!("{} {name}", definitions::KIND);
            Evidence::new(subject, "already exists", "not changed", true)
        }));
        Ok(evidence)
    }

    fn commands(&self) -> Vec<String> {
        let kubectl = self.shared.connection.kubectl();
        let namespace = &self.tenant.plan.namespace;
        vec![
            format!("{kubectl} -n {namespace} get pods -o wide"),
            format!("{kubectl} -n {namespace} logs daemonset/plexd"),
            "e2e-matrix gc --kept".to_owned(),
        ]
    }
}

/// Whether the dead run `run` left the namespace behind. A namespace that was kept on purpose may have been created with
/// another context of the same cluster.
fn is_stale(state: &StateFolder, namespace: &str, run: &str) -> Result<bool, LedgerError> {
    if !is_dead(state, run)? {
        return Ok(false);
    }
    let contents = LedgerContents::read(&state.run(run))?;
    let is_it = |it: &ExistingResource| it.is_namespace() && it.name == namespace;
    let mut entries = contents.payloads();
    Ok(!entries.any(|(left, it)| left.kept.is_some() && is_it(&it)))
}

fn late(what: &str, timed_out: crate::deadline::TimedOut) -> Failure {
    Failure::new(Symptom::ApiServerGone, format!("{what} {timed_out}"))
}

#[async_trait]
impl Cluster for ExistingCluster {
    async fn up(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let (tenant, shared) = (&self.tenant, &self.shared);
        let client = shared.client().await?;
        let opening = Access::open(client.clone(), deadline.remaining());
        let opened = deadline.run(opening).await;
        let access =
            opened.map_err(|timed_out| late("connecting to the API server", timed_out))??;
        let version = access.server_version.clone();
        let entering = async {
            self.check_names(client).await?;
            self.take_turn(client, deadline).await?;
            self.clear_stale(client, deadline).await
        };
        let entering = tenant.steps.measure("turn in the cluster", entering);
        // Waiting for the turn has its own timeout. This limit is for requests that the API server doesn't respond to.
        let clock = &tenant.plan.clock;
        let limit = clock.deadline(deadline.remaining() + RESPONSE_LIMIT);
        let entered = limit.run(Box::pin(entering)).await;
        entered
            .map_err(|timed_out| late("waiting for the cell's turn in the cluster", timed_out))??;
        tenant.enter(access, false);
        let nodes = self.nodes();
        let ready = tenant.watch(deadline, |snapshot| ready::nodes(snapshot, &nodes));
        let mut evidence = ready.await?;
        evidence.push(ready::version(tenant.plan.cell.kubernetes, &version)?);
        Ok(evidence)
    }

    async fn images(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let names = self.shared.names.of(&self.tenant.plan.cell);
        let row = |name: &String| {
            let seen = "not checked: nodes pull it when pods start";
            Evidence::new(format!("image {name}"), "pulled by the nodes", seen, true)
        };
        Ok([&names.agent, &names.mock].map(row).into())
    }

    async fn manifests(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let applying = tokio::select! {
            biased;
            applied = deadline.run(Box::pin(self.apply())) => applied,
            failure = self.tenant.lost.failed() => return Err(failure),
        };
        let applied = applying.map_err(|timed_out| late("applying the objects", timed_out))?;
        self.tenant.applied.set(applied);
        self.tenant.manifests(deadline).await
    }

    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.tenant.mock_available(deadline).await
    }

    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.tenant.agents_ready(&self.nodes(), deadline).await
    }

    fn early_ends(&self) -> Vec<String> {
        self.tenant.early_ends()
    }

    async fn final_check(&self, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        self.tenant.final_check(deadline).await
    }

    async fn connect(&self, deadline: &Deadline) -> Result<SocketAddr, Failure> {
        self.tenant.connect(deadline).await
    }

    async fn kubeconfig(&self) -> Result<Option<OsString>, Failure> {
        let connection = &self.shared.connection;
        connection.kubeconfig(&self.tenant.plan.output).map(Some)
    }

    fn nodes(&self) -> Vec<NodeName> {
        self.shared.nodes.get().cloned().unwrap_or_default()
    }

    fn facts(&self) -> CellFacts {
        let kube = self.tenant.kube.get();
        let names = self.shared.names.of(&self.tenant.plan.cell);
        CellFacts {
            server_version: kube.map(|kube| kube.server_version.clone()),
            nodes: self.nodes().iter().map(ToString::to_string).collect(),
            agent: names.agent,
            mock: names.mock,
            address: self.tenant.address().map(|address| address.to_string()),
            ..CellFacts::default()
        }
    }

    async fn broken(&self) -> Failure {
        self.tenant.broken().await
    }

    async fn logs(&self, node: Option<&NodeName>) -> Vec<Log> {
        self.tenant.logs(node).await
    }

    async fn restart(
        &self,
        nodes: &[NodeName],
        ended: &SetOnce<()>,
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        self.tenant.restart(nodes, ended, deadline).await
    }

    async fn diagnostics(&self, _deadline: &Deadline) -> Vec<Diagnostic> {
        let plan = &self.tenant.plan;
        let Some(kube) = self.tenant.kube.get() else {
            return Vec::new();
        };
        let mut found = diagnostics::collect(&kube);
        for diagnostic in &mut found {
            diagnostic.text = diagnostics::mask(plan, &diagnostic.text);
        }
        found
    }

    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        self.tenant.leave(deadline).await;
        let Some(turn) = self.turn.get() else {
            // The cell has created nothing.
            return Ok(Cleared::default());
        };
        if !self.has_turn.load(Ordering::SeqCst) {
            turn.release(deadline).await?;
            self.tenant.plan.ledger.gone(&self.own_namespace())?;
            return Ok(Cleared::default());
        }
        let client = self.shared.client().await?;
        // Hold the Lease until everything is gone, so that no other cell starts too early.
        let clearing = async {
            tokio::select! {
                cleared = Box::pin(self.clear(client, deadline)) => cleared,
                failure = Box::pin(turn.hold()) => Err(failure),
            }
        };
        let clearing = self.tenant.steps.measure("clear", clearing);
        let cleared = deadline.run(clearing).await;
        // The deadline may have passed during cleanup, so this request has its own deadline.
        let limit = self.tenant.plan.clock.deadline(RESPONSE_LIMIT);
        let released = turn.release(&limit).await;
        let cleared = cleared.map_err(|timed_out| {
            let message = format!("cleanup {timed_out}");
            Failure::new(Symptom::CleanupIncomplete, message).with_remedy(clear::GC_REMEDY)
        })??;
        released.map(|()| cleared)
    }

    async fn keep(&self, _is_sound: bool, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let plan = &self.tenant.plan;
        self.tenant.leave(deadline).await;
        if let Some(turn) = self.turn.get() {
            turn.release(deadline).await?;
        }
        let commands = self.commands();
        let contents = LedgerContents::read(plan.ledger.folder())?;
        // An object that was never created must not be added to the ledger.
        let is_recorded = |resource: &ExistingResource| contents.find(resource).is_some();
        for resource in self.resources().into_iter().filter(is_recorded) {
            let inspect = resource.is_namespace().then(|| commands.clone());
            plan.ledger.keep(&resource, inspect.unwrap_or_default())?;
        }
        Ok(commands)
    }

    fn steps(&self) -> &StepLog {
        &self.tenant.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Ledger, Owner};

    fn namespace(name: &str) -> ExistingResource {
        ExistingResource {
            kubeconfig: Vec::new(),
            context: "staging".to_owned(),
            api_version: "v1".to_owned(),
            kind: NAMESPACE.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_kept_namespace_is_not_stale_even_if_another_context_kept_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let ledger = Ledger::open(&state, Owner::new("abcde", "out")).unwrap();
        ledger.keep(&namespace("kept"), Vec::new()).unwrap();
        ledger.plan(&namespace("left")).unwrap();
        let is_stale = |name: &str| is_stale(&state, name, "abcde").unwrap();
        assert!(!is_stale("left"), "the run is alive");
        drop(ledger);
        assert!(is_stale("left"));
        assert!(!is_stale("kept"));
    }
}
