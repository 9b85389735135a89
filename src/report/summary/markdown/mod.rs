//! The summary as GitHub-flavored Markdown for a job's page: verdict first, long lists folded and truncated.

mod budget;
mod escape;
mod failures;
mod tables;

use crate::record::model::RunModel;
use crate::report::attribution::attribution;
use crate::report::text;
use budget::Budget;
use escape::escape;

/// The summary. If it would be too large for GitHub, evidence and logs are left out first.
pub fn markdown(run: &RunModel) -> String {
    let mut budget = Budget::new();
    let head = head(run, &mut budget);
    let failures = failures::listed(run, &mut budget);
    let matrix = tables::matrix(run, &mut budget);
    let [counters, times] =
        [tables::counters(run), tables::times(run)].map(|table| budget.admit("table", table));
    let failures = failures::section(&failures, &mut budget);
    text::joined(&[head + &budget.note(), matrix, failures, counters, times])
}

fn head(run: &RunModel, budget: &mut Budget) -> String {
    let mut lines = vec![format!("## e2e-matrix: {}", text::run_verdict(run))];
    let duration = text::duration(run.duration_ms);
    lines.push(format!("**{}** in {duration}", text::totals(run)));
    lines.extend(attribution(run).map(|text| format!("**{}**", escape(&text))));
    if let Some(facts) = &run.facts {
        lines.push(format!(
            "{} of `{}`, {} at once, provider **{}**, on {} ({})",
            text::counted(run.cells.len(), "cell"),
            facts.matrix.replace('`', "'").replace('\n', " "),
            facts.jobs,
            escape(&facts.provider),
            escape(&facts.host.name),
            escape(&text::machine(&facts.host)),
        ));
    }
    for (name, value) in text::lineage(run) {
        lines.push(format!("*{name}*: {}", escape(&value)));
    }
    lines.extend(text::repetitions(run).iter().map(|line| escape(line)));
    let local = text::not_exercised(run);
    lines.extend(local.map(|text| format!("> {}", escape(&text))));
    for notice in &run.notices {
        let mark = text::notice_mark(notice.severity);
        lines.push(format!("> **{mark}**: {}", escape(&notice.text)));
    }
    let paragraphs = lines.into_iter().map(|line| line + "\n\n");
    let admitted = paragraphs.map(|paragraph| budget.admit("header line", paragraph));
    admitted.collect()
}

#[cfg(test)]
mod tests;
