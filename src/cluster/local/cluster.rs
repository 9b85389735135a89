//! One cell of the local provider, phase by phase.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::board::{Board, PodStatus, Pods, Role, current};
use super::controller::Controller;
use super::failure;
use super::isolation::Isolation;
use super::lives::{self, Lives};
use super::{blueprint, destroy, diagnostics, judge, logs, preflight};
use crate::cluster::{
    CellPlan, Cleared, Cluster, Connect, Diagnostic, Forward, LONGEST_FIRST_PROBE,
    LONGEST_RECOVERY, NodeName, Programs, StepLog, Stream,
};
use crate::deadline::Deadline;
use crate::error::chain;
use crate::event::{CellFacts, Evidence, Failure, Symptom};
use crate::excerpt::Log;
use crate::machine::process::quoted;
use crate::machine::{HostResource, open_files};
use crate::manifest;

/// One cell.
pub(super) struct LocalCluster {
    controller: Arc<Controller>,
    forward: Mutex<Option<Arc<Forward>>>,
    /// Set when the agents have become ready.
    lives: OnceLock<Lives>,
}

impl LocalCluster {
    pub(super) fn new(
        plan: Arc<CellPlan>,
        programs: Arc<Programs>,
        starts: Arc<Semaphore>,
        isolation: Arc<Isolation>,
    ) -> Self {
        Self {
            controller: Arc::new(Controller::new(plan, programs, starts, isolation)),
            forward: Mutex::new(None),
            lives: OnceLock::new(),
        }
    }

    fn board(&self) -> &Board {
        self.controller.board()
    }

    fn forward(&self) -> Option<Arc<Forward>> {
        let held = self.forward.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// The failure if an agent's process ended after readiness.
    fn ended(&self, pods: &Pods) -> Option<Failure> {
        self.lives.get()?.ended(pods)
    }

    /// The resources for the ledger.
    fn resources(&self) -> [HostResource; 2] {
        [
            HostResource::Folder {
                path: self.controller.layout.root().to_owned(),
            },
            HostResource::Processes {
                mark: self.controller.plan.mark.clone(),
            },
        ]
    }

    /// The current pods of the agent on `nodes`.
    fn agents(&self, nodes: &[NodeName]) -> Vec<(String, PodStatus)> {
        self.board().look(|pods| {
            current(pods, Role::Agent)
                .filter(|(_, status)| nodes.contains(&status.node))
                .map(|(name, status)| (name.clone(), status.clone()))
                .collect()
        })
    }

    /// Ends the processes and closes the port.
    async fn end(&self, deadline: &Deadline) -> Vec<Evidence> {
        let Controller {
            kubelet,
            plan,
            steps,
            ..
        } = self.controller.as_ref();
        // Processes that ignore SIGTERM need some of the time.
        let ending = deadline.within(deadline.remaining() * 3 / 4);
        steps.measure("pods end", kubelet.shut_down(&ending)).await;
        let processes = destroy::processes(&plan.mark, deadline);
        let mut evidence = vec![steps.measure("processes gone", processes).await];
        evidence.extend(steps.measure("port closed", self.close_forward()).await);
        evidence
    }

    /// The commands to inspect the files; the processes have ended.
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
        Some(self.forward()?.close().await)
    }
}

/// Connects to the mock.
struct MockConnect(Arc<Controller>);

#[async_trait]
impl Connect for MockConnect {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let address = self.0.mock_address();
        let address = address.ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(TcpStream::connect(address).await?))
    }
}

fn unforwarded(error: impl std::fmt::Display) -> Failure {
    let message = format!("the mock's port can't be forwarded: {error}");
    Failure::new(Symptom::ForwardLost, message)
}

#[async_trait]
impl Cluster for LocalCluster {
    /// Nothing takes long enough to be started early.
    fn begin(&self) {}

