//! A cell of the local provider, phase by phase.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::sync::SetOnce;

use super::controller::Controller;
use super::health::{self, RestartBaseline};
use super::status::{PodStatus, Pods, Role, agents, mock};
use super::{diagnostics, logs, pod_config, preflight, readiness};
use crate::cluster::host;
use crate::cluster::reclaim::incomplete;
use crate::cluster::{
    Cleared, Cluster, Connect, Diagnostic, Forward, LONGEST_FIRST_PROBE, LONGEST_RECOVERY,
    NodeName, StepLog, Stream,
};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{CellFacts, Evidence, Failure, Symptom};
use crate::excerpt::Log;
use crate::machine::open_files;
use crate::machine::process::quoted;
use crate::manifest;

/// One cell.
pub(super) struct LocalCluster {
    controller: Arc<Controller>,
    forward: OnceLock<Forward>,
    /// Set when the agents have become ready.
    baseline: OnceLock<RestartBaseline>,
}

impl LocalCluster {
    pub(super) fn new(controller: Controller) -> Self {
        Self {
            controller: Arc::new(controller),
            forward: OnceLock::new(),
            baseline: OnceLock::new(),
        }
    }

    /// The failure if a pod has failed permanently, or if an agent's process has ended too many times before or since
    /// readiness.
    fn failed(&self, pods: &Pods) -> Option<Failure> {
        match self.baseline.get() {
            Some(baseline) => baseline.exceeded(pods).or_else(|| health::failed(pods)),
            None => health::failed(pods).or_else(|| health::crashed_early(pods)),
        }
    }

    /// Terminates the processes and closes the port.
    async fn stop(&self, deadline: &Deadline) -> Vec<Evidence> {
        let steps = &self.controller.steps;
        // The rest of the time is for killing processes that ignore SIGTERM.
        let terminating = deadline.within(deadline.remaining() * 3 / 4);
        let terminated = self.controller.shut_down(&terminating);
        steps.measure("pods end", terminated).await;
        let processes = host::end_processes(&self.controller.plan.mark, deadline);
        let mut evidence = vec![steps.measure("processes gone", processes).await];
        evidence.extend(steps.measure("port closed", self.close_forward()).await);
        evidence
    }

    /// The commands to inspect and to delete what is kept. Only files are kept, because the processes have ended.
    fn commands(&self) -> Vec<String> {
        let layout = &self.controller.layout;
        let path = |path: &Path| quoted(&path.display().to_string());
        let hosts = self.controller.nodes.iter().map(|node| layout.host(node));
        let mut commands = vec![format!("ls {}", path(&layout.logs()))];
        commands.extend(hosts.map(|host| format!("ls {}", path(&host))));
        commands.push("e2e-matrix gc --kept".to_owned());
        commands
    }

    /// Closes the mock's port. Returns evidence that it is closed.
    async fn close_forward(&self) -> Option<Evidence> {
        drop(self.controller.plan.take_listener());
        Some(self.forward.get()?.close().await)
    }
}

/// Connects to the mock.
struct MockConnect(Arc<Controller>);

#[async_trait]
impl Connect for MockConnect {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let addresses = self.0.addresses.get();
        let addresses = addresses.ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(
            TcpStream::connect(addresses.test_interface()).await?,
        ))
    }
}

fn not_forwarded(error: impl std::fmt::Display) -> Failure {
    let message = format!("the mock's port can't be forwarded: {error}");
    Failure::new(Symptom::ForwardLost, message)
}

#[async_trait]
impl Cluster for LocalCluster {
    async fn up(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        for resource in self.controller.plan.on_host() {
            self.controller.plan.ledger.plan(&resource)?;
        }
        let (layout, nodes) = (self.controller.layout.clone(), self.nodes());
        let created = logs::blocking(move || layout.create(&nodes)).await;
        created.map_err(|error| {
            let root = self.controller.layout.root.display();
            let message = format!("failed to create folders in {root}: {}", chain(&error));
            Failure::new(Symptom::FilesystemFailed, message)
        })?;
        let count = self.controller.nodes.len();
        let version = self.controller.plan.cell.kubernetes;
        Ok(vec![
            Evidence::new("node folders", count, count, true),
            Evidence::new("Kubernetes version", version, "not exercised", true),
        ])
    }

    async fn images(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let controller = &self.controller;
        preflight::executables(&controller.programs, &controller.plan.cell)
    }

