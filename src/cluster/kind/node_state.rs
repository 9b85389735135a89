//! The state that a cell's agents can leave on a node in addition to Kubernetes objects: folders on the host, and
//! network interfaces.
//!
//! Only paths that didn't exist before the cell are deleted.

use std::collections::{BTreeMap, BTreeSet};

use bollard::Docker;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::nodes;
use super::work::Work;
use crate::cluster::NodeName;
use crate::cluster::kubernetes::Tenant;
use crate::event::{Evidence, Failure, Symptom};

/// Lists the given paths that exist, followed by the network interfaces.
const LIST: &str = r#"for path; do if [ -e "$path" ] || [ -L "$path" ]; then echo "path $path"; fi; done
for interface in /sys/class/net/*; do echo "interface ${interface##*/}"; done"#;

/// Deletes the given paths.
const DELETE: &str = r#"for path; do rm -rf -- "$path" || exit 1; done"#;

/// Kills the containers of a namespace's pods until none is running. The kubelet deletes the pods' sandboxes, which
/// frees the pods' ports.
const KILL: &str = r#"for attempt in $(seq "$2"); do
  running='an unknown container'
  if containers=$(ctr -n k8s.io containers list -q "labels.\"io.kubernetes.pod.namespace\"==$1") && tasks=$(ctr -n k8s.io tasks list); then
    running=
    for id in $containers; do
      printf '%s\n' "$tasks" | grep "^$id " | grep -qv STOPPED || continue
      running=$id
      ctr -n k8s.io containers info "$id" | grep -q '"io.cri-containerd.kind": "sandbox"' || ctr -n k8s.io tasks kill --signal SIGKILL "$id"
    done
    [ -n "$running" ] || exit 0
  fi
  sleep 0.05
done
echo "$running is still running" >&2
exit 1"#;

/// How often [`KILL`] looks for running containers.
const KILL_ATTEMPTS: u16 = 200;

/// The name prefixes of the interfaces that the cluster's network creates when the first pods start, and for each pod.
const CLUSTERS_OWN: [&str; 3] = ["veth", "cni", "kube-"];

/// The state of a node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeState {
    paths: BTreeSet<String>,
    interfaces: BTreeSet<String>,
}

/// The states of all nodes at one moment.
pub(super) type NodeStates = BTreeMap<NodeName, NodeState>;

/// Kills all containers of the pods in `namespace`. The API server no longer lists these pods.
pub(super) async fn kill(work: &Work, namespace: &str) -> Result<(), Failure> {
    let docker = work.shared.docker().await?;
    let arguments = [namespace.to_owned(), KILL_ATTEMPTS.to_string()];
    let nodes = work.containers.iter();
    let killing = nodes.map(|node| run(docker, node, KILL, &arguments));
    try_join_all(killing).await.map(drop)
}

/// Reads the state of all nodes when they are ready, before the cell's pods start. What a node creates during its
/// startup, such as the runtime's socket or the kubelet's folders, then counts as the node's own.
pub(super) async fn read_before(work: &Work, cell: &Tenant) -> Result<(), Failure> {
    let before = read(work, &cell.plan.rendered.host_paths()).await?;
    work.before().set(Ok(before));
    Ok(())
}

/// Reads the state of all nodes.
async fn read(work: &Work, paths: &[String]) -> Result<NodeStates, Failure> {
    let docker = work.shared.docker().await?;
    let reading = work.containers.iter().map(|node| async move {
        let listing = run(docker, node, LIST, paths).await?;
        Ok::<_, Failure>((node.clone(), parse(&listing)))
    });
    Ok(try_join_all(reading).await?.into_iter().collect())
}

fn parse(listing: &str) -> NodeState {
    let mut state = NodeState::default();
    for line in listing.lines() {
        match line.split_once(' ') {
            Some(("path", path)) => {
                state.paths.insert(path.to_owned());
            }
            Some(("interface", name)) if !CLUSTERS_OWN.iter().any(|own| name.starts_with(own)) => {
                state.interfaces.insert(name.to_owned());
            }
            Some(_) | None => {}
        }
    }
    state
}

