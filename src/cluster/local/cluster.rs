//! One cell of the local provider, phase by phase.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::announce::{Listener, Listeners};
use super::blueprint::{Blueprint, Drafter, program};
use super::board::{Board, PodStatus, Pods, Role, State, current};
use super::contents::Contents;
use super::failure::{self, row};
use super::kubelet::Kubelet;
use super::layout::Layout;
use super::{destroy, diagnostics, logs, preflight, scheduling};
use crate::cluster::{
    CellPlan, Cluster, Connect, Diagnostic, Forward, NodeName, Programs, Restarted, StepLog, Stream,
};
use crate::deadline::Deadline;
use crate::event::{CellFacts, Evidence, Failure, LogTail, Step, Symptom};
use crate::machine::{LedgerError, Resource};
use crate::manifest::{self, ManifestProblem};

/// How many lines of a log go with a failure.
const LOG_LINES: usize = 50;

/// One cell. What its background work needs is in there once, behind an `Arc`.
pub(super) struct LocalCluster {
    shared: Arc<Shared>,
    forward: Mutex<Option<Arc<Forward>>>,
}

pub(super) struct Shared {
    plan: Arc<CellPlan>,
    programs: Arc<Programs>,
    nodes: Vec<NodeName>,
    layout: Layout,
    contents: Contents,
    kubelet: Kubelet,
    steps: StepLog,
}

impl Shared {
    fn drafter(&self) -> Drafter<'_> {
        Drafter {
            rendered: &self.plan.rendered,
            programs: &self.programs,
            layout: &self.layout,
            contents: &self.contents,
        }
    }

    fn board(&self) -> &Board {
        &self.kubelet.board
    }

    /// A pod of the agent for `node`, for the mock as it listens now.
    fn agent(&self, node: &NodeName, services: &Services) -> Result<Blueprint, Failure> {
        let drafter = self.drafter();
        let listeners = services.listeners.as_ref();
        drafter.agent(node, drafter.services(&services.ports, listeners))
    }

    async fn tail(&self, status: &PodStatus, lines: usize) -> LogTail {
        LogTail {
            source: format!("{} on {}", status.role.name(), status.node),
            lines: logs::tail(status.log.clone(), lines, &self.plan.mask).await,
        }
    }

    /// A failure with the ends of the logs of the pods that it is about.
    async fn with_logs(&self, mut failure: Failure, pods: &[PodStatus]) -> Failure {
        for status in pods {
            let LogTail { source, lines } = self.tail(status, LOG_LINES).await;
            failure = failure.with_log(source, lines);
        }
        failure
    }
}

/// The mock's ports, and where they are listened on once it runs.
struct Services {
    ports: std::collections::BTreeMap<u16, Listener>,
    listeners: Option<Listeners>,
}

impl LocalCluster {
    pub(super) fn new(
        plan: Arc<CellPlan>,
        programs: Arc<Programs>,
        starts: Arc<Semaphore>,
    ) -> Self {
        let layout = Layout::new(plan.runtime.clone());
        let kubelet = Kubelet::new(
            plan.clock.clone(),
            starts,
            plan.mark.clone(),
            layout.clone(),
        );
        let shared = Shared {
            nodes: plan.cluster.nodes(plan.cell.nodes.get()),
            contents: Contents::of(&plan.rendered),
            steps: StepLog::new(&plan.clock),
            programs,
            layout,
            kubelet,
            plan,
        };
        Self {
            shared: Arc::new(shared),
            forward: Mutex::new(None),
        }
    }

    fn board(&self) -> &Board {
        self.shared.board()
    }

