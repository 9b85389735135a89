//! The pods of a cell and their events as text, for diagnosing a failure.

use jiff::Timestamp;

use super::status::{Pods, Role};
use crate::cluster::Diagnostic;
use crate::manifest::Rendered;

/// The pods, one per line, as in `kubectl get pods`.
pub(super) fn pods(pods: &Pods) -> Diagnostic {
    let title = format!(
        "{:<24} {:<6} {:<17} {:<9} {:<8} {:<8} NODE\n",
        "NAME", "READY", "STATUS", "RESTARTS", "AGE", "PROCESS"
    );
    let rows = pods.iter().map(|(name, status)| {
        let pid = status.pid;
        let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let age = Timestamp::now().duration_since(status.created);
        let age = format!("{:.0}s", age.as_secs_f64());
        format!(
            "{name:<24} {:<6} {:<17} {:<9} {age:<8} {pid:<8} {}\n",
            if status.ready { "1/1" } else { "0/1" },
            status.state.name(),
            status.restarts,
            status.pod.node
        )
    });
    quoted("pods.txt", std::iter::once(title).chain(rows))
}

/// The DaemonSet with the counts and events of its pods, oldest first.
pub(super) fn daemon_set(rendered: &Rendered, pods: &Pods) -> Diagnostic {
    let agents = || {
        pods.values()
            .filter(|status| status.pod.role == Role::Agent)
    };
    let ready = agents().filter(|agent| agent.ready).count();
    let current = agents().filter(|agent| agent.is_current()).count();
    let agent = rendered.agent();
    let name = agent.daemon_set.metadata.name.as_deref();
    let summary = format!(
        "Name:       {}\nNamespace:  {}\nContainer:  {}\nProvider:   local (processes; limits are not enforced)\nPods:       {current} current / {ready} ready\nEvents:\n",
        name.unwrap_or_default(),
        rendered.namespace(),
        agent.container,
    );
    let mut events: Vec<_> = agents()
        .flat_map(|agent| {
            agent
                .events
                .iter()
                .map(move |event| (&agent.pod.name, event))
        })
        .collect();
    events.sort_by_key(|(_, event)| event.at);
    let rows = events.into_iter().map(|(name, event)| {
        format!(
            "  {:.3}  {:<10} {name}: {}\n",
            event.at, event.reason, event.message
        )
    });
    quoted("daemonset.txt", std::iter::once(summary).chain(rows))
}

fn quoted(file: &str, lines: impl Iterator<Item = String>) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        text: lines.collect(),
        quoted: true,
    }
}
