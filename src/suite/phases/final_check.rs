//! The final check of a cell, at the end of its last phase: exact expectations must still hold, and the agents must be
//! healthy.

use super::counters;
use crate::matrix::Phase;
use crate::suite::context::{Checked, Context, Outcome};
use crate::suite::expectations;

/// Adds the final check to the results of `phase`.
pub(crate) async fn run(context: &Context, phase: Phase, mut checked: Checked) -> Outcome {
    let requirements = expectations::exact(&context.plan.cell.variant.expect);
    let exact = counters::reach(context, phase, &requirements).await?;
    for row in exact.evidence {
        if !checked.evidence.contains(&row) {
            checked.evidence.push(row);
        }
    }
    let deadline = context.deadline(phase);
    let warnings = context.cluster.final_check(&deadline).await?;
    checked.warnings.extend(warnings);
    Ok(checked)
}
