//! The pods of a cell in a readable form, to understand a failure.

use std::fmt::Write;

use jiff::{SpanRound, Timestamp, Unit};

use super::board::{PodStatus, Pods, Role};
use crate::cluster::Diagnostic;
use crate::manifest::Rendered;

/// The pods with their nodes and states, one per line.
pub(super) fn pods(pods: &Pods) -> Diagnostic {
    let mut text = format!(
        "{:<24} {:<6} {:<17} {:<9} {:<8} {:<8} NODE\n",
        "NAME", "READY", "STATUS", "RESTARTS", "AGE", "PROCESS"
    );
    for (name, status) in pods {
        let process = status
            .process
            .map_or_else(|| "-".to_owned(), |id| id.to_string());
        let line = writeln!(
            text,
            "{name:<24} {:<6} {:<17} {:<9} {:<8} {process:<8} {}",
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
    let agents: Vec<(&String, &PodStatus)> = pods
        .iter()
        .filter(|(_, status)| status.role == Role::Agent)
        .collect();
    let ready = agents.iter().filter(|(_, status)| status.ready).count();
    let current = agents
        .iter()
        .filter(|(_, status)| status.is_current())
        .count();
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
    let mut events: Vec<_> = agents
        .iter()
        .flat_map(|(name, status)| {
            status
                .events
                .iter()
                .map(move |event| (event.at, name, event))
        })
        .collect();
    events.sort_by_key(|(at, ..)| *at);
    for (at, name, event) in events {
        let line = writeln!(
            text,
            "  {at:.3}  {:<10} {name}: {}",
            event.reason, event.message
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
