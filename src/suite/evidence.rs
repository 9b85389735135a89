//! What is kept of a failure: the logs that matter in the report, everything else as files in the cell's folder.

use std::path::Path;

use super::context::Context;
use crate::cluster::{Diagnostic, NodeName};
use crate::deadline::Deadline;
use crate::event::{Event, Failure, LogTail};

/// How many lines of each log a report quotes, as many as the seed prints.
const LINES: usize = 50;

/// A cell of more nodes shows one node's log where a failure blames none.
const MANY: usize = 4;

/// Adds the logs of the agent on the node that failed first, and the mock's, where the failure doesn't bring them.
pub(crate) async fn with_logs(context: &Context, mut failure: Failure) -> Failure {
    let known = context.nodes();
    let mut blamed = failure
        .evidence
        .iter()
        .filter_map(|row| row.node.as_deref());
    let node: Option<NodeName> =
        blamed.find_map(|name| known.iter().find(|node| node.as_str() == name).cloned());
    // A large cell must not drown the failure in the logs of nodes that had no part in it.
    let node = node.or_else(|| {
        (known.len() > MANY)
            .then(|| known.first().cloned())
            .flatten()
    });
    let tails = context.cluster.log_tails(node.as_ref(), LINES).await;
    let missing = tails
        .into_iter()
        .filter(|tail| !failure.logs.iter().any(|log| log.source == tail.source));
    let missing: Vec<LogTail> = missing.map(|tail| masked(context, tail)).collect();
    failure.logs.extend(missing);
    failure
}

/// Collects diagnostics, writes them into the cell's folder and says so.
pub(crate) async fn collect(context: &Context, deadline: &Deadline) {
    let diagnostics = context.cluster.diagnostics(deadline).await;
    let (mut files, mut quotes) = (Vec::new(), Vec::new());
    for Diagnostic { file, text, quoted } in diagnostics {
        let text = context.plan.mask.apply(&text);
        if quoted {
            quotes.push(LogTail {
                source: file.clone(),
                lines: last_lines(&text, LINES),
            });
        }
        match write(&context.plan.output, &file, &text).await {
            Ok(()) => files.push(format!("{}/{file}", context.plan.output_name)),
            Err(error) => unwritten(context, &file, error),
        }
    }
    context.events.emit(Event::Diagnostics {
        cell: context.plan.cell.id.clone(),
        files,
        quotes,
    });
}

/// Writes what the program called `name` has printed into the cell's folder. Returns the last lines, for the reports.
pub(crate) async fn keep_output(context: &Context, name: &str, text: &str) -> LogTail {
    let file = format!("command-{name}.log");
    match write(&context.plan.output, &file, text).await {
        Ok(()) => context.events.emit(Event::Diagnostics {
            cell: context.plan.cell.id.clone(),
            files: vec![format!("{}/{file}", context.plan.output_name)],
            quotes: Vec::new(),
        }),
        Err(error) => unwritten(context, &file, error),
    }
    LogTail {
        source: file,
        lines: last_lines(text, LINES),
    }
}

/// Writes what is going to be applied into the cell's folder, secrets masked. A full disk is worth a warning, no failure.
pub(crate) async fn keep_manifests(context: &Context) {
    for (file, text) in context.plan.rendered.masked_yaml(&context.plan.mask) {
        let file = format!("manifests/{file}");
        if let Err(error) = write(&context.plan.output, &file, &text).await {
            unwritten(context, &file, error);
            return;
        }
    }
}

fn unwritten(context: &Context, file: &str, error: std::io::Error) {
    let what = format!("{file} of {}", context.plan.cell.id);
    context.events.unwritten(what, error);
}

async fn write(folder: &Path, file: &str, text: &str) -> std::io::Result<()> {
    let path = folder.join(file);
    tokio::fs::create_dir_all(path.parent().unwrap_or(folder)).await?;
    tokio::fs::write(path, text).await
}

fn masked(context: &Context, tail: LogTail) -> LogTail {
    let lines = tail.lines.iter().map(|line| context.plan.mask.apply(line));
    LogTail {
        lines: lines.collect(),
        source: tail.source,
    }
}

fn last_lines(text: &str, count: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.iter().skip(from).map(ToString::to_string).collect()
}
