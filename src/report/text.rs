//! The text of durations, nodes, evidence and verdicts in every report. Pure, without colors.

use std::fmt::{self, Write};

use comfy_table::{Table, TableStyle};

use crate::event::{
    Evidence, Failure, HostFacts, LogExcerpt, MachineLoad, PartFacts, RunFacts, RunVerdict,
    Severity, Termination,
};
use crate::record::model::{CellModel, Fault, RunModel, Tally};

/// Appends to `out`.
pub(super) fn push(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a string does not fail");
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

/// The cell's values on the further axes, in the form of filters.
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
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The cells of a run and how they run: `7 cells of matrix.toml, 2 at once, provider kind`.
pub(super) fn scope(facts: &RunFacts) -> String {
    let cells = counted(facts.cells.len(), "cell");
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

/// Divides before it multiplies, because a record may contain any number of bytes.
const fn tenths_of_gib(bytes: u64) -> u64 {
    bytes / (1 << 20) * 10 / (1 << 10)
}

/// `linux x86_64, 8 CPUs, 31.2 GiB`.
pub(super) fn machine(host: &HostFacts) -> String {
    let mut text = format!("{}, {}", host.platform, counted(host.cpus, "CPU"));
    if host.memory_bytes > 0 {
        let tenths = tenths_of_gib(host.memory_bytes);
        push(
            &mut text,
            format_args!(", {}.{} GiB", tenths / 10, tenths % 10),
        );
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
    let tenths = tenths_of_gib(load.memory_available_bytes);
    let cells = counted(load.cells, "cell");
    push(
        &mut text,
        format_args!(
            ", {}.{} GiB of memory free, {cells} at once",
            tenths / 10,
            tenths % 10
        ),
    );
    text
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
        let others = tally_words(Tally { passed: 0, ..tally });
        let others = if others.is_empty() {
            others
        } else {
            format!(", {others}")
        };
        format!("{id}: {passed} of {all} passed{others}")
    };
    run.repeated().into_iter().map(line).collect()
}

/// The origin of a run, if it has one: its shard, the run that it repeats, its sessions and its parts.
pub(super) fn lineage(run: &RunModel) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(facts) = &run.facts {
        let shard = facts.shard.as_ref();
        lines.extend(shard.map(|shard| ("shard", format!("{} of {}", shard.index, shard.count))));
        let rerun = facts.rerun_of.clone();
        lines.extend(rerun.map(|run| ("reruns", format!("the cells that did not pass in {run}"))));
        lines.extend(
            facts
                .parts
                .iter()
                .map(|part| ("merged from", self::part(part))),
        );
    }
    let resumed = run.resumed.iter();
    lines.extend(resumed.map(|session| {
        let text = format!("{:.0} on {}", session.at, session.facts.host.name);
        ("resumed", text)
    }));
    lines
}

/// `20260102T030405Z-x7k2p on builder: shard 1 of 2, 7 cells, 3m 04s`.
fn part(part: &PartFacts) -> String {
    let shard = part.shard.as_ref();
    let shard = shard.map_or(String::new(), |shard| {
        format!("shard {} of {}, ", shard.index, shard.count)
    });
    let (cells, took) = (
        counted(part.cells.len(), "cell"),
        duration(part.duration_ms),
    );
    format!("{} on {}: {shard}{cells}, {took}", part.run, part.host)
}

/// How text is wrapped: at spaces, into lines of at most `width` columns.
pub(super) fn wrapping<'a>(width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// The command that shows the usual causes of a failure, unless its own cause is known.
pub(super) fn usual_causes(failure: &Failure) -> Option<String> {
    let symptom = failure.symptom;
    failure
        .likely_cause
        .is_none()
        .then(|| format!("e2e-matrix explain {symptom}"))
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
        Some(RunVerdict::Interrupted {
            by: Termination::Interrupt,
        }) => "interrupted by SIGINT",
        Some(RunVerdict::Interrupted {
            by: Termination::Terminate,
        }) => "interrupted by SIGTERM",
        Some(RunVerdict::Interrupted {
            by: Termination::RunTimeout,
        }) => "timed out",
        None => "killed before it finished",
    }
}

/// `9 passed, 1 failed, 1 allowed to fail`; zero counts are left out.
pub(super) fn tally(run: &RunModel) -> String {
    tally_words(run.tally())
}

fn tally_words(tally: Tally) -> String {
    let counts = [
        (tally.passed, "passed"),
        (tally.flaky, "flaky"),
        (tally.failed, "failed"),
        (
            tally.errors,
            if tally.errors == 1 { "error" } else { "errors" },
        ),
        (tally.allowed, "allowed to fail"),
        (tally.interrupted, "interrupted"),
        (tally.skipped, "skipped"),
    ];
    let named = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = named
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    parts.join(", ")
}

/// The Kubernetes version that a cell's results apply to.
pub(super) fn kubernetes(run: &RunModel, cell: &CellModel) -> String {
    if run.is_local() {
        return format!("{} (not exercised)", cell.summary.kubernetes);
    }
    match cell
        .facts
        .as_ref()
        .and_then(|facts| facts.server_version.as_ref())
    {
        Some(server) => server.clone(),
        None => format!("{} (server version unknown)", cell.summary.kubernetes),
    }
}

/// A sentence that states which parts a local run doesn't cover.
pub(super) fn not_exercised(run: &RunModel) -> String {
    let mut versions: Vec<&str> = Vec::new();
    for cell in &run.cells {
        if !versions.contains(&cell.summary.kubernetes.as_str()) {
            versions.push(&cell.summary.kubernetes);
        }
    }
    let verb = if versions.len() == 1 { "was" } else { "were" };
    format!(
        "local: plain processes on this machine. Kubernetes {} {verb} not exercised",
        versions.join(", ")
    )
}

/// The suffix of a table's title in a local run.
pub(super) fn local_mark(run: &RunModel) -> &'static str {
    if run.is_local() { " (local)" } else { "" }
}

/// The heading of the column of cells.
pub(super) fn cell_column(run: &RunModel) -> &'static str {
    if run.is_local() {
        "cell (local)"
    } else {
        "cell"
    }
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

/// Evidence as an aligned table, with failed checks first.
pub(super) fn evidence_table(cell: &CellModel, evidence: &[&Evidence]) -> String {
    let mut sorted = evidence.to_vec();
    sorted.sort_by_key(|one| one.holds);
    let rows: Vec<_> = sorted.iter().map(|one| evidence_row(cell, one)).collect();
    aligned(&["", "node", "subject", "expected", "seen"], &rows)
}

fn evidence_row(cell: &CellModel, evidence: &Evidence) -> [String; 5] {
    [
        evidence_mark(evidence).to_owned(),
        node_name(cell, evidence.node.as_deref()),
        evidence.subject.clone(),
        evidence.expected.clone(),
        evidence.seen.clone(),
    ]
}

/// The result of a check.
pub(super) fn evidence_mark(evidence: &Evidence) -> &'static str {
    if !evidence.holds {
        "NOT MET"
    } else if evidence.is_checked() {
        "ok"
    } else {
        "-"
    }
}

/// The source of a log, and the file with the whole log.
pub(super) fn log_title(log: &LogExcerpt) -> String {
    match &log.file {
        Some(file) => format!("{} (full log: {file})", log.source),
        None => log.source.clone(),
    }
}

/// A node's short name; `all` if the check concerns the whole cell.
pub(super) fn node_name(cell: &CellModel, node: Option<&str>) -> String {
    node.map_or("all", |node| cell.short_node(node)).to_owned()
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