    fn forward(&self) -> Option<Arc<Forward>> {
        let held = self.forward.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    fn resources(&self) -> [Resource; 2] {
        [
            Resource::Folder {
                path: self.shared.layout.root().to_owned(),
            },
            Resource::Processes {
                mark: self.shared.plan.mark.clone(),
            },
        ]
    }

    /// Checks every object and every pod's description; nothing is started.
    fn accept(&self) -> Result<Services, Failure> {
        let rendered = &self.shared.plan.rendered;
        let unknown: Vec<ManifestProblem> = rendered
            .objects()
            .flat_map(manifest::unknown_fields)
            .collect();
        if let Some(first) = unknown.first() {
            return Err(refused(first, &unknown));
        }
        let spec = &rendered.agent().daemon_set.spec.template.spec;
        let spec = spec.clone().unwrap_or_default();
        if let Some((node, reason)) = scheduling::refusing(&spec, &self.shared.nodes).first() {
            let message = format!("the agent does not go to {node}: {reason}");
            return Err(Failure::new(Symptom::Unschedulable, message)
                .with_remedy("tolerate every taint, and select every node, in the DaemonSet"));
        }
        let (_, ports) = self.shared.drafter().mock(&self.shared.nodes[0])?;
        let services = Services {
            ports,
            listeners: None,
        };
        self.shared.agent(&self.shared.nodes[0], &services)?;
        Ok(services)
    }

    /// Starts the mock, and an agent on every node as soon as the mock listens.
    fn start(&self, services: Services) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let (mock, _) = shared.drafter().mock(&shared.nodes[0])?;
        let name = mock.name.clone();
        shared.kubelet.start(mock);
        self.shared.kubelet.control(async move {
            let expected = services.ports.len();
            let listening = shared.board().wait(|pods| {
                let listeners = &pods.get(&name)?.listeners;
                (listeners.len() >= expected).then(|| listeners.clone())
            });
            let services = Services {
                listeners: Some(shared.steps.measure("mock listens", listening).await),
                ..services
            };
            for node in &shared.nodes {
                start_agent(&shared, node, &services);
            }
        });
        Ok(())
    }

    /// Waits for a condition on the pods, or gives up with what `late` makes of them.
    async fn until<T>(
        &self,
        deadline: &Deadline,
        condition: impl FnMut(&Pods) -> Option<Result<T, (Failure, Vec<PodStatus>)>>,
        late: impl FnOnce(&Pods) -> (Failure, Vec<PodStatus>),
    ) -> Result<T, Failure> {
        let waited = deadline.run(self.board().wait(condition)).await;
        let result = waited.unwrap_or_else(|timed_out| {
            let (mut failure, pods) = self.board().look(late);
            failure.message = format!("{} ({timed_out})", failure.message);
            Err((failure, pods))
        });
        match result {
            Ok(value) => Ok(value),
            Err((failure, pods)) => Err(self.shared.with_logs(failure, &pods).await),
        }
    }
}

/// Starts the agent of a node. Its description was accepted before; what still can't be made is said on the log of the run.
fn start_agent(shared: &Shared, node: &NodeName, services: &Services) {
    match shared.agent(node, services) {
        Ok(agent) => shared.kubelet.start(agent),
        Err(failure) => tracing::error!(%node, %failure, "failed to describe an agent's pod"),
    }
}

fn refused(first: &ManifestProblem, all: &[ManifestProblem]) -> Failure {
    let more = match all.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more like it"),
    };
    let rows = all.iter().map(|problem| {
        row(
            problem.place.to_string(),
            "a field that Kubernetes knows",
            "unknown",
            false,
        )
    });
    Failure::new(Symptom::ObjectRefused, format!("{first}{more}"))
        .with_remedy(first.remedy.clone())
        .with_evidence(rows)
}

fn ledger(error: &LedgerError) -> Failure {
    Failure::new(Symptom::FilesystemFailed, failure::chain(error))
}

/// Connects to the mock wherever it listens now.
struct MockConnect(Board);

#[async_trait]
impl Connect for MockConnect {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let address = self.0.look(|pods| {
            let (_, mock) = current(pods, Role::Mock).next()?;
            mock.listeners.get(&Listener::MockHttp).copied()
        });
        let address = address.ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(TcpStream::connect(address).await?))
    }
}

#[async_trait]
impl Cluster for LocalCluster {
    /// Everything here is done in no time once its phase has come.
    fn begin(&self) {}

    async fn up(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        for resource in self.resources() {
            let planned = self.shared.plan.ledger.plan(resource);
            planned.map_err(|error| ledger(&error))?;
        }
        let (layout, nodes) = (self.shared.layout.clone(), self.shared.nodes.clone());
        let created = logs::blocking(move || layout.create(&nodes)).await;
        created.map_err(|error| failure::filesystem(self.shared.layout.root(), &error))?;
        let count = self.shared.nodes.len();
        let version = self.shared.plan.cell.kubernetes;
        Ok(vec![
            row("nodes", count, format!("{count} folders"), true),
            row("Kubernetes version", version, "not exercised", true),
        ])
    }

