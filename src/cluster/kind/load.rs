//! Loads images on all nodes in parallel: each node's containerd gets the archives as soon as it responds, and the
//! result is verified.

use std::sync::Arc;
use std::time::Duration;

use backon::Retryable;
use bollard::Docker;
use futures::future::try_join_all;
use serde_json::Value;

use super::limits;
use super::nodes::run;
use super::work::Work;
use crate::cluster::NodeName;
use crate::cluster::images::{Archive, ArchivedImage};
use crate::cluster::retry::every;
use crate::event::{Evidence, Failure, Symptom};

/// How long a node's containerd may take to respond. Phases have shorter deadlines.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(300);

/// How often to check for containerd. Each check starts a process in the node. This interval delays nothing, because
/// containerd responds seconds before it is needed.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long to retry a failing import: longer than containerd takes to restart.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// The option that selects containerd's namespace for Kubernetes.
const NAMESPACE: &str = "--namespace=k8s.io";

/// Loads the images when the nodes' containers are running.
pub(super) async fn when_running(work: Arc<Work>) {
    let loading = async {
        work.all_running().await?;
        load(&work).await
    };
    work.loaded.set(loading.await);
}

/// Loads the images on all nodes.
async fn load(work: &Work) -> Result<Vec<Evidence>, Failure> {
    let nodes = work.containers.iter().map(|node| on_node(work, node));
    let preparing = work.shared.archives(&work.plan.cell);
    let preparing = work.steps.measure("image archives", preparing);
    let (prepared, loaded) = tokio::join!(preparing, try_join_all(nodes));
    prepared?;
    Ok(loaded?.concat())
}

async fn on_node(work: &Work, node: &NodeName) -> Result<Vec<Evidence>, Failure> {
    let docker = work.shared.docker().await?;
    // Omit the cluster's name, so that the same step of several cells is one row in reports.
    let short = work.plan.cluster.short(node);
    let step = format!("containerd up on {short}");
    let ask = || run(docker, node, &["ctr", "version"], None);
    let responding = async { ask.retry(every(INTERVAL, RESPONSE_TIMEOUT)).await };
    let responded = work.steps.measure(&step, responding).await;
    responded.map_err(|why| failed(node, &why))?;
    let archives = work.shared.archives(&work.plan.cell).await?;
    let import_all = || async {
        let mut evidence = Vec::new();
        for archive in &archives {
            let mut rows = verify_all(docker, node, archive).await?;
            // A clone may already have the images of its template.
            if rows.iter().any(|row| !row.holds) {
                import(docker, node, archive).await?;
                rows = verify_all(docker, node, archive).await?;
            }
            evidence.extend(rows);
        }
        Ok::<_, String>(evidence)
    };
    let step = format!("image import on {short}");
    // If containerd's configuration is patched, kind restarts containerd, which breaks an import.
    let attempts = every(INTERVAL, RETRY_TIMEOUT);
    let importing = async { import_all.retry(attempts).await };
    let imported = work.steps.measure(&step, importing).await;
    let evidence = imported.map_err(|why| failed(node, &why))?;
    if evidence.iter().any(|row| !row.holds) {
        let why = "an image on the node differs from the image that was sent";
        return Err(failed(node, why).with_evidence(evidence));
    }
    Ok(evidence)
}

fn failed(node: &NodeName, why: &str) -> Failure {
    let message = format!("failed to load the images on node {node}: {why}");
    limits::diagnose(Failure::new(Symptom::ImageLoadFailed, message))
}

/// The snapshotter in containerd's configuration for Kubernetes: archives have to be unpacked with the same
/// snapshotter.
fn snapshotter(config: &str) -> Result<String, String> {
    let config: toml::Table = config
        .parse()
        .map_err(|error| format!("containerd's configuration can't be read: {error}"))?;
    let plugins = config.get("plugins");
    let find = |path: &[&str]| {
        let value = path.iter().try_fold(plugins?, |value, key| value.get(key));
        value?.as_str().map(str::to_owned)
    };
    find(&["io.containerd.cri.v1.images", "snapshotter"])
        .or_else(|| find(&["io.containerd.grpc.v1.cri", "containerd", "snapshotter"]))
        .ok_or_else(|| "containerd's configuration contains no snapshotter".to_owned())
}

