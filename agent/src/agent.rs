//! One running agent: the state that its parts share, and how they start and stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::api::Api;
use crate::clock;
use crate::config::{self, Config};
use crate::fault::{Fault, Faults};
use crate::identity::IdentityFile;
use crate::local::{LocalSides, Vault};
use crate::loops::{capabilities, events, heartbeat, state};
use crate::registrar::{Credentials, Registrar};
use crate::stream::audit::Trail;
use crate::stream::{self, Captured, Kind, Metrics};
use crate::tls::{ClientError, Clients};

/// How long the last deliveries may take: the process must exit within 5 s of the signal.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(4);

/// The state that the agent's parts share.
pub(crate) struct Node {
    /// The Central API.
    pub(crate) api: Api,
    /// The node's identity.
    pub(crate) registrar: Arc<Registrar>,
    /// The active faults.
    pub(crate) faults: Faults,
    /// Whether an earlier process left an identity file, so that this process is a restart.
    pub(crate) restarted: bool,
    /// Requests to reconcile the state.
    pub(crate) reconcile: Notify,
    /// Cancelled once the streams may deliver.
    pub(crate) may_deliver: CancellationToken,
    /// Cancelled when the process has to stop.
    pub(crate) stop: CancellationToken,
}

/// The checked inputs of an agent.
pub(crate) struct Setup {
    /// The configuration file.
    pub(crate) config: Config,
    /// The bootstrap token and the node's name.
    pub(crate) credentials: Credentials,
    /// The active faults.
    pub(crate) faults: Faults,
    /// The agent's own log lines.
    pub(crate) captured: Captured,
}

/// An agent whose tasks are running.
pub(crate) struct Agent {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Agent {
    /// Starts everything and returns immediately, without waiting for the Central API.
    pub(crate) fn start(setup: Setup) -> Result<Self, ClientError> {
        let Setup {
            config,
            credentials,
            faults,
            captured,
        } = setup;
        let file = IdentityFile::new(&config.registration.data_dir);
        let restarted = file.exists();
        clock::set(&faults, restarted);
        let stop = CancellationToken::new();
        let mut clients = Clients::default();
        let skip_verify = config.api.tls_insecure_skip_verify;
        let client = clients.for_endpoint(&config.api.base_url, skip_verify)?;
        let api = Api::new(client, config.api.base_url.clone());
        let trail = Trail::new(&credentials.hostname);
        if !(restarted && faults.has(Fault::SilentRestart)) {
            trail.process_started();
        }
        let registrar = Arc::new(Registrar::new(
            api.clone(),
            credentials,
            faults.clone(),
            file,
            trail.clone(),
        ));
        let reconcile = Notify::new();
        let may_deliver = CancellationToken::new();
        let node = Arc::new(Node {
            api,
            registrar,
            faults,
            restarted,
            reconcile,
            may_deliver,
            stop: stop.clone(),
        });
        let tasks = TaskTracker::new();
        start_streams(&tasks, &node, &config, &mut clients, captured, trail)?;
        let bring_up = bring_up(tasks.clone(), node, config.heartbeat);
        tasks.spawn(stop.clone().run_until_cancelled_owned(bring_up));
        Ok(Self { tasks, stop })
    }

    /// Waits for `end`, stops all tasks, and waits until the remaining entries are delivered.
    pub(crate) async fn finish(self, end: impl Future<Output = ()>) {
        end.await;
        info!("plexd is stopping");
        self.stop.cancel();
        self.tasks.close();
        let delivered = tokio::time::timeout(FLUSH_TIMEOUT, self.tasks.wait()).await;
        if delivered.is_err() {
            warn!("not all entries could be delivered in time");
        }
    }
}

/// Registers, and then makes the first call of each kind, in order. Except for the registration, a call that fails is
/// retried in the background, so that it doesn't delay the others.
async fn bring_up(tasks: TaskTracker, node: Arc<Node>, config: config::Heartbeat) {
    let registrar = Arc::clone(&node.registrar);
    let stop = node.stop.clone();
    tasks.spawn(async move { registrar.establish(&stop).await });
    let identity = node.registrar.identity().await;
    info!(
        node_id = identity.node_id,
        restarted = node.restarted,
        "starting the loops"
    );

    let first_state = state::fetch(&node).await.ok();
    spawn(&tasks, &node, state::run(Arc::clone(&node), first_state));
    if capabilities::report(&node).await.is_err() {
        spawn(
            &tasks,
            &node,
            capabilities::report_until_acknowledged(Arc::clone(&node)),
        );
    }
    spawn(&tasks, &node, events::run(Arc::clone(&node)));
    spawn(&tasks, &node, heartbeat::run(Arc::clone(&node), config));
    node.may_deliver.cancel();
}

/// Spawns a loop that is dropped when the process has to stop.
fn spawn(tasks: &TaskTracker, node: &Node, task: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(node.stop.clone().run_until_cancelled_owned(task));
}

fn start_streams(
    tasks: &TaskTracker,
    node: &Arc<Node>,
    config: &Config,
    clients: &mut Clients,
    captured: Captured,
    trail: Trail,
) -> Result<(), ClientError> {
    let wrong_key = node.faults.has(Fault::WrongKey);
    let vault = Vault::new(node.api.clone(), Arc::clone(&node.registrar), wrong_key);
    let mut sides = LocalSides::new(vault);
    let mut local = |stream: &config::Stream| match &stream.local_endpoint {
        Some(endpoint) => sides.side(clients, endpoint).map(Some),
        None => Ok(None),
    };
    let (metrics, logs, audit) = (&config.metrics, &config.log_fwd, &config.audit_fwd);
    stream::start(tasks, node, Kind::Audit, audit, local(audit)?, trail);
    stream::start(tasks, node, Kind::Logs, logs, local(logs)?, captured);
    stream::start(
        tasks,
        node,
        Kind::Metrics,
        metrics,
        local(metrics)?,
        Metrics::default(),
    );
    Ok(())
}