    async fn images(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        preflight::executables(&self.shared.programs)
    }

    async fn manifests(&self, _deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let services = self.accept()?;
        self.start(services)?;
        let steps = self.shared.plan.rendered.steps();
        let rows = steps.iter().map(|step| {
            let titles: Vec<String> = step.objects.iter().map(manifest::Object::title).collect();
            row(step.part.title(), "accepted", titles.join(", "), true)
        });
        Ok(rows.collect())
    }

    async fn mock_available(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let ready = |pods: &Pods| {
            let (_, mock) = current(pods, Role::Mock).next()?;
            if mock.state == State::CrashLoop {
                return Some(Err(mock_failed(mock)));
            }
            mock.ready.then(|| Ok(mock.listeners.clone()))
        };
        let late = |pods: &Pods| match current(pods, Role::Mock).next() {
            Some((_, mock)) => mock_failed(mock),
            None => {
                let message = "the mock was not started";
                (Failure::new(Symptom::MockUnavailable, message), Vec::new())
            }
        };
        let waiting = self.until(deadline, ready, late);
        let listeners = self.shared.steps.measure("mock available", waiting).await?;
        let rows = listeners
            .iter()
            .map(|(listener, address)| row(listener.variable(), "listening", address, true));
        Ok(rows.collect())
    }

    async fn agents_ready(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let nodes = self.shared.nodes.len();
        let ready = |pods: &Pods| {
            if let Some(failed) = crashed(pods) {
                return Some(Err(failed));
            }
            let ready = current(pods, Role::Agent).filter(|(_, status)| status.ready);
            (ready.count() == nodes).then_some(Ok(()))
        };
        let late = |pods: &Pods| not_ready(pods, &self.shared.nodes);
        let waiting = self.until(deadline, ready, late);
        self.shared.steps.measure("agents ready", waiting).await?;
        let rows = ["desired", "updated", "ready"].map(|word| {
            let subject = format!("agents {word}");
            row(subject, nodes, nodes, true)
        });
        Ok(rows.into())
    }

