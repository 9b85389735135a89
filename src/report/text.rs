//! The text of durations, nodes, evidence and verdicts in all reports. All functions are pure, and the text has no
//! colors.

use std::fmt::{self, Write};

use comfy_table::{Table, TableStyle};

use crate::event::{
    Evidence, Failure, HostFacts, LogExcerpt, MachineLoad, PartFacts, RunFacts, RunVerdict,
    Severity, ShardFacts, Termination,
};
use crate::record::model::{CellModel, Fault, RunModel, Tally};
use crate::record::unique;

/// The explanation for a cell that is allowed to fail.
pub(super) const ALLOWED_TO_FAIL: &str = "its result does not change the exit code";

/// Appends to `out`.
pub(super) fn push(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a string does not fail");
}

/// The sections that aren't empty, with an empty line between them.
pub(super) fn joined(sections: &[String]) -> String {
    let trimmed = sections.iter().map(|section| section.trim_end());
    let filled: Vec<_> = trimmed.filter(|section| !section.is_empty()).collect();
    filled.join("\n\n") + "\n"
}

/// A duration in a sentence: `0.4s`, `12.3s`, `2m 03s`, `1h 02m`.
pub(super) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A duration in at most four characters: `0.4`, `12.3`, `142s`, `31m`, `12h`.
pub(super) fn narrow_duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..100 => format!("{seconds}.{}", milliseconds % 1000 / 100),
        100..1000 => format!("{seconds}s"),
        1000..60_000 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}

/// The cell's values on the further axes, written as filters.
pub(super) fn axes(cell: &CellModel) -> Vec<String> {
    let axes = cell.summary.axes.iter();
    axes.map(|place| format!("{} = {}", place.axis, place.value))
        .collect()
}

/// The duration of a cell; empty if it wasn't started.
pub(super) fn cell_duration(cell: &CellModel) -> String {
    match cell.duration_ms {
        0 => String::new(),
        taken => duration(taken),
    }
}

/// `1 cell`, `3 cells`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The cells of a run and how they run: `7 cells of matrix.toml, 2 at once, provider kind`.
pub(super) fn scope(facts: &RunFacts, cells: usize) -> String {
    let cells = counted(cells, "cell");
    format!(
        "{cells} of {}, {} at once, provider {}",
        facts.matrix, facts.jobs, facts.provider
    )
}

/// The word before a notice.
pub(super) const fn notice_mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
    }
}

/// An amount of memory, such as `31.2 GiB`. Divides before it multiplies, because a record may contain any number of
/// bytes.
fn gib(bytes: u64) -> String {
    let tenths = bytes / (1 << 20) * 10 / (1 << 10);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// `linux x86_64, 8 CPUs, 31.2 GiB`.
pub(super) fn machine(host: &HostFacts) -> String {
    let mut text = format!("{}, {}", host.platform, counted(host.cpus, "CPU"));
    if host.memory_bytes > 0 {
        push(&mut text, format_args!(", {}", gib(host.memory_bytes)));
    }
    text
}

/// `load 9.40, CPU pressure 71%, 1.2 GiB of memory free, 2 cells at once`.
pub(super) fn load(load: &MachineLoad) -> String {
    let average = load.average_hundredths;
    let mut text = format!("load {}.{:02}", average / 100, average % 100);
    if let Some(percent) = load.cpu_pressure_percent {
        push(&mut text, format_args!(", CPU pressure {percent}%"));
    }
    let memory = gib(load.memory_available_bytes);
    let cells = counted(load.cells, "cell");
    text + &format!(", {memory} of memory free, {cells} at once")
}

/// An attempt before the last one: `attempt 1: failed in readiness (product: agent-not-ready), 12.3s`.
pub(super) fn attempt(fault: &Fault<'_>) -> String {
    let (number, verdict) = (fault.cell.attempt, fault.cell.verdict);
    let (place, kind) = (fault.phase_place(), fault.kind());
    let took = duration(fault.cell.duration_ms);
    format!("attempt {number}: {verdict}{place} ({kind}), {took}")
}

/// The counted verdicts of each cell's repetitions: `k8s-1.36-n1-fast: 28 of 30 passed, 1 flaky, 1 failed`.
pub(super) fn repetitions(run: &RunModel) -> Vec<String> {
    let line = |(id, tally): (&str, Tally)| {
        let (passed, all) = (tally.passed, tally.total());
        let mut line = format!("{id}: {passed} of {all} passed");
        let others = self::tally(Tally { passed: 0, ..tally });
        if !others.is_empty() {
            push(&mut line, format_args!(", {others}"));
        }
        line
    };
    run.repeated().into_iter().map(line).collect()
}

/// Where a run comes from: its shard, the run that it repeats, its sessions, and the runs that were merged into it.
pub(super) fn lineage(run: &RunModel) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(facts) = &run.facts {
        let shard = facts.shard.as_ref();
        lines.extend(shard.map(|shard| ("shard", shard_of(shard))));
        if let Some(run) = &facts.rerun_of {
            lines.push(("reruns", format!("the cells that did not pass in {run}")));
        }
        let parts = facts.parts.iter();
        lines.extend(parts.map(|part| ("merged from", self::part(part))));
    }
    for session in &run.resumed {
        let text = format!("{:.0} on {}", session.at, session.facts.host.name);
        lines.push(("resumed", text));
    }
    lines
}

