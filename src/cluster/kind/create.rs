//! Creates clusters: deletes stale clusters, then starts a clone, or runs kind's CLI as a child process and keeps its
//! output.

use std::collections::HashMap;
use std::fs::{self, File};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, EventMessage};
use bollard::query_parameters::EventsOptionsBuilder;
use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::config::{PATCHES_FOLDER, SEAL_FOLDER, kind_file};
use super::destroy::filesystem_failed;
use super::fingerprint::Fingerprint;
use super::limits::{DISK_REMEDY, INOTIFY_REMEDY, POOL_REMEDY};
use super::node_image::{self, NodeImage};
use super::nodes::{CLUSTER_LABEL, containers};
use super::prepared;
use super::tuning::PATCH_FILES;
use super::work::Work;
use super::{engine_health, limits, stale};
use crate::cluster::{NodeName, images};
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::marked::MARK;
use crate::machine::private_folder;
use crate::machine::process::{Group, ProcessError};

/// How long to wait for the containers that an aborted kind process is still creating, so that none appears unnoticed
/// after cleanup.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// If this many event streams in a row end early, the engine's events can't be followed.
const EARLY_ENDS: u32 = 3;
/// A stream that ends sooner than this ends early.
const EARLY_END: Duration = Duration::from_secs(5);

/// The cluster's kubeconfig in the cell's private folder. It exists when the cluster has been created.
pub(super) const KUBECONFIG: &str = "kubeconfig";
/// kind's output in the same folder.
pub(super) const OUTPUT: &str = "kind.log";
/// kind's configuration file in the same folder.
const CONFIG: &str = "kind.yaml";

/// Creates the cluster, as a clone if there is a template. The future must not be dropped: cancelling `stop` makes it
/// end its processes and return.
pub(super) async fn run(work: Arc<Work>, stop: CancellationToken) {
    let image = match stop.run_until_cancelled(prepare(&work)).await {
        Some(Ok(image)) => image,
        Some(Err(failure)) => return finish(&work, Err(failure)),
        None => return,
    };
    let template = Box::pin(prepared::template(&work, &image, &stop)).await;
    if stop.is_cancelled() {
        return;
    }
    work.begun.set(Ok(Timestamp::now()));
    let created = if let Some(template) = template {
        // Never dropped, because the engine can't cancel the creation of a container.
        let cloning = prepared::clone(&work, &template);
        work.steps.measure("clone", cloning).await
    } else {
        let creating = kind_create(&work, &image.name, &stop);
        work.steps.measure("kind create", creating).await
    };
    finish(&work, created);
}

fn finish(work: &Work, result: Result<(), Failure>) {
    if let Err(failure) = &result {
        work.lost.set(Err(failure.clone()));
    }
    work.created.set(result);
}

/// Does everything that comes before kind itself. Returns the node image.
async fn prepare(work: &Work) -> Result<NodeImage, Failure> {
    let docker = work.shared.docker().await?;
    work.lock_name()?;
    stale::delete(work, docker).await?;
    // Record the network before the cluster that uses it, because entries are reclaimed in reverse order.
    work.shared.network(&work.plan.ledger).await?;
    work.plan_resources()?;
    let image = node_image::ensure(work).await?;
    if work.may_be_reused() {
        let fingerprint = Fingerprint::of(&work.shared, &work.plan.cell, &image).await?;
        // The fingerprint isn't set yet, because this runs once per cluster.
        drop(work.fingerprint.set(fingerprint));
    }
    write_files(work).map_err(|error| filesystem_failed("write to", &work.plan.runtime, &error))?;
    Ok(image)
}

fn write_files(work: &Work) -> std::io::Result<()> {
    let (cell, folder) = (&work.plan.cell, &work.plan.runtime);
    private_folder(folder)?;
    let fast_setup = work.shared.options.fast_setup;
    if fast_setup {
        let patches = folder.join(PATCHES_FOLDER);
        private_folder(&patches)?;
        for (name, content) in PATCH_FILES {
            fs::write(patches.join(name), content)?;
        }
    }
    private_folder(&folder.join(SEAL_FOLDER))?;
    let content = kind_file(cell, fast_setup, folder, &work.seal);
    fs::write(folder.join(CONFIG), content.to_string())
}