    async fn connect(&self, _deadline: &Deadline) -> Result<SocketAddr, Failure> {
        if let Some(forward) = self.forward() {
            return Ok(forward.address());
        }
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("the mock's port can't be forwarded: {error}");
            Failure::new(Symptom::ForwardLost, message)
        };
        let listener = self.shared.plan.take_listener();
        let listener = listener.ok_or_else(|| failed(&"no port is held for it"))?;
        let connect = Arc::new(MockConnect(self.board().clone()));
        let forward = Forward::start(listener, connect).map_err(|error| failed(&error))?;
        let address = forward.address();
        let mut held = self.forward.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(Arc::new(forward));
        Ok(address)
    }

    fn nodes(&self) -> Vec<NodeName> {
        self.shared.nodes.clone()
    }

    fn facts(&self) -> CellFacts {
        let says = |role| {
            let program = program(&self.shared.programs, role);
            let words = std::iter::once(program.path.display().to_string()).chain(program.first);
            words.collect::<Vec<_>>().join(" ")
        };
        CellFacts {
            server_version: None,
            nodes: self.shared.nodes.iter().map(ToString::to_string).collect(),
            agent: says(Role::Agent),
            mock: says(Role::Mock),
            address: self.forward().map(|forward| forward.address().to_string()),
            tuning: Vec::new(),
        }
    }

    async fn broken(&self) -> Failure {
        let seen = self.board().wait(|pods| {
            let mut mocks = current(pods, Role::Mock);
            let mock = mocks.find(|(_, mock)| mock.state == State::CrashLoop);
            mock.map(|(_, mock)| mock_failed(mock))
                .or_else(|| crashed(pods))
        });
        let (failure, pods) = seen.await;
        self.shared.with_logs(failure, &pods).await
    }

    async fn agent_log(&self, node: &NodeName) -> Result<String, Failure> {
        let log = self.board().look(|pods| {
            let mut agents = current(pods, Role::Agent);
            agents
                .find(|(_, status)| status.node == *node)
                .map(|(_, status)| status.log.clone())
        });
        let missing = || {
            Failure::new(
                Symptom::FilesystemFailed,
                format!("no agent runs on {node}"),
            )
        };
        let log = log.ok_or_else(missing)?;
        let read = logs::whole(log.clone(), &self.shared.plan.mask).await;
        read.map_err(|error| failure::filesystem(&log, &error))
    }

    async fn log_tails(&self, node: Option<&NodeName>, lines: usize) -> Vec<LogTail> {
        let pods = self.board().look(|pods| of_interest(pods, node));
        let mut tails = Vec::new();
        for status in &pods {
            tails.push(self.shared.tail(status, lines).await);
        }
        tails
    }

    async fn restart(&self, nodes: &[NodeName], deadline: &Deadline) -> Result<Restarted, Failure> {
        let old: Vec<(String, PodStatus)> = self.board().look(|pods| {
            current(pods, Role::Agent)
                .filter(|(_, status)| nodes.contains(&status.node))
                .map(|(name, status)| (name.clone(), status.clone()))
                .collect()
        });
        let deleted_at = Timestamp::now();
        for (name, status) in &old {
            self.replace(name.clone(), status.node.clone())?;
        }
        let back = |pods: &Pods| {
            if let Some(failed) = crashed(pods) {
                return Some(Err(failed));
            }
            let agents = old.iter().map(|(_, before)| {
                let mut agents = current(pods, Role::Agent);
                let found = agents
                    .find(|(_, now)| now.node == before.node && now.uid != before.uid && now.ready);
                found.map(|(_, now)| replaced(before, now))
            });
            agents.collect::<Option<Vec<Evidence>>>().map(Ok)
        };
        let late = |pods: &Pods| {
            let (mut failure, statuses) = not_ready(pods, nodes);
            failure.symptom = Symptom::RestartNotMet;
            (failure, statuses)
        };
        let waiting = self.until(deadline, back, late);
        let evidence = self
            .shared
            .steps
            .measure("agents restarted", waiting)
            .await?;
        Ok(Restarted {
            deleted_at,
            evidence,
        })
    }

    async fn diagnostics(&self, _deadline: &Deadline) -> Vec<Diagnostic> {
        let (overview, daemon_set) = self.board().look(|pods| {
            let rendered = &self.shared.plan.rendered;
            (
                diagnostics::pods(pods),
                diagnostics::daemon_set(rendered, pods),
            )
        });
        let tails = self.log_tails(None, LOG_LINES).await;
        let (mock, agents): (Vec<_>, Vec<_>) = tails
            .into_iter()
            .partition(|tail| tail.source.starts_with(Role::Mock.name()));
        vec![
            overview,
            daemon_set,
            diagnostics::logs("plexd-logs.txt", &agents),
            diagnostics::logs("mock-api-logs.txt", &mock),
        ]
    }

    async fn destroy(&self, deadline: &Deadline) -> Result<Vec<Evidence>, Failure> {
        let shared = &self.shared;
        // Killing what did not end by itself needs some of the time.
        let ending = deadline.within(deadline.remaining() * 3 / 4);
        shared
            .steps
            .measure("pods end", shared.kubelet.shut_down(&ending))
            .await;
        let mut evidence = vec![destroy::processes(&shared.plan.mark, deadline).await];
        drop(shared.plan.take_listener());
        if let Some(forward) = self.forward() {
            evidence.push(forward.close().await);
        }
        evidence.push(destroy::folder(&shared.layout).await);
        if evidence.iter().all(|row| row.holds) {
            for resource in self.resources() {
                shared
                    .plan
                    .ledger
                    .gone(resource)
                    .map_err(|error| ledger(&error))?;
            }
            return Ok(evidence);
        }
        let (_, left): (Vec<_>, Vec<_>) = evidence.into_iter().partition(|row| row.holds);
        let message = "something of the cell is still there";
        Err(Failure::new(Symptom::CleanupIncomplete, message).with_evidence(left))
    }

    fn steps(&self) -> Vec<Step> {
        self.shared.steps.steps()
    }
}