    async fn up(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        for resource in self.resources() {
            self.controller.plan.ledger.plan(&resource)?;
        }
        let (layout, nodes) = (self.controller.layout.clone(), self.nodes());
        let created = logs::blocking(move || layout.create(&nodes)).await;
        let root = self.controller.layout.root();
        created.map_err(|error| failure::filesystem(root, &error))?;
        let count = self.controller.nodes.len();
        let version = self.controller.plan.cell.kubernetes;
        Ok(vec![
            Evidence::new("nodes", count, format!("{count} folders"), true),
            Evidence::new("Kubernetes version", version, "not exercised", true),
        ])
    }

    async fn images(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        preflight::executables(&self.controller.programs)
    }

    async fn manifests(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        self.controller.apply()?;
        let steps = self.controller.plan.rendered.steps();
        let rows = steps.iter().map(|step| {
            let titles: Vec<String> = step.objects.iter().map(manifest::Object::title).collect();
            Evidence::new(step.rank.name(), "accepted", titles.join(", "), true)
        });
        Ok(rows.collect())
    }

    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let waiting = self
            .controller
            .until(deadline, judge::mock_available, judge::mock_late);
        let steps = &self.controller.steps;
        steps.measure("mock available", waiting).await
    }

    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let nodes = &self.controller.nodes;
        let waiting = self.controller.until(
            deadline,
            |pods| {
                let verdict = judge::agents_ready(pods, nodes);
                if let Some(Ok(_)) = &verdict {
                    let allowed = self.controller.plan.cell.variant.expect.restarts();
                    self.lives.get_or_init(|| Lives::of(pods, allowed));
                }
                verdict
            },
            |pods| judge::agents_late(pods, nodes),
        );
        let steps = &self.controller.steps;
        steps.measure("agents ready", waiting).await
    }

    fn early_ends(&self) -> Vec<String> {
        self.lives.get().map(Lives::early_ends).unwrap_or_default()
    }

    async fn last_look(&self, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let died = |pods: &Pods| self.ended(pods).or_else(|| judge::broken(pods));
        // The rest of the time is for probes that fail.
        let first = deadline.within((deadline.remaining() / 2).min(LONGEST_FIRST_PROBE));
        let probed = |pods: &Pods| match died(pods) {
            Some(failure) => Some(Err(failure)),
            None => lives::unprobed(pods).is_empty().then_some(Ok(())),
        };
        first
            .run(self.board().wait(probed))
            .await
            .unwrap_or(Ok(()))?;
        let before = self.board().look(lives::sick);
        let decided = |pods: &Pods| match died(pods).or_else(|| lives::unhealthy(pods, &before)) {
            Some(failure) => Some(Err(failure)),
            None => lives::sick(pods).is_empty().then_some(Ok(())),
        };
        let recovery = deadline.within(LONGEST_RECOVERY);
        // A probe that doesn't run again in this time is a warning.
        recovery
            .run(self.board().wait(decided))
            .await
            .unwrap_or(Ok(()))?;
        let warnings = |pods: &Pods| {
            let unprobed = lives::unprobed(pods).into_iter();
            unprobed.chain(lives::warnings(pods, &before)).collect()
        };
        Ok(self.board().look(warnings))
    }

    async fn connect(&self, _deadline: &Deadline) -> Result<SocketAddr, Failure> {
        if let Some(forward) = self.forward() {
            return Ok(forward.address());
        }
        let listener = self.controller.plan.take_listener();
        let listener = listener.ok_or_else(|| unforwarded("no port is held for it"))?;
        let connect = Arc::new(MockConnect(Arc::clone(&self.controller)));
        let forward =
            Forward::start(listener, connect).map_err(|error| unforwarded(chain(&error)))?;
        let address = forward.address();
        let mut held = self.forward.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(Arc::new(forward));
        Ok(address)
    }

    fn nodes(&self) -> Vec<NodeName> {
        self.controller.nodes.clone()
    }

    fn facts(&self) -> CellFacts {
        let command = |role| {
            let (path, first) = blueprint::program(&self.controller.programs, role);
            let path = std::iter::once(path.display().to_string());
            path.chain(first).collect::<Vec<_>>().join(" ")
        };
        let nodes = &self.controller.nodes;
        CellFacts {
            server_version: None,
            nodes: nodes.iter().map(ToString::to_string).collect(),
            node_prefix: None,
            agent: command(Role::Agent),
            mock: command(Role::Mock),
            address: self.forward().map(|forward| forward.address().to_string()),
            tuning: Vec::new(),
        }
    }

    async fn broken(&self) -> Failure {
        let broken = |pods: &Pods| self.ended(pods).or_else(|| judge::broken(pods));
        self.board().wait(broken).await
    }

    async fn agent_log(&self, node: &NodeName) -> Result<String, Failure> {
        let agent = self.agents(std::slice::from_ref(node)).pop();
        let (_, status) = agent.ok_or_else(|| {
            let message = format!("no agent runs on {node}");
            Failure::new(Symptom::AgentNotReady, message)
        })?;
        let log = self.controller.log(&status).await;
        let log = log.map_err(|error| failure::filesystem(&status.log, &error))?;
        Ok(log.text())
    }

    async fn logs(&self, node: Option<&NodeName>) -> Vec<Log> {
        let pods: Vec<PodStatus> = self.board().look(|pods| {
            let agents = current(pods, Role::Agent)
                .filter(|(_, status)| node.is_none_or(|node| status.node == *node));
            let all = agents.chain(current(pods, Role::Mock));
            all.map(|(_, status)| status.clone()).collect()
        });
        let mut logs = Vec::with_capacity(pods.len());
        for status in &pods {
            let log = self.controller.log(status).await;
            let unread = |error| Log::unreadable(status.log_source(), &chain(&error));
            logs.push(log.unwrap_or_else(unread));
        }
        logs
    }

    async fn restart(
        &self,
        nodes: &[NodeName],
        deadline: &Deadline,
    ) -> Result<Vec<Evidence>, Failure> {
        let mut before = Vec::new();
        for (name, status) in self.agents(nodes) {
            self.controller.replace(name, status.node.clone());
            before.push(status);
        }
        let waiting = self.controller.until(
            deadline,
            |pods| judge::replaced(pods, &before),
            |pods| {
                let mut failure = judge::agents_late(pods, nodes);
                failure.symptom = Symptom::RestartNotMet;
                failure
            },
        );
        let steps = &self.controller.steps;
        steps.measure("agents restarted", waiting).await
    }

    async fn diagnostics(&self, _deadline: &Deadline) -> Vec<Diagnostic> {
        let rendered = &self.controller.plan.rendered;
        self.board().look(|pods| {
            vec![
                diagnostics::pods(pods),
                diagnostics::daemon_set(rendered, pods),
            ]
        })
    }

    async fn destroy(&self, deadline: &Deadline) -> Result<Cleared, Failure> {
        open_files::use_reserve();
        let mut evidence = self.end(deadline).await;
        let Controller {
            plan,
            steps,
            layout,
            ..
        } = self.controller.as_ref();
        evidence.push(steps.measure("folder gone", destroy::folder(layout)).await);
        let (held, left): (Vec<_>, Vec<_>) = evidence.into_iter().partition(|row| row.holds);
        if !left.is_empty() {
            let message = "some of the cell's resources still exist";
            return Err(Failure::new(Symptom::CleanupIncomplete, message).with_evidence(left));
        }
        for resource in self.resources() {
            plan.ledger.gone(&resource)?;
        }
        Ok(held.into())
    }

    async fn keep(&self, _is_sound: bool, deadline: &Deadline) -> Result<Vec<String>, Failure> {
        let evidence = self.end(deadline).await;
        let left: Vec<_> = evidence.into_iter().filter(|row| !row.holds).collect();
        if !left.is_empty() {
            let message = "something of the cell still runs";
            return Err(Failure::new(Symptom::CleanupIncomplete, message).with_evidence(left));
        }
        let commands = self.commands();
        let ledger = &self.controller.plan.ledger;
        let [folder, processes] = self.resources();
        let written = ledger.keep(&folder, commands.clone());
        written.and_then(|()| ledger.gone(&processes))?;
        Ok(commands)
    }

    fn steps(&self) -> &StepLog {
        &self.controller.steps
    }
}
