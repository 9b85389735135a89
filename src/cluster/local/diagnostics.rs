//! The pods of a cell and their events as text, for diagnosing a failure.

use std::fmt::Write;

use jiff::{SpanRound, Timestamp, Unit};

use super::status::{Pods, Role};
use crate::cluster::Diagnostic;
use crate::manifest::Rendered;

/// The pods, one per line, as in `kubectl get pods`.
pub(super) fn pods(pods: &Pods) -> Diagnostic {
    let mut text = format!(
        "{:<24} {:<6} {:<17} {:<9} {:<8} {:<8} NODE\n",
        "NAME", "READY", "STATUS", "RESTARTS", "AGE", "PROCESS"
    );
    for (name, status) in pods {
        let pid = status.pid;
        let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let line = writeln!(
            text,
            "{name:<24} {:<6} {:<17} {:<9} {:<8} {pid:<8} {}",
            if status.ready { "1/1" } else { "0/1" },
            status.state.name(),
            status.restarts,
            age(status.created),
            status.node
        );
        line.unwrap_or_else(|_| unreachable!("a String takes every text"));
    }
    quoted("pods.txt", text)
}

/// The DaemonSet with the counts and events of its pods, oldest first.
pub(super) fn daemon_set(rendered: &Rendered, pods: &Pods) -> Diagnostic {
    let agents = || pods.values().filter(|status| status.role == Role::Agent);
    let ready = agents().filter(|agent| agent.ready).count();
    let current = agents().filter(|agent| agent.is_current()).count();
    let agent = rendered.agent();
    let mut text = format!(
        "Name:       {}\nNamespace:  {}\nContainer:  {}\nProvider:   local (processes; limits are not enforced)\nPods:       {current} current / {ready} ready\nEvents:\n",
        agent
            .daemon_set
            .metadata
            .name
            .as_deref()
            .unwrap_or_default(),
        rendered.namespace(),
        agent.container,
    );
    let mut events: Vec<_> = agents()
        .flat_map(|agent| agent.events.iter().map(move |event| (&agent.name, event)))
        .collect();
    events.sort_by_key(|(_, event)| event.at);
    for (name, event) in events {
        let line = writeln!(
            text,
            "  {:.3}  {:<10} {name}: {}",
            event.at, event.reason, event.message
        );
        line.unwrap_or_else(|_| unreachable!("a String takes every text"));
    }
    quoted("daemonset.txt", text)
}

fn quoted(file: &str, text: String) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        text,
        quoted: true,
    }
}

fn age(since: Timestamp) -> String {
    let whole_seconds = SpanRound::new()
        .smallest(Unit::Second)
        .largest(Unit::Second);
    let age = Timestamp::now() - since;
    age.round(whole_seconds)
        .map_or_else(|_| "?".to_owned(), |age| format!("{}s", age.get_seconds()))
}