impl LocalCluster {
    /// Deletes a pod; the next one starts when its process has ended, whether or not anybody still waits.
    fn replace(&self, old: String, node: NodeName) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let (_, ports) = shared.drafter().mock(&node)?;
        let listeners = shared.board().look(|pods| {
            let (_, mock) = current(pods, Role::Mock).next()?;
            Some(mock.listeners.clone())
        });
        self.shared.kubelet.control(async move {
            shared.kubelet.delete(&old);
            let gone = |pods: &Pods| {
                pods.get(&old)
                    .is_none_or(|pod| !pod.is_current())
                    .then_some(())
            };
            shared.board().wait(gone).await;
            start_agent(&shared, &node, &Services { ports, listeners });
        });
        Ok(())
    }
}

/// The pods whose logs matter: the agents, of one node or of all, and the mock.
fn of_interest(pods: &Pods, node: Option<&NodeName>) -> Vec<PodStatus> {
    let agents = current(pods, Role::Agent)
        .filter(|(_, status)| node.is_none_or(|node| status.node == *node));
    agents
        .chain(current(pods, Role::Mock))
        .map(|(_, status)| status.clone())
        .collect()
}

fn mock_failed(mock: &PodStatus) -> (Failure, Vec<PodStatus>) {
    let reason = mock.trouble.as_deref().unwrap_or("it is not ready");
    let failure = Failure::new(
        Symptom::MockUnavailable,
        format!("the mock is not available: {reason}"),
    );
    (failure, vec![mock.clone()])
}

/// The first agent that was given up.
fn crashed(pods: &Pods) -> Option<(Failure, Vec<PodStatus>)> {
    let mut agents = current(pods, Role::Agent);
    let (_, agent) = agents.find(|(_, status)| status.state == State::CrashLoop)?;
    let reason = agent.trouble.as_deref().unwrap_or("it ended");
    let message = format!(
        "the agent on {} was started {} times and ended each time: {reason}",
        agent.node, agent.restarts
    );
    let mut evidence = row("restarts of the agent", 0, agent.restarts, false);
    evidence.node = Some(agent.node.to_string());
    let failure = Failure::new(Symptom::AgentCrashed, message).with_evidence([evidence]);
    Some((failure, vec![agent.clone()]))
}

/// Which of `nodes` have no ready agent, and why.
fn not_ready(pods: &Pods, nodes: &[NodeName]) -> (Failure, Vec<PodStatus>) {
    let mut statuses = Vec::new();
    let mut rows = Vec::new();
    for node in nodes {
        let agent = current(pods, Role::Agent).find(|(_, status)| status.node == *node);
        let seen = match agent {
            Some((_, status)) if status.ready => continue,
            Some((_, status)) => {
                statuses.push(status.clone());
                let state = status.state.name().to_owned();
                status
                    .trouble
                    .clone()
                    .map_or(state.clone(), |why| format!("{state}: {why}"))
            }
            None => "no agent was started".to_owned(),
        };
        let mut evidence = row("agent", "ready", seen, false);
        evidence.node = Some(node.to_string());
        rows.push(evidence);
    }
    let message = match rows.as_slice() {
        [] => "no agent was missing any more when time had run out".to_owned(),
        [only] => format!(
            "the agent on {} is not ready: {}",
            only.node.as_deref().unwrap_or_default(),
            only.seen
        ),
        [first, ..] => format!(
            "{} agents are not ready, the first of them on {}: {}",
            rows.len(),
            first.node.as_deref().unwrap_or_default(),
            first.seen
        ),
    };
    (
        Failure::new(Symptom::AgentNotReady, message).with_evidence(rows),
        statuses,
    )
}

/// What shows that the agent of a node is another one than before.
fn replaced(before: &PodStatus, now: &PodStatus) -> Evidence {
    let short = |status: &PodStatus| status.uid.chars().take(8).collect::<String>();
    let mut evidence = row(
        "pod UID",
        format!("another than {}", short(before)),
        format!(
            "{} (process {})",
            short(now),
            now.process.unwrap_or_default()
        ),
        true,
    );
    evidence.node = Some(now.node.to_string());
    evidence
}
