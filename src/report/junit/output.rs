//! The content of `system-out` in the JUnit file, as plain text: the facts of a cell, evidence, logs and attachments.

use std::path::Path;

use crate::event::{Execution, Failure, LogExcerpt};
use crate::record::model::{CellModel, PhaseModel, RunModel};
use crate::report::text::{self, push};

/// The text of a `failure` or `error` element: the most important facts.
pub(super) fn cause(failure: &Failure) -> String {
    let (symptom, class) = (failure.symptom, failure.class());
    let mut lines = Lines(format!("{symptom} ({class}): {}\n", failure.message));
    lines.optional("hint", failure.remedy.as_deref());
    if let Some(cause) = &failure.likely_cause {
        lines.fact("likely cause", &cause.message);
        lines.fact("evidence", &cause.line);
        push(&mut lines.0, format_args!("to fix it:\n{}\n", cause.fix));
    }
    lines.0
}

/// The facts that all cases of a cell have in common, including the attribution of the run's failures.
pub(super) fn of_cell(
    run: &RunModel,
    cell: &CellModel,
    explained: Option<&str>,
    folder: &Path,
) -> String {
    let mut lines = Lines::default();
    lines.fact("verdict", cell.verdict.name());
    lines.optional("reason", cell.reason.as_deref());
    if cell.summary.allow_failure {
        lines.fact("allowed to fail", text::ALLOWED_TO_FAIL);
    }
    lines.fact("kubernetes", &text::kubernetes(run, cell));
    lines.fact("config", &cell.summary.config);
    lines.list("axes", &text::axes(cell));
    if cell.is_failure() {
        lines.optional("explained by", explained);
    }
    if let Some(facts) = &run.facts {
        lines.fact("provider", &facts.provider);
        lines.optional("provider chosen because", facts.provider_reason.as_deref());
        let (own, other) = (&facts.host, cell.host.as_ref());
        let other = other.filter(|other| **other != own.name).cloned();
        let own = || format!("{} ({})", own.name, text::machine(own));
        lines.fact("host", &other.unwrap_or_else(own));
        lines.list("tools", &facts.host.tools);
        lines.fact("runner", &facts.runner);
        lines.fact("run", &facts.run);
    }
    let load = cell.load.as_ref().map(text::load);
    lines.optional("machine at the end", load.as_deref());
    if !cell.earlier.is_empty() {
        lines.fact("attempts", &cell.attempt.to_string());
    }
    for fault in cell.earlier.iter().flat_map(CellModel::faults) {
        let load = fault.cell.load.as_ref().map(text::load);
        let load = load.map_or(String::new(), |load| format!("; {load}"));
        lines.fact(&text::attempt(&fault), &(fault.sentence() + &load));
    }
    lines.optional("cluster", cell.cluster.as_deref());
    if let Some(facts) = &cell.facts {
        lines.list("nodes", &facts.nodes);
        lines.fact("agent", &facts.agent);
        lines.fact("mock", &facts.mock);
        lines.optional("address", facts.address.as_deref());
        lines.list("tuning", &facts.tuning);
    }
    for command in cell.attempts().flat_map(|attempt| &attempt.kept) {
        lines.fact("to inspect", command);
    }
    for warning in cell.phases.iter().flat_map(PhaseModel::warnings) {
        lines.fact("warning", warning);
    }
    let attempts = cell.attempts();
    let attachments = attempts.map(|attempt| attachments(attempt, folder));
    lines.0 + &attachments.collect::<String>()
}

/// The details of a phase in each attempt; `None` if there are none.
pub(super) fn of_phase(cell: &CellModel, phase: &PhaseModel, folder: &Path) -> Option<String> {
    let heading =
        |attempt: &CellModel| format!("=== attempt {}: {} ===\n", attempt.attempt, attempt.verdict);
    let mut sections: Vec<String> = Vec::new();
    for attempt in &cell.earlier {
        let failed = attempt.phases.iter().filter(|one| one.is_failure());
        for phase in failed.filter(|one| one.name() == phase.name()) {
            sections.push(heading(attempt));
            sections.extend(of_attempt(attempt, phase, folder));
        }
    }
    let last = of_attempt(cell, phase, folder);
    if !sections.is_empty() && !last.is_empty() {
        sections.push(heading(cell));
    }
    sections.extend(last);
    (!sections.is_empty()).then(|| sections.join("\n"))
}

fn of_attempt(cell: &CellModel, phase: &PhaseModel, folder: &Path) -> Vec<String> {
    let mut sections = Vec::new();
    if phase.execution == Execution::Simulated {
        sections.push("simulated: the provider has no equivalent of this phase\n".into());
    }
    if let Some(failure) = phase.failure() {
        sections.push(cause(failure));
    }
    let warnings = phase.warnings().iter();
    sections.extend(warnings.map(|warning| format!("warning: {warning}\n")));
    let table = text::evidence_table(cell, phase.all_evidence(), usize::MAX);
    sections.extend(table.map(|table| table + "\n"));
    let of_failure = phase.failure().map(|failure| logs(&failure.logs));
    sections.extend(of_failure.into_iter().flatten());
    sections.extend(logs(phase.logs()));
    // Diagnostics are collected when a phase fails, so they belong to that phase's case.
    if cell.failed_phase().map(PhaseModel::name) == Some(phase.name()) {
        sections.extend(logs(&cell.quotes));
        sections.push(attachments(cell, folder));
    }
    sections.retain(|section| !section.is_empty());
    sections
}

fn logs(logs: &[LogExcerpt]) -> impl Iterator<Item = String> {
    logs.iter().map(|log| {
        let title = text::log_title(log);
        format!("--- {title} ---\n{}\n", log.lines.join("\n"))
    })
}

/// Files of a case, which are in `folder`, in the format that common CI servers recognize.
fn attachments(cell: &CellModel, folder: &Path) -> String {
    let paths = cell.diagnostics.iter().map(|file| folder.join(file));
    let lines = paths.map(|path| format!("[[ATTACHMENT|{}]]\n", path.display()));
    lines.collect()
}

/// Lines of `name: value`.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn fact(&mut self, name: &str, value: &str) {
        push(&mut self.0, format_args!("{name}: {value}\n"));
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.fact(name, value);
        }
    }

    fn list(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.fact(name, &values.join(", "));
        }
    }
}