/// `1 of 2`.
fn shard_of(shard: &ShardFacts) -> String {
    format!("{} of {}", shard.index, shard.count)
}

/// `20260102T030405Z-x7k2p on builder: shard 1 of 2, 7 cells, 3m 04s`.
fn part(part: &PartFacts) -> String {
    let shard = part.shard.as_ref().map(shard_of);
    let shard = shard.map_or(String::new(), |shard| format!("shard {shard}, "));
    let cells = counted(part.cells.len(), "cell");
    let took = duration(part.duration_ms);
    format!("{} on {}: {shard}{cells}, {took}", part.run, part.host)
}

/// How text is wrapped: at spaces, into lines of at most `width` columns.
pub(super) fn wrapping<'a>(width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// The command that shows the usual causes of a failure; `None` if the likely cause is known.
pub(super) fn usual_causes(failure: &Failure) -> Option<String> {
    let is_unknown = failure.likely_cause.is_none();
    is_unknown.then(|| format!("e2e-matrix explain {}", failure.symptom))
}

/// The verdict on the run, in a few words.
pub(super) fn run_verdict(run: &RunModel) -> &'static str {
    match run.verdict {
        Some(RunVerdict::Passed) => "passed",
        Some(RunVerdict::ProductFailure) => "failed",
        Some(RunVerdict::FlakyFailure) => "flaky",
        Some(RunVerdict::ConfigurationFailure) => "error (configuration)",
        Some(RunVerdict::InfrastructureFailure) => "error (infrastructure)",
        Some(RunVerdict::NothingToDo) => "nothing to do",
        Some(RunVerdict::RunnerBug) => "runner bug",
        Some(RunVerdict::Interrupted { by }) => match by {
            Termination::Interrupt => "interrupted by SIGINT",
            Termination::Terminate => "interrupted by SIGTERM",
            Termination::RunTimeout => "timed out",
        },
        None => "killed before it finished",
    }
}

/// `9 passed, 1 failed, 1 allowed to fail`; zero counts are left out.
fn tally(tally: Tally) -> String {
    let errors = if tally.errors == 1 { "error" } else { "errors" };
    let counts = [
        (tally.passed, "passed"),
        (tally.flaky, "flaky"),
        (tally.failed, "failed"),
        (tally.errors, errors),
        (tally.allowed, "allowed to fail"),
        (tally.interrupted, "interrupted"),
        (tally.skipped, "skipped"),
    ];
    let named = counts.iter().filter(|(count, _)| *count > 0);
    let named = named.map(|(count, word)| format!("{count} {word}"));
    named.collect::<Vec<_>>().join(", ")
}