/// Deletes the `paths` that didn't exist `before`, and compares each node with its earlier state.
pub(super) async fn wipe(
    work: &Work,
    paths: &[String],
    before: &NodeStates,
) -> Result<Vec<Evidence>, Failure> {
    let docker = work.shared.docker().await?;
    let wiping = before.iter().map(|(node, state)| async move {
        let new = paths.iter().filter(|path| !state.paths.contains(*path));
        let new: Vec<String> = new.cloned().collect();
        run(docker, node, DELETE, &new).await
    });
    try_join_all(wiping).await?;
    let after = read(work, paths).await?;
    let rows = before.iter().map(|(node, before)| {
        let after = after.get(node).cloned().unwrap_or_default();
        compare(node, before, &after, paths)
    });
    Ok(rows.collect())
}

/// Evidence whether a node is as it was before the cell. A path that existed before may contain changes that can't be
/// detected, so such a path never counts as clean.
fn compare(node: &NodeName, before: &NodeState, after: &NodeState, paths: &[String]) -> Evidence {
    let old = paths.iter().filter(|path| before.paths.contains(*path));
    let old = old.map(|path| format!("{path} belongs to the node and may have been changed"));
    let mut seen: Vec<String> = old.collect();
    let left = after.paths.difference(&before.paths);
    seen.extend(left.map(|path| format!("{path} still exists")));
    let left = after.interfaces.difference(&before.interfaces);
    seen.extend(left.map(|name| format!("the interface {name} still exists")));
    let is_clean = seen.is_empty();
    if is_clean {
        seen.push("as before".to_owned());
    }
    let subject = "host paths and interfaces";
    let expected = "as before the cell";
    Evidence::new(subject, expected, seen.join(", "), is_clean).on(Some(node))
}

async fn run(
    docker: &Docker,
    node: &NodeName,
    script: &str,
    arguments: &[String],
) -> Result<String, Failure> {
    let mut command = vec!["sh", "-c", script, "sh"];
    command.extend(arguments.iter().map(String::as_str));
    let output = nodes::run(docker, node, &command, None).await;
    output.map_err(|why| {
        let message = format!("failed to run a cleanup script on node {node}: {why}");
        Failure::new(Symptom::CleanupIncomplete, message)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Runs [`KILL`] with a program `ctr` that runs `script`. Returns whether it succeeds.
    fn kill_with(script: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ctr");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", KILL, "sh", "cell", "2"])
            .env("PATH", path);
        shell.output().unwrap().status.success()
    }

    #[test]
    fn processes_are_gone_only_if_the_runtime_says_so() {
        let with_task = |state: &str| {
            format!("case \"$*\" in *list*-q*) echo id;; *tasks*list) echo \"id 1 {state}\";; esac")
        };
        assert!(kill_with(""));
        assert!(kill_with(&with_task("STOPPED")));
        assert!(!kill_with(&with_task("RUNNING")));
        // The runtime lists a task as UNKNOWN if it can't determine the state in time.
        assert!(!kill_with(&with_task("UNKNOWN")));
        assert!(!kill_with("exit 1"));
    }

    #[test]
    fn a_node_is_clean_if_its_state_is_unchanged() {
        let before = parse("interface lo\ninterface eth0\npath /etc\n");
        let node = NodeName::new("node");
        let paths = ["/var/lib/plexd".to_owned()];
        let same = parse("interface lo\ninterface eth0\ninterface veth12ab\npath /etc\n");
        assert!(compare(&node, &before, &same, &paths).holds);
        let left =
            parse("interface lo\ninterface eth0\ninterface wg0\npath /etc\npath /var/lib/plexd\n");
        let row = compare(&node, &before, &left, &paths);
        assert_eq!(
            row.seen,
            "/var/lib/plexd still exists, the interface wg0 still exists"
        );
        // A path that belongs to the node can't be wiped, so it never counts as clean.
        assert!(!compare(&node, &before, &same, &["/etc".to_owned()]).holds);
    }
}