async fn kind_create(
    work: &Arc<Work>,
    image: &str,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let mut group = spawn(work, image)?;
    let failed = |error: ProcessError| Failure::new(Symptom::ProcessFailed, chain(&error));
    if let Some(status) = stop.run_until_cancelled(group.wait()).await {
        let status = status.map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let output = fs::read_to_string(work.file(OUTPUT)).unwrap_or_default();
        return Err(explain(&output, &status.to_string()));
    }
    // The creation of a container can't be cancelled. So wait for it; cleanup then deletes the container.
    let grace = work.plan.clock.deadline(ABORT_TIMEOUT);
    let all_created = async {
        tokio::select! {
            _ = group.wait() => {}
            _ = work.all_running() => {}
            () = follow(Arc::clone(work)) => {}
        }
    };
    if let Err(timed_out) = grace.run(all_created).await {
        tracing::debug!(%timed_out, "kind has not created all containers yet");
    }
    group.kill().await.map_err(failed)?;
    let message = "the creation of the cluster was aborted";
    Err(Failure::new(Symptom::ClusterNotUp, message))
}

fn spawn(work: &Work, image: &str) -> Result<Group, Failure> {
    let path = work.file(OUTPUT);
    let failed = |error| filesystem_failed("write to", &path, &error);
    let output = File::create(&path).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let mut command = kind();
    command
        .args(["create", "cluster", "--retain"])
        .args(["--name", work.plan.cluster.as_str()])
        .args(["--image", image])
        .arg("--config")
        .arg(work.file(CONFIG))
        .arg("--kubeconfig")
        .arg(work.file(KUBECONFIG))
        .env(MARK, &work.plan.mark)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    Group::spawn(&mut command).map_err(|error| Failure::new(Symptom::ToolMissing, chain(&error)))
}

/// kind, for the engine and the network that everything else uses. Without `DOCKER_HOST`, kind would use the current
/// context of Docker's CLI, which may be another engine.
fn kind() -> Command {
    let mut command = Command::new("kind");
    command
        .env("KIND_EXPERIMENTAL_PROVIDER", "docker")
        .env_remove("KIND_EXPERIMENTAL_DOCKER_NETWORK")
        .env("DOCKER_HOST", images::host());
    command
}

/// Why kind failed, according to its output.
fn explain(output: &str, status: &str) -> Failure {
    use Symptom::{ClusterNotUp, EngineGone, MachineTooSmall};
    const OTHER_NAME: &str =
        "delete that cluster with `kind delete cluster`, or choose another name";
    const KNOWN: [(&str, Symptom, &str); 6] = [
        ("too many open files", MachineTooSmall, INOTIFY_REMEDY),
        ("inotify", MachineTooSmall, INOTIFY_REMEDY),
        (limits::FULL, MachineTooSmall, DISK_REMEDY),
        (limits::NO_POOL, MachineTooSmall, POOL_REMEDY),
        (
            "connect to the Docker daemon",
            EngineGone,
            engine_health::REMEDY,
        ),
        ("already exist for a cluster", ClusterNotUp, OTHER_NAME),
    ];
    let error = output.lines().rev().find(|line| line.contains("ERROR"));
    let last = error.or_else(|| output.lines().next_back());
    let last = last.unwrap_or("it printed nothing");
    let message = format!("`kind create cluster` failed ({status}): {}", last.trim());
    let lines: Vec<_> = output.lines().map(str::to_owned).collect();
    let tail = lines[lines.len().saturating_sub(50)..].to_vec();
    let known = KNOWN.iter().find(|(text, _, _)| output.contains(text));
    let failure = match known {
        Some((_, symptom, remedy)) => Failure::new(*symptom, message).with_remedy(*remedy),
        None => Failure::new(ClusterNotUp, message),
    };
    failure.with_log("kind create cluster", tail)
}

