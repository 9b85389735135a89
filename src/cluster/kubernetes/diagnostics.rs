//! Diagnostics of a failed cell, collected before its cluster is deleted.
//!
//! Nothing here fails: if something can't be collected, the text says so.

use std::fmt::Write;

use comfy_table::{Table, TableStyle};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use super::Kube;
use super::health::{is_node_ready, is_pod_ready, node_name, statuses};
use super::ready::state;
use super::watch::Snapshot;
use crate::cluster::{CellPlan, Diagnostic};

/// Collects the state of pods, DaemonSet and nodes. The caller must mask the texts before it stores them.
pub(crate) fn collect(kube: &Kube) -> Vec<Diagnostic> {
    let snapshot = kube.view.snapshot();
    vec![
        file("pods.txt", pods(&snapshot), true),
        file("daemonset.txt", daemon_set(&snapshot), true),
        file("nodes.txt", nodes(&snapshot), false),
    ]
}

/// A diagnostics file. If it is `quoted`, reports show an excerpt.
pub(crate) fn file(name: &str, text: String, quoted: bool) -> Diagnostic {
    Diagnostic {
        file: name.to_owned(),
        text,
        quoted,
    }
}

/// Masks the run's secrets and the tokens with which nodes join a cluster.
pub(crate) fn mask(plan: &CellPlan, text: &str) -> String {
    let text = plan.mask.apply(text);
    let is_separator = |c: char| c.is_whitespace() || "\"'=,".contains(c);
    text.split_inclusive(is_separator)
        .map(|word| {
            if is_join_token(word.trim_end_matches(is_separator)) {
                word.replace(|c: char| c.is_ascii_alphanumeric(), "*")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

/// Whether `word` has the form of kubeadm's tokens, `[a-z0-9]{6}.[a-z0-9]{16}`.
fn is_join_token(word: &str) -> bool {
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let parts = word.split_once('.');
    parts.is_some_and(|(id, secret)| {
        id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)
    })
}

/// A table of the pods, like that of `kubectl get pods -o wide`.
fn pods(snapshot: &Snapshot) -> String {
    let mut rows = vec![["NAME", "READY", "STATUS", "RESTARTS", "IP", "NODE"].map(str::to_owned)];
    let mut pods: Vec<_> = snapshot.pods.iter().chain(&snapshot.system_pods).collect();
    pods.sort_by_key(|pod| (pod.namespace(), pod.name_any()));
    rows.extend(pods.into_iter().map(|pod| pod_row(pod)));
    table(&rows)
}

fn pod_row(pod: &Pod) -> [String; 6] {
    let status = pod.status.as_ref();
    let restarts: i32 = statuses(pod).map(|container| container.restart_count).sum();
    let terminating = if pod.metadata.deletion_timestamp.is_some() {
        ", terminating"
    } else {
        ""
    };
    [
        format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any()),
        is_pod_ready(pod).to_string(),
        format!("{}{terminating}", state(pod)),
        restarts.to_string(),
        status
            .and_then(|status| status.pod_ip.clone())
            .unwrap_or_else(|| "-".to_owned()),
        node_name(pod).to_owned(),
    ]
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).force_no_tty();
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

/// The counts and conditions of the agent's DaemonSet, and the events in the cell's namespace.
fn daemon_set(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    if let Some(set) = snapshot.daemon_set() {
        describe(&mut text, set);
    } else {
        let name = &snapshot.workloads.agent.name;
        text = format!("DaemonSet {name} does not exist\n");
    }
    text.push_str("\nEvents:\n");
    let mut events: Vec<_> = snapshot.events.iter().collect();
    events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    let mut rows =
        vec![["LAST", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"].map(str::to_owned)];
    rows.extend(events.into_iter().map(|event| {
        let object = &event.involved_object;
        [
            event
                .last_timestamp
                .as_ref()
                .map_or_else(|| "-".to_owned(), |time| time.0.to_string()),
            event.type_.clone().unwrap_or_default(),
            event.reason.clone().unwrap_or_default(),
            format!(
                "{}/{}",
                object.kind.clone().unwrap_or_default(),
                object.name.clone().unwrap_or_default()
            ),
            event.count.unwrap_or(1).to_string(),
            event.message.clone().unwrap_or_default().replace('\n', " "),
        ]
    }));
    text + &table(&rows)
}

fn describe(text: &mut String, set: &DaemonSet) {
    let mut line = |name: &str, value: String| {
        // Writing to a string can't fail.
        let _written = writeln!(text, "{name:24} {value}");
    };
    line("Name:", set.name_any());
    line("Namespace:", set.namespace().unwrap_or_default());
    let template = set.spec.template.spec.as_ref();
    for container in template.iter().flat_map(|pod| &pod.containers) {
        line("Image:", container.image.clone().unwrap_or_default());
        line(
            "Arguments:",
            container.args.clone().unwrap_or_default().join(" "),
        );
    }
    let Some(status) = &set.status else { return };
    let updated = status.updated_number_scheduled.unwrap_or_default();
    line("Desired:", status.desired_number_scheduled.to_string());
    line("Current:", status.current_number_scheduled.to_string());
    line("Updated:", updated.to_string());
    line("Ready:", status.number_ready.to_string());
    line("Misscheduled:", status.number_misscheduled.to_string());
    for condition in status.conditions.iter().flatten() {
        line(
            &format!("Condition {}:", condition.type_.clone().unwrap_or_default()),
            condition.status.clone().unwrap_or_default(),
        );
    }
}

fn nodes(snapshot: &Snapshot) -> String {
    let mut rows = vec![["NODE", "READY", "VERSION", "CONDITIONS", "TAINTS"].map(str::to_owned)];
    rows.extend(snapshot.nodes.iter().map(|node| node_row(node)));
    table(&rows)
}

fn node_row(node: &Node) -> [String; 5] {
    let status = node.status.as_ref();
    let conditions = status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let conditions = conditions.map(|condition| {
        format!(
            "{}={} ({})",
            condition.type_,
            condition.status,
            condition.reason.clone().unwrap_or_default()
        )
    });
    let taints = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    let taints = taints.map(|taint| format!("{}:{}", taint.key, taint.effect));
    let info = status.and_then(|status| status.node_info.as_ref());
    [
        node.name_any(),
        is_node_ready(node).to_string(),
        info.map_or_else(String::new, |info| info.kubelet_version.clone()),
        conditions.collect::<Vec<_>>().join(" "),
        taints.collect::<Vec<_>>().join(" "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_tokens_are_distinguished_from_other_words() {
        assert!(is_join_token("abcdef.0123456789abcdef"));
        for word in [
            "abcdef",
            "kubeadm.0123456789abcdef",
            "abcdef.0123456789ABCDEF",
            "v1.34.4",
        ] {
            assert!(!is_join_token(word), "{word}");
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["A", "B"], ["long", "x"], ["s", "y"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "A     B\nlong  x\ns     y\n");
    }
}
