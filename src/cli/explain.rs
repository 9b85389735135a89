//! `explain`: prints the settings and manifests of a cell without starting anything, or the usual causes of a symptom.

use std::fmt::Write as _;

use super::error::CliError;
use super::exit::Exit;
use super::options::{ExplainOptions, SelectOptions};
use super::{matrix_file, runner_path, runtime, streams, troubleshooting};
use crate::event::Symptom;
use crate::matrix::nearest::nearest;
use crate::matrix::{Cell, Expectation, Matrix, Phase};
use crate::report::aligned;
use crate::runner::{self, Explanation, Setting};
use crate::secret::Mask;

pub(super) fn run(options: &ExplainOptions) -> Result<Exit, CliError> {
    let mut symptoms = Symptom::ALL.iter();
    if let Some(symptom) = symptoms.find(|symptom| symptom.name() == options.subject) {
        streams::print("the explanation", &troubleshooting::entry(*symptom))?;
        return Ok(Exit::Passed);
    }
    let mut selected = matrix_file::load(&SelectOptions {
        matrix: options.matrix.clone(),
        ..SelectOptions::default()
    })?;
    selected.retain(|id| id == options.subject);
    let (mut workload, _) = selected.resolve(runner_path()?)?;
    let Some(cell) = workload.cells.first().cloned() else {
        return Err(no_cell(&options.subject, &workload.matrix));
    };
    if let Some(provider) = options.provider {
        workload.matrix.run.provider = provider;
    }
    let suite = Mask::new(workload.secrets.iter().cloned()).apply(&suite(&workload.matrix));
    let explained = runtime::block_on(runner::explain(workload, &cell))?;
    streams::print("the explanation", &text(&cell, &explained, &suite))?;
    Ok(Exit::Passed)
}

fn no_cell(subject: &str, matrix: &Matrix) -> CliError {
    let ids = matrix.cells.iter().map(|cell| cell.id.as_str());
    let names = ids.chain(Symptom::ALL.iter().map(|symptom| symptom.name()));
    let hint = match nearest(subject, names) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`e2e-matrix list` shows the id of each cell, and docs/troubleshooting.md lists all symptoms".to_owned(),
    };
    let message = format!("`{subject}` is neither a cell of the matrix nor a symptom");
    CliError::rejected(message, hint)
}

fn text(cell: &Cell, explained: &Explanation, suite: &str) -> String {
    let mut text = String::new();
    let [agent, mock] = &explained.images;
    let reason = explained.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "{}\n\nprovider     {}{reason}\nkubernetes   {}\nnodes        {}\nconfig       {}",
        cell.id, explained.provider, cell.kubernetes, cell.nodes, cell.config,
    );
    for coordinate in &cell.axes {
        let _ = writeln!(text, "{:<11}  {}", coordinate.axis(), coordinate.value());
    }
    let _ = writeln!(
        text,
        "namespace    {}\nagent image  {agent}\nmock image   {mock}",
        explained.namespace,
    );
    for notice in &explained.notices {
        let _ = writeln!(text, "note         {notice}");
    }
    for (title, content) in [
        ("Agent configuration", settings(&explained.agent_config)),
        ("Environment of the agent", settings(&explained.environment)),
        ("Expectations", expectations(cell)),
    ] {
        section(&mut text, title, &content);
    }
    if !suite.is_empty() {
        section(&mut text, "Changes to the suite", suite);
    }
    if let Some(cluster) = &explained.cluster {
        let title = format!("Cluster configuration for {}", explained.provider);
        section(&mut text, &title, cluster);
    }
    for (name, yaml) in &explained.manifests {
        section(&mut text, &format!("Manifests: {name}"), yaml);
    }
    text
}

fn section(text: &mut String, title: &str, content: &str) {
    let _ = write!(text, "\n## {title}\n\n{}\n", content.trim_end());
}

/// `key = value  # origin`, in the format of `cargo config get --show-origin`.
fn settings(settings: &[Setting]) -> String {
    if settings.is_empty() {
        return "(none)".to_owned();
    }
    let line = |setting: &Setting| {
        let Setting { key, value, origin } = setting;
        format!("{key} = {value}  # {origin}\n")
    };
    settings.iter().map(line).collect()
}

/// The checks and commands that the matrix file adds to the suite, and the phases that it skips, one per line.
fn suite(matrix: &Matrix) -> String {
    let skipped = Phase::ALL.into_iter();
    let skipped = skipped.filter(|phase| !matrix.phases[*phase].runs);
    let skipped = skipped.map(|phase| format!("phase {phase} is skipped\n"));
    let checks = matrix.checks.bodies.iter().map(|check| {
        let endpoint = check.endpoint.body().unwrap_or_default();
        let (name, pointer, condition) = (&check.name, &check.pointer, &check.condition);
        format!("check {name}: {pointer} of the last {endpoint} body is {condition}\n")
    });
    let commands = matrix.checks.commands.iter().map(|command| {
        let (name, after) = (&command.name, command.after);
        let program = std::iter::once(command.program.display().to_string());
        let line: Vec<String> = program.chain(command.arguments.iter().cloned()).collect();
        let (line, timeout) = (line.join(" "), humantime::format_duration(command.timeout));
        format!("command {name} after {after}: {line} (timeout {timeout})\n")
    });
    skipped.chain(checks).chain(commands).collect()
}

fn expectations(cell: &Cell) -> String {
    let expect = &cell.variant.expect;
    let row = |(counter, expectation): (&str, Expectation)| {
        [
            counter.to_owned(),
            expectation.to_string(),
            expectation.scaled(cell.nodes.get()).to_string(),
        ]
    };
    let mut rows: Vec<_> = expect.all().map(row).collect();
    let restarts = format!("<= {}", expect.restarts());
    rows.push(["restarts".to_owned(), restarts, String::new()]);
    aligned(&["counter", "per node", "in total"], &rows)
}