/// Follows the engine's events about this cluster's containers, beginning with its creation. Returns only if the events
/// can no longer be followed.
pub(super) async fn follow(work: Arc<Work>) {
    let (Ok(begun), Ok(docker)) = (work.begun.reached().await, work.shared.docker().await) else {
        return;
    };
    let mut subscription = Subscription::new(begun);
    let why = loop {
        let start = work.plan.clock.elapsed();
        let why = receive(&work, docker, &mut subscription).await;
        let lasted = work.plan.clock.elapsed().saturating_sub(start);
        if subscription.has_failed(lasted) || !still_runs(&work, docker).await {
            break why;
        }
        tracing::debug!(why, "subscribing to the engine's events again");
    };
    let message = format!("the container engine's event stream failed: {why}");
    let failure = Failure::new(Symptom::EngineGone, message).with_remedy(engine_health::REMEDY);
    work.lost.set(Err(failure));
}

/// A subscription to the engine's events, which is renewed when a stream ends: a proxy between this machine and the
/// engine may close connections that are idle or open for long.
struct Subscription {
    /// The time of the last event, or at first of the cluster's creation, in the engine's format.
    since: String,
    /// How many of the last streams ended early.
    early_ends: u32,
}

impl Subscription {
    fn new(begun: Timestamp) -> Self {
        Self {
            since: engine_time(begun),
            early_ends: 0,
        }
    }

    /// Continues after `event` when the subscription is renewed.
    fn received(&mut self, event: &EventMessage) {
        let time = event.time_nano.map(i128::from);
        if let Some(Ok(time)) = time.map(Timestamp::from_nanosecond) {
            self.since = engine_time(time);
        }
    }

    /// Whether too many streams in a row have ended early. The last stream ended after `lasted`.
    fn has_failed(&mut self, lasted: Duration) -> bool {
        self.early_ends = if lasted < EARLY_END {
            self.early_ends + 1
        } else {
            0
        };
        self.early_ends >= EARLY_ENDS
    }
}

/// Applies the events of one stream until it ends. Returns why it ended.
async fn receive(work: &Work, docker: &Docker, subscription: &mut Subscription) -> String {
    let label = format!("{CLUSTER_LABEL}={}", work.plan.cluster);
    let filters = HashMap::from([
        ("type", vec!["container"]),
        ("event", vec!["create", "start", "die"]),
        ("label", vec![label.as_str()]),
    ]);
    let options = EventsOptionsBuilder::new()
        .since(&subscription.since)
        .filters(&filters)
        .build();
    let mut events = Box::pin(docker.events(Some(options)));
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                apply(work, &event);
                subscription.received(&event);
                // Record new containers immediately, so that cleanup can find them by id.
                if matches!(event.action.as_deref(), Some("create" | "start")) {
                    record_containers(work, docker).await;
                }
            }
            Ok(None) => return "the engine ended it".to_owned(),
            Err(error) => return chain(&error),
        }
    }
}

/// Whether the engine responds, and all nodes that have started are still running. An engine that was restarted has
/// forgotten its earlier events, such as the exits of containers.
async fn still_runs(work: &Work, docker: &Docker) -> bool {
    let Ok(found) = containers(docker, Some(work.plan.cluster.as_str())).await else {
        return false;
    };
    let mut nodes = work.running.iter();
    nodes.all(|(node, running)| running.get().is_none() || has_not_exited(&found, node))
}

/// Whether the container of `node` is among `found` and hasn't exited.
fn has_not_exited(found: &[ContainerSummary], node: &NodeName) -> bool {
    use ContainerSummaryStateEnum::{DEAD, EXITED};
    let is_node = |name: &String| name.trim_start_matches('/') == node.as_str();
    let mut nodes = found
        .iter()
        .filter(|container| container.names.iter().flatten().any(is_node));
    nodes.any(|container| !matches!(container.state, Some(EXITED | DEAD)))
}

/// Records the cluster's containers and volumes. The engine chooses their ids and names, so they can't be recorded
/// earlier.
async fn record_containers(work: &Work, docker: &Docker) {
    let found = containers(docker, Some(work.plan.cluster.as_str())).await;
    if let Err(failure) = found.and_then(|found| work.record_containers(&found)) {
        tracing::warn!(%failure, "failed to record the containers of the nodes");
    }
}

/// A time in the engine's format: seconds and nanoseconds.
fn engine_time(timestamp: Timestamp) -> String {
    let (seconds, nanoseconds) = (timestamp.as_second(), timestamp.subsec_nanosecond());
    format!("{seconds}.{nanoseconds:09}")
}