async fn import(docker: &Docker, node: &NodeName, archive: &Archive) -> Result<(), String> {
    let dump = ["containerd", "config", "dump"];
    let config = run(docker, node, &dump, None).await?;
    let snapshotter = format!("--snapshotter={}", snapshotter(&config)?);
    let mut command = vec!["ctr", NAMESPACE, "images", "import", "--all-platforms"];
    command.extend(["--digests", &snapshotter, "-"]);
    let imported = run(docker, node, &command, Some(&archive.path)).await;
    imported.map(drop)
}

/// Verifies all images of `archive`.
async fn verify_all(
    docker: &Docker,
    node: &NodeName,
    archive: &Archive,
) -> Result<Vec<Evidence>, String> {
    let name = |image: &ArchivedImage| format!("name=={}", canonical(&image.name));
    let names: Vec<_> = archive.images.iter().map(name).collect();
    let mut command = vec!["ctr", NAMESPACE, "images", "list"];
    command.extend(names.iter().map(String::as_str));
    let list = run(docker, node, &command, None).await?;
    let verifying = archive.images.iter();
    try_join_all(verifying.map(|image| verify(docker, node, &list, image))).await
}

/// Compares the configuration digest of the image on the node with the one that was sent. `list` is the output of
/// `ctr images list` for all images of the archive.
async fn verify(
    docker: &Docker,
    node: &NodeName,
    list: &str,
    image: &ArchivedImage,
) -> Result<Evidence, String> {
    let seen = match manifest_digest(list, &canonical(&image.name)) {
        Some(digest) => {
            let get = ["ctr", NAMESPACE, "content", "get", digest];
            let manifest = run(docker, node, &get, None).await?;
            config_digest(&manifest).unwrap_or_else(|| "unreadable".to_owned())
        }
        None => "missing".to_owned(),
    };
    let subject = format!("image {}", image.name);
    let holds = seen == image.digest;
    Ok(Evidence::new(subject, &image.digest, seen, holds).on(Some(node)))
}

/// The manifest digest of the image `name` in the output of `ctr images list`.
fn manifest_digest<'t>(table: &'t str, name: &str) -> Option<&'t str> {
    let mut rows = table.lines().map(str::split_whitespace);
    let mut row = rows.find_map(|mut row| (row.next() == Some(name)).then_some(row))?;
    row.find(|column| column.starts_with("sha256:"))
}

fn config_digest(manifest: &str) -> Option<String> {
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    Some(manifest.get("config")?.get("digest")?.as_str()?.to_owned())
}

/// containerd's full name for a short image name.
fn canonical(name: &str) -> String {
    let is_domain = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let name = match name.split_once('/') {
        Some((first, _)) if is_domain(first) => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) {
        name
    } else {
        format!("{name}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_image_names_become_full_ones() {
        for (name, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("e2e-matrix/agent:1", "docker.io/e2e-matrix/agent:1"),
            ("localhost/agent", "localhost/agent:latest"),
            ("registry:5000/agent", "registry:5000/agent:latest"),
            ("ghcr.io/a/b:1@sha256:abc", "ghcr.io/a/b:1@sha256:abc"),
        ] {
            assert_eq!(canonical(name), full);
        }
    }

    #[test]
    fn the_snapshotter_is_read_from_both_layouts() {
        let old = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"overlayfs\"\n";
        let new = "version = 3\n[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'native'\n";
        assert_eq!(snapshotter(old).unwrap(), "overlayfs");
        assert_eq!(snapshotter(new).unwrap(), "native");
        assert!(snapshotter("version = 2\n").is_err());
    }

    #[test]
    fn digests_are_read_from_the_output_of_ctr() {
        let table =
            "REF TYPE DIGEST SIZE\ndocker.io/a/b:1 application/x sha256:aa 1.0 MiB linux/amd64 -\n";
        assert_eq!(manifest_digest(table, "docker.io/a/b:1"), Some("sha256:aa"));
        assert_eq!(manifest_digest(table, "docker.io/a/b:2"), None);
        assert_eq!(
            config_digest(r#"{"config":{"digest":"sha256:bb"}}"#).unwrap(),
            "sha256:bb"
        );
    }
}
