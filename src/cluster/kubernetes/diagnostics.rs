//! Diagnostics of a failed cell, collected before its cluster is deleted.
//!
//! Nothing here fails: if something can't be collected, the text says so.

use comfy_table::{Table, TableStyle};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
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
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
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
        ip.unwrap_or_else(|| "-".to_owned()),
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

/// The counts of the agent's DaemonSet, and the events in the cell's namespace.
fn daemon_set(snapshot: &Snapshot) -> String {
    let name = &snapshot.workloads.agent.name;
    let set = snapshot.daemon_set().map(describe);
    let set = set.unwrap_or_else(|| format!("DaemonSet {name} does not exist\n"));
    let mut events: Vec<_> = snapshot.events.iter().collect();
    events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    let mut rows =
        vec![["LAST", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"].map(str::to_owned)];
    rows.extend(events.into_iter().map(|event| event_row(event)));
    format!("{set}\nEvents:\n{}", table(&rows))
}

fn event_row(event: &Event) -> [String; 6] {
    let last = event.last_timestamp.as_ref();
    let kind = event.involved_object.kind.as_deref().unwrap_or_default();
    let name = event.involved_object.name.as_deref().unwrap_or_default();
    let message = event.message.as_deref().unwrap_or_default();
    [
        last.map_or_else(|| "-".to_owned(), |time| time.0.to_string()),
        event.type_.clone().unwrap_or_default(),
        event.reason.clone().unwrap_or_default(),
        format!("{kind}/{name}"),
        event.count.unwrap_or(1).to_string(),
        message.replace('\n', " "),
    ]
}

fn describe(set: &DaemonSet) -> String {
    let mut lines = vec![
        ("Name:", set.name_any()),
        ("Namespace:", set.namespace().unwrap_or_default()),
    ];
    let template = set.spec.template.spec.as_ref();
    for container in template.iter().flat_map(|pod| &pod.containers) {
        let arguments = container.args.as_deref().unwrap_or_default().join(" ");
        lines.push(("Image:", container.image.clone().unwrap_or_default()));
        lines.push(("Arguments:", arguments));
    }
    if let Some(status) = &set.status {
        let updated = status.updated_number_scheduled.unwrap_or_default();
        lines.extend([
            ("Desired:", status.desired_number_scheduled.to_string()),
            ("Current:", status.current_number_scheduled.to_string()),
            ("Updated:", updated.to_string()),
            ("Ready:", status.number_ready.to_string()),
            ("Misscheduled:", status.number_misscheduled.to_string()),
        ]);
    }
    let lines = lines.into_iter();
    let lines = lines.map(|(name, value)| format!("{name:24} {value}\n"));
    lines.collect()
}

fn nodes(snapshot: &Snapshot) -> String {
    let mut rows = vec![["NODE", "READY", "VERSION", "CONDITIONS", "TAINTS"].map(str::to_owned)];
    rows.extend(snapshot.nodes.iter().map(|node| node_row(node)));
    table(&rows)
}

fn node_row(node: &Node) -> [String; 5] {
    let status = node.status.iter();
    let conditions = status.filter_map(|status| status.conditions.as_ref());
    let conditions = conditions.flatten().map(|condition| {
        let reason = condition.reason.as_deref().unwrap_or_default();
        format!("{}={} ({reason})", condition.type_, condition.status)
    });
    let taints = node.spec.iter().filter_map(|spec| spec.taints.as_ref());
    let taints = taints.flatten();
    let taints = taints.map(|taint| format!("{}:{}", taint.key, taint.effect));
    let status = node.status.as_ref();
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