fn apply(work: &Work, event: &EventMessage) {
    let name = || event.actor.as_ref()?.attributes.as_ref()?.get("name");
    let name = NodeName::new(name().cloned().unwrap_or_default());
    // Other containers can have the cluster's label.
    let Some(running) = work.running.get(&name) else {
        return;
    };
    match event.action.as_deref() {
        Some("start") => running.set(Ok(())),
        Some("die") => {
            let message = format!("the container of node {name} exited");
            let failure = Failure::new(Symptom::ClusterNotUp, message);
            work.lost.set(Err(failure));
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_uses_the_same_engine_as_the_runner() {
        let command = kind();
        let mut variables = command.as_std().get_envs();
        let host = variables.find(|(name, _)| *name == "DOCKER_HOST");
        let host = host.and_then(|(_, value)| value?.to_str());
        assert_eq!(host, Some(images::host().as_str()));
    }

    #[test]
    fn known_causes_have_a_remedy() {
        for (output, symptom) in [
            (
                "ERROR: failed to create cluster: failed to init node with kubeadm",
                Symptom::ClusterNotUp,
            ),
            (
                "Failed to create control group inotify object: Too many open files\ninotify",
                Symptom::MachineTooSmall,
            ),
            (
                "ERROR: write /var: no space left on device",
                Symptom::MachineTooSmall,
            ),
            (
                "ERROR: could not find an available, non-overlapping IPv4 address pool",
                Symptom::MachineTooSmall,
            ),
            (
                "ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock",
                Symptom::EngineGone,
            ),
            ("", Symptom::ClusterNotUp),
        ] {
            let failure = explain(output, "exit status: 1");
            assert_eq!(failure.symptom, symptom, "{output}");
            assert_eq!(
                failure.remedy.is_some(),
                symptom != Symptom::ClusterNotUp,
                "{output}"
            );
        }
    }

    #[test]
    fn the_message_is_the_line_with_the_cause() {
        let failure = explain(
            "Creating cluster\nERROR: failed to do it\nStack Trace:\nmain.go:1\n",
            "exit status: 1",
        );
        assert_eq!(
            failure.message,
            "`kind create cluster` failed (exit status: 1): ERROR: failed to do it"
        );
        assert_eq!(failure.logs[0].lines.len(), 4);
    }

    #[test]
    fn a_renewed_subscription_continues_at_the_last_event() {
        let begun = "1970-01-01T00:00:07Z".parse().unwrap();
        let mut subscription = Subscription::new(begun);
        subscription.received(&EventMessage::default());
        assert_eq!(subscription.since, "7.000000000");
        subscription.received(&EventMessage {
            time_nano: Some(8_000_000_012),
            ..EventMessage::default()
        });
        assert_eq!(subscription.since, "8.000000012");
    }

    #[test]
    fn a_subscription_is_renewed_unless_several_streams_in_a_row_end_early() {
        let mut subscription = Subscription::new(Timestamp::UNIX_EPOCH);
        for (lasted, has_failed) in [
            (Duration::ZERO, false),
            (Duration::ZERO, false),
            (EARLY_END, false),
            (Duration::ZERO, false),
            (Duration::ZERO, false),
            (Duration::ZERO, true),
        ] {
            assert_eq!(subscription.has_failed(lasted), has_failed);
        }
    }

    #[test]
    fn a_node_runs_until_its_container_has_exited_or_is_gone() {
        let runs = |name: &str, state| {
            let found = [ContainerSummary {
                names: Some(vec![name.to_owned()]),
                state: Some(state),
                ..ContainerSummary::default()
            }];
            has_not_exited(&found, &NodeName::new("node"))
        };
        assert!(runs("/node", ContainerSummaryStateEnum::RUNNING));
        assert!(runs("/node", ContainerSummaryStateEnum::PAUSED));
        assert!(!runs("/node", ContainerSummaryStateEnum::EXITED));
        assert!(!runs("/other", ContainerSummaryStateEnum::RUNNING));
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        let time = |text: &str| engine_time(text.parse().unwrap());
        assert_eq!(time("1970-01-01T00:00:07.000000012Z"), "7.000000012");
    }
}