    async fn manifests(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.controller.apply()?;
        let steps = self.controller.plan.rendered.steps();
        let rows = steps.iter().map(|(rank, objects)| {
            let titles: Vec<String> = objects.iter().map(manifest::Object::title).collect();
            Evidence::new(rank.name(), "accepted", titles.join(", "), true)
        });
        Ok(rows.collect())
    }

    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let (condition, late) = (readiness::mock_available, readiness::mock_late);
        let name = "mock available";
        self.controller
            .wait_for(name, deadline, condition, late)
            .await
    }

    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let nodes = &self.controller.nodes;
        let condition = |pods: &Pods| {
            if let Some(failure) = self.failed(pods) {
                return Some(Err(failure));
            }
            let evidence = readiness::agents_ready(pods, nodes)?;
            let allowed = self.controller.plan.cell.variant.expect.restarts();
            self.baseline
                .get_or_init(|| RestartBaseline::new(pods, allowed));
            Some(Ok(evidence))
        };
        let late = |pods: &Pods| readiness::agents_late(pods, nodes);
        let name = "agents ready";
        self.controller
            .wait_for(name, deadline, condition, late)
            .await
    }

    fn early_ends(&self) -> Vec<String> {
        let baseline = self.baseline.get();
        baseline
            .map(RestartBaseline::early_ends)
            .unwrap_or_default()
    }

    async fn final_check(&self, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let statuses = &self.controller.statuses;
        // The rest of the time is for failing probes to recover.
        let first = deadline.within((deadline.remaining() / 2).min(LONGEST_FIRST_PROBE));
        let probed = |pods: &Pods| match self.failed(pods) {
            Some(failure) => Some(Err(failure)),
            None => health::unprobed(pods).is_empty().then_some(Ok(())),
        };
        let probed = first.run(statuses.wait_for(probed)).await;
        probed.unwrap_or(Ok(()))?;
        let before = statuses.read(health::liveness_failures);
        let decided = |pods: &Pods| {
            let unhealthy = || health::unhealthy(pods, &before);
            match self.failed(pods).or_else(unhealthy) {
                Some(failure) => Some(Err(failure)),
                None => health::liveness_failures(pods).is_empty().then_some(Ok(())),
            }
        };
        // If a failing probe doesn't run again within this time, the cell gets a warning.
        let recovery = deadline.within(LONGEST_RECOVERY);
        let decided = recovery.run(statuses.wait_for(decided)).await;
        decided.unwrap_or(Ok(()))?;
        Ok(statuses.read(|pods| {
            let mut warnings = health::unprobed(pods);
            warnings.extend(health::liveness_warnings(pods, &before));
            warnings
        }))
    }

    async fn connect(&self, _deadline: &Deadline) -> Result<SocketAddr, Failure> {
        if let Some(forward) = self.forward.get() {
            return Ok(forward.address());
        }
        let listener = self.controller.plan.take_listener();
        let listener = listener.ok_or_else(|| not_forwarded("no port is reserved for it"))?;
        let connect = Arc::new(MockConnect(Arc::clone(&self.controller)));
        let forward =
            Forward::start(listener, connect).map_err(|error| not_forwarded(chain(&error)))?;
        Ok(self.forward.get_or_init(|| forward).address())
    }

    fn nodes(&self) -> Vec<NodeName> {
        self.controller.nodes.clone()
    }

    fn facts(&self) -> CellFacts {
        let command = |role| {
            let (path, first) = pod_config::program(&self.controller.programs, role);
            let path = std::iter::once(path.display().to_string());
            path.chain(first).collect::<Vec<_>>().join(" ")
        };
        let nodes = &self.controller.nodes;
        CellFacts {
            nodes: nodes.iter().map(ToString::to_string).collect(),
            agent: command(Role::Agent),
            mock: command(Role::Mock),
            address: self
                .forward
                .get()
                .map(|forward| forward.address().to_string()),
            ..CellFacts::default()
        }
    }

    async fn broken(&self) -> Failure {
        self.controller
            .statuses
            .wait_for(|pods| self.failed(pods))
            .await
    }

    async fn logs(&self, node: Option<&NodeName>) -> Vec<Log> {
        let pods: Vec<PodStatus> = self.controller.statuses.read(|pods| {
            let agents =
                agents(pods).filter(|agent| node.is_none_or(|node| agent.pod.node == *node));
            agents.chain(mock(pods)).cloned().collect()
        });
        let mut logs = Vec::with_capacity(pods.len());
        for status in &pods {
            logs.push(self.controller.log(status).await);
        }
        logs
    }

    async fn restart(
        &self,
        nodes: &[NodeName],
        ended: &SetOnce<()>,
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        let before: Vec<PodStatus> = self.controller.statuses.read(|pods| {
            let agents = agents(pods).filter(|agent| nodes.contains(&agent.pod.node));
            agents.cloned().collect()
        });
        for agent in &before {
            agent.deletion.cancel();
        }
        let condition = |pods: &Pods| {
            if readiness::have_ended(pods, &before) {
                drop(ended.set(()));
            }
            readiness::agents_replaced(pods, &before)
        };
        let late = |pods: &Pods| {
            let mut failure = readiness::agents_late(pods, nodes);
            failure.symptom = Symptom::RestartNotMet;
            failure
        };
        let name = "agents restarted";
        self.controller
            .wait_for(name, deadline, condition, late)
            .await
    }

    async fn diagnostics(&self, _deadline: &Deadline) -> Vec<Diagnostic> {
        let rendered = &self.controller.plan.rendered;
        self.controller.statuses.read(|pods| {
            vec![
                diagnostics::pods(pods),
                diagnostics::daemon_set(rendered, pods),
            ]
        })
    }

    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        open_files::use_reserve();
        let mut evidence = self.stop(deadline).await;
        let Controller { plan, steps, .. } = self.controller.as_ref();
        let removed = host::delete_folder(&plan.runtime);
        evidence.push(steps.measure("folder gone", removed).await);
        let failure = incomplete("some of the cell's resources still exist");
        let evidence = failure.unless_all_hold(evidence)?;
        for resource in plan.on_host() {
            plan.ledger.gone(&resource)?;
        }
        Ok(evidence.into())
    }

    async fn keep(&self, _is_sound: bool, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let message = "some of the cell's processes are still running, or its port is still open";
        incomplete(message).unless_all_hold(self.stop(deadline).await)?;
        let commands = self.commands();
        let plan = &self.controller.plan;
        let [folder, processes] = plan.on_host();
        plan.ledger.keep(&folder, commands.clone())?;
        plan.ledger.gone(&processes)?;
        Ok(commands)
    }

    fn steps(&self) -> &StepLog {
        &self.controller.steps
    }
}
