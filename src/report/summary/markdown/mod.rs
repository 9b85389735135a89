//! The summary as GitHub-flavored Markdown for a job's page: verdict first, long lists folded and truncated.

mod escape;
mod failures;
mod tables;

use crate::record::model::RunModel;
use crate::report::attribution::attribution;
use crate::report::text::{self, push};
use escape::escape;

/// The summary. GitHub limits a job's page to 1 MiB, so everything that grows with nodes and failures is truncated.
pub fn markdown(run: &RunModel) -> String {
    let sections = [
        head(run),
        tables::matrix(run),
        failures::section(run),
        tables::counters(run),
        tables::times(run),
    ];
    let trimmed = sections.iter().map(|section| section.trim_end());
    let filled = trimmed.filter(|section| !section.is_empty());
    filled.collect::<Vec<_>>().join("\n\n") + "\n"
}

fn head(run: &RunModel) -> String {
    let mut out = format!("## e2e-matrix: {}\n\n", text::run_verdict(run));
    let tally = match text::tally(run.tally()) {
        tally if tally.is_empty() => "no cells ran".to_owned(),
        tally => tally,
    };
    let duration = text::duration(run.duration_ms);
    line(&mut out, &format!("**{tally}** in {duration}"));
    if let Some(attribution) = attribution(run) {
        line(&mut out, &format!("**{}**", escape(&attribution)));
    }
    if let Some(facts) = &run.facts {
        let facts = format!(
            "{} of `{}`, {} at once, provider **{}**, on {} ({})",
            text::counted(run.cells.len(), "cell"),
            facts.matrix.replace('`', "'"),
            facts.jobs,
            escape(&facts.provider),
            escape(&facts.host.name),
            escape(&text::machine(&facts.host)),
        );
        line(&mut out, &facts);
    }
    for (name, value) in text::lineage(run) {
        line(&mut out, &format!("*{name}*: {}", escape(&value)));
    }
    for repeated in text::repetitions(run) {
        line(&mut out, &escape(&repeated));
    }
    if run.is_local() {
        let sentence = escape(&text::not_exercised(run));
        line(&mut out, &format!("> {sentence}"));
    }
    for notice in &run.notices {
        let mark = text::notice_mark(notice.severity);
        line(&mut out, &format!("> **{mark}**: {}", escape(&notice.text)));
    }
    out
}

/// A paragraph.
fn line(out: &mut String, text: &str) {
    push(out, format_args!("{text}\n\n"));
}

#[cfg(test)]
mod tests;