/// The counted verdicts of all cells.
pub(super) fn totals(run: &RunModel) -> String {
    match tally(run.tally()) {
        counts if counts.is_empty() => "no cells ran".to_owned(),
        counts => counts,
    }
}

/// The Kubernetes version that the results of a cell apply to.
pub(super) fn kubernetes(run: &RunModel, cell: &CellModel) -> String {
    if run.is_local() {
        return format!("{} (not exercised)", cell.summary.kubernetes);
    }
    let facts = cell.facts.as_ref();
    let server = facts.and_then(|facts| facts.server_version.clone());
    server.unwrap_or_else(|| format!("{} (server version unknown)", cell.summary.kubernetes))
}

/// A sentence that states which parts a local run doesn't cover; `None` for any other run, or without cells.
pub(super) fn not_exercised(run: &RunModel) -> Option<String> {
    if !run.is_local() || run.cells.is_empty() {
        return None;
    }
    let versions = unique(run.cells.iter().map(|cell| &cell.summary.kubernetes));
    let verb = if versions.len() == 1 { "was" } else { "were" };
    let versions = versions.join(", ");
    Some(format!(
        "local: plain processes on this machine. Kubernetes {versions} {verb} not exercised"
    ))
}

/// The suffix of a table's title in a local run.
pub(super) fn local_mark(run: &RunModel) -> &'static str {
    if run.is_local() { " (local)" } else { "" }
}

/// The heading of the column of cells.
pub(super) fn cell_column(run: &RunModel) -> String {
    format!("cell{}", local_mark(run))
}

/// An aligned table with a header; two spaces between columns, and none at the ends of lines.
pub(crate) fn aligned(header: &[&str], rows: &[impl AsRef<[String]>]) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).force_no_tty();
    table.set_header(header);
    table.add_rows(rows.iter().map(AsRef::as_ref));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// At most `limit` rows of evidence as an aligned table, with failed checks first; `None` if there is no evidence.
pub(super) fn evidence_table<'a>(
    cell: &CellModel,
    evidence: impl IntoIterator<Item = &'a Evidence>,
    limit: usize,
) -> Option<String> {
    let mut sorted: Vec<_> = evidence.into_iter().collect();
    sorted.sort_by_key(|one| one.holds);
    let shown = sorted.iter().take(limit);
    let rows: Vec<_> = shown.map(|one| evidence_row(cell, one)).collect();
    let mut table = aligned(&["", "node", "subject", "expected", "seen"], &rows);
    let more = sorted.len() - rows.len();
    if more > 0 {
        push(&mut table, format_args!("\nand {more} more"));
    }
    (!rows.is_empty()).then_some(table)
}

/// The cells of a row: result, node, subject, expected value, and seen value.
pub(super) fn evidence_row(cell: &CellModel, evidence: &Evidence) -> [String; 5] {
    let mark = match (evidence.holds, evidence.is_checked()) {
        (false, _) => "NOT MET",
        (true, true) => "ok",
        (true, false) => "-",
    };
    let node = evidence.node.as_deref();
    let node = node.map_or("all", |node| cell.short_node(node));
    let texts = [&evidence.subject, &evidence.expected, &evidence.seen];
    let [subject, expected, seen] = texts.map(String::clone);
    [mark.to_owned(), node.to_owned(), subject, expected, seen]
}

/// The title of a log: its source, and the file with the whole log.
pub(super) fn log_title(log: &LogExcerpt) -> String {
    match &log.file {
        Some(file) => format!("{} (full log: {file})", log.source),
        None => log.source.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable_at_every_scale() {
        for (milliseconds, long, narrow) in [
            (0, "0.0s", "0.0"),
            (1_250, "1.2s", "1.2"),
            (59_999, "59.9s", "59.9"),
            (123_000, "2m 03s", "123s"),
            (3_720_000, "1h 02m", "62m"),
            (360_000_000, "100h 00m", "100h"),
        ] {
            assert_eq!(duration(milliseconds), long);
            assert_eq!(narrow_duration(milliseconds), narrow);
        }
    }
}
