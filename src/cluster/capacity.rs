//! Checks whether this machine is large enough for the largest cell.

use crate::event::{Evidence, Failure, Symptom};
use crate::machine::probe;

/// Evidence that the machine is large enough; otherwise the failure.
pub(super) fn capacity(
    subject: &str,
    need: u64,
    has: u64,
    unit: &str,
    remedy: &str,
) -> Result<Evidence, Failure> {
    let (expected, seen) = (format!(">= {need} {unit}"), format!("{has} {unit}"));
    let evidence = Evidence::new(subject, expected, seen, has >= need);
    if evidence.holds {
        return Ok(evidence);
    }
    let message = format!(
        "the machine is too small for the largest cell: {subject} is {has} {unit}, but the cell needs {need} {unit}"
    );
    Err(Failure::new(Symptom::MachineTooSmall, message)
        .with_remedy(remedy)
        .with_evidence([evidence]))
}

/// Checks that `need` bytes of memory are available; `None` if the machine doesn't say how many are.
pub(super) fn memory(need: u64) -> Result<Option<Evidence>, Failure> {
    let Some(memory) = probe::memory() else {
        return Ok(None);
    };
    let (need, has) = (need >> 20, memory.available >> 20);
    let remedy = "close other programs, or select smaller cells with --filter";
    capacity("available memory", need, has, "MiB", remedy).map(Some)
}
