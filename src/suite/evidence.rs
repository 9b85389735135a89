//! Collects the evidence of a failure: excerpts from the relevant logs for the reports, and everything else as files in
//! the cell's folder.

use super::causes::{self, Scene};
use super::context::Context;
use crate::cluster::{Diagnostic, NodeName};
use crate::deadline::Deadline;
use crate::event::{Event, Failure, LikelyCause, LogExcerpt, Symptom};
use crate::excerpt::{self, Log, Writer};

/// The maximum number of lines of each log that a report quotes.
const LINES: usize = 50;

/// If a failure names no node, it quotes the logs of all agents in a cell with up to this many nodes. In a larger cell,
/// it quotes the log of only one agent.
const MAX_NODES_SHOWN: usize = 4;

/// Adds excerpts from the logs of the first failed node's agent and of the mock, unless the failure has them already.
pub(crate) async fn with_logs(context: &Context, mut failure: Failure) -> Failure {
    let known = context.nodes();
    let mut failed = failure
        .evidence
        .iter()
        .filter_map(|row| row.node.as_deref());
    let failed = failed.find_map(|name| known.iter().find(|node| node.as_str() == name));
    let failed = failed.or_else(|| named(&known, &failure.message));
    let failed = failed.or_else(|| known.first().filter(|_| known.len() == 1));
    // In a large cell, the logs of nodes that weren't involved would bury the failure.
    let shown = failed.or_else(|| known.first().filter(|_| known.len() > MAX_NODES_SHOWN));
    let logs = context.cluster.logs(shown).await;
    // The likely cause is determined before the message quotes the log.
    failure.likely_cause = likely_cause(context, &failure, of_agent(&logs, shown));
    if let Some(quote) = quote_for_message(failure.symptom, &logs, failed) {
        failure.message += &quote;
    }
    for log in logs {
        if !is_quoted(&log, &failure.logs) {
            failure.logs.push(quote(context, &log).await);
        }
    }
    failure
}

/// The most likely cause of `failure`, based on the agent's `log` if there is one.
pub(crate) fn likely_cause(
    context: &Context,
    failure: &Failure,
    log: Option<&Log>,
) -> Option<Box<LikelyCause>> {
    let plan = &context.plan;
    let kept_manifests = format!("{}/manifests", plan.output_name);
    let scene = Scene::new(failure, log, &plan.rendered, kept_manifests);
    causes::likely(&scene).map(Box::new)
}

/// The log of the agent on `node`; if `node` is `None`, the log of the first agent.
pub(crate) fn of_agent<'l>(logs: &'l [Log], node: Option<&NodeName>) -> Option<&'l Log> {
    logs.iter().find(|Log { source, .. }| {
        source.writer == Writer::Agent && node.is_none_or(|node| node.as_str() == source.node)
    })
}

/// Whether `excerpts` has an excerpt from `log`.
fn is_quoted(log: &Log, excerpts: &[LogExcerpt]) -> bool {
    let source = log.source.to_string();
    excerpts.iter().any(|excerpt| excerpt.source == source)
}

/// The node among `known` that `message` names.
fn named<'n>(known: &'n [NodeName], message: &str) -> Option<&'n NodeName> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut words = message.split(|c: char| !is_name(c));
    words.find_map(|word| known.iter().find(|node| node.as_str() == word))
}

/// The text that quotes a line of a log at the end of a failure's message. The log is that of the mock or of the agent
/// on `node`, depending on the symptom.
fn quote_for_message(symptom: Symptom, logs: &[Log], node: Option<&NodeName>) -> Option<String> {
    let of_agent = || of_agent(logs, Some(node?));
    let termination = |log: &Log| match excerpt::reason(log) {
        Some(line) => Some(format!(": `{line}`")),
        None => Some(format!("; its last line: `{}`", excerpt::last_line(log)?)),
    };
    match symptom {
        Symptom::AgentCrashed => termination(of_agent()?),
        Symptom::MockUnavailable | Symptom::MockRestarted => {
            let mut logs = logs.iter();
            termination(logs.find(|log| log.source.writer == Writer::Mock)?)
        }
        Symptom::AgentNotReady | Symptom::AgentUnhealthy | Symptom::RestartNotMet => {
            let line = excerpt::reason(of_agent()?)?;
            Some(format!("; its log says: `{line}`"))
        }
        _ => None,
    }
}

/// Collects diagnostics, writes them to the cell's folder, and reports the names of the files. The excerpts in
/// `reported` are already part of a failure, so they aren't reported again.
pub(crate) async fn collect(context: &Context, reported: &[LogExcerpt], deadline: &Deadline) {
    let diagnostics = context.cluster.diagnostics(deadline).await;
    let (mut files, mut quotes) = (Vec::new(), Vec::new());
    for Diagnostic { file, text, quoted } in diagnostics {
        let text = context.plan.mask.apply(&text);
        if quoted {
            quotes.push(LogExcerpt {
                source: file.clone(),
                lines: last_lines(&text, LINES),
                file: None,
            });
        }
        files.extend(store(context, &file, &text).await);
    }
    files.extend(reported.iter().filter_map(|log| log.file.clone()));
    for log in context.cluster.logs(None).await {
        if !is_quoted(&log, reported) {
            let quoted = quote(context, &log).await;
            files.extend(quoted.file.clone());
            quotes.push(quoted);
        }
    }
    context.emit(|cell| Event::Diagnostics {
        cell,
        files,
        quotes,
    });
}

/// Writes the output of the program `name` to the cell's folder. Returns an excerpt for the reports.
pub(crate) async fn keep_output(context: &Context, name: &str, text: &str) -> LogExcerpt {
    let source = format!("command-{name}.log");
    let file = store(context, &source, text).await;
    if let Some(file) = &file {
        context.emit(|cell| Event::Diagnostics {
            cell,
            files: vec![file.clone()],
            quotes: Vec::new(),
        });
    }
    LogExcerpt {
        source,
        lines: last_lines(text, LINES),
        file,
    }
}

/// Writes a log to the cell's folder. Returns an excerpt for the reports.
async fn quote(context: &Context, log: &Log) -> LogExcerpt {
    let source = log.source.to_string();
    let name = format!("{}.log", source.replace(' ', "-"));
    let file = if log.is_read() {
        store(context, &name, &log.text()).await
    } else {
        None
    };
    LogExcerpt {
        source,
        lines: excerpt::excerpt(log, LINES),
        file,
    }
}

/// Writes the rendered manifests to the cell's folder, with secrets masked. An error, such as a full disk, is only a
/// warning.
pub(crate) async fn keep_manifests(context: &Context) {
    for (file, text) in context.plan.rendered.masked_yaml(&context.plan.mask) {
        let stored = store(context, &format!("manifests/{file}"), &text).await;
        if stored.is_none() {
            return;
        }
    }
}

/// Writes a file to the cell's folder. Returns the name that reports use for the file. If the file can't be written,
/// reports a warning and returns `None`.
async fn store(context: &Context, file: &str, text: &str) -> Option<String> {
    let path = context.plan.output.join(file);
    let folder = path.parent().unwrap_or(&context.plan.output);
    let written = match tokio::fs::create_dir_all(folder).await {
        Ok(()) => tokio::fs::write(&path, text).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(()) => Some(format!("{}/{file}", context.plan.output_name)),
        Err(error) => {
            let what = format!("{file} of {}", context.plan.cell.id);
            context.events.write_failed(what, error);
            None
        }
    }
}

fn last_lines(text: &str, count: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.iter().skip(from).map(ToString::to_string).collect()
}
