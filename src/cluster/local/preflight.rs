//! Checks that the machine has what this provider needs: executable programs, and sufficient limits.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::isolation::Isolation;
use super::pod_config::{custom_program, program};
use super::status::Role;
use crate::cluster::{Programs, Survey};
use crate::event::{Evidence, Failure, Symptom};
use crate::machine::{open_files, probe};
use crate::matrix::Cell;

/// How many open files the runner and the mock need per agent: its log, its pipes, its connections.
const FILES_PER_NODE: u64 = 12;
/// How many open files they need in addition to those.
const FILES: u64 = 256;
/// The approximate memory of an agent's process, in bytes.
pub(super) const MEMORY_PER_NODE: u64 = 12 * 1024 * 1024;

/// Checks all requirements.
pub(super) fn examine(
    programs: &Programs,
    isolation: &Isolation,
    cells: &[Cell],
) -> Result<Survey, Failure> {
    let nodes = cells.iter().map(|cell| cell.nodes.get()).max().unwrap_or(1) as u64;
    let refusal = isolation.refusal();
    let mut evidence: Vec<Evidence> = Vec::new();
    for programs in cells.iter().map(|cell| programs.of(cell)) {
        let mut rows = executables(&programs)?;
        rows.push(isolated(&programs, refusal.as_deref())?);
        for row in rows {
            if !evidence.contains(&row) {
                evidence.push(row);
            }
        }
    }
    evidence.push(open_files(FILES + nodes * FILES_PER_NODE)?);
    evidence.extend(memory(nodes * MEMORY_PER_NODE)?);
    Ok(Survey {
        evidence,
        notices: refusal.into_iter().collect(),
        ..Survey::default()
    })
}

/// Only the programs of this repository may run without isolation: others could write to the host.
fn isolated(programs: &Programs, refusal: Option<&str>) -> Result<Evidence, Failure> {
    let row = |seen| Evidence::new("isolation of pods", "namespaces", seen, true);
    let Some(refusal) = refusal else {
        return Ok(row("namespaces"));
    };
    let custom = [
        ("agent", programs.agent.as_ref()),
        ("mock", programs.mock.as_ref()),
    ];
    match custom
        .into_iter()
        .find_map(|(role, path)| Some((role, path?)))
    {
        None => Ok(row("none: the programs are the runner's own")),
        Some((role, path)) => {
            let path = path.display();
            let message = format!(
                "{path} (`[images.{role}] binary`) can't be run, because it could write to the host: {refusal}"
            );
            Err(Failure::new(Symptom::ProcessFailed, message)
                .with_remedy("permit namespaces, or run the cells with `--provider kind`"))
        }
    }
}

/// Checks that both programs can be executed. Returns one row each.
pub(super) fn executables(programs: &Programs) -> Result<Vec<Evidence>, Failure> {
    [Role::Agent, Role::Mock]
        .map(|role| {
            let (path, _) = program(programs, role);
            let subject = format!("program of {}", role.name());
            if is_executable(&path) {
                return Ok(Evidence::new(
                    subject,
                    "an executable file",
                    path.display(),
                    true,
                ));
            }
            let message = format!("{} is not an executable file", path.display());
            Err(match custom_program(programs, role) {
                Some(_) => Failure::new(Symptom::BadConfiguration, message)
                    .with_remedy("correct `binary` in the matrix file's table of images"),
                None => Failure::new(Symptom::ProcessFailed, message),
            })
        })
        .into_iter()
        .collect()
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Checks that this process may open `needed` files.
fn open_files(needed: u64) -> Result<Evidence, Failure> {
    let seen = open_files::raise();
    if seen.is_some_and(|seen| seen < needed) {
        let message = format!(
            "the limit of open files is {}, but {needed} are needed",
            limit_text(seen)
        );
        return Err(
            Failure::new(Symptom::MachineTooSmall, message).with_remedy(format!(
                "raise the limit with `ulimit -n {needed}`; if the shell refuses, the hard limit is too low, and only root can raise it"
            )),
        );
    }
    Ok(Evidence::new(
        "open files",
        format!(">= {needed}"),
        limit_text(seen),
        true,
    ))
}

fn limit_text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

fn memory(needed: u64) -> Result<Option<Evidence>, Failure> {
    let mebibytes = |bytes: u64| format!("{} MiB", bytes / 1024 / 1024);
    let Some(memory) = probe::memory() else {
        return Ok(None);
    };
    let (needed_text, seen) = (mebibytes(needed), mebibytes(memory.available));
    if memory.available < needed {
        let message = format!("{needed_text} of memory are needed, but only {seen} are available");
        return Err(Failure::new(Symptom::MachineTooSmall, message)
            .with_remedy("select cells with fewer nodes"));
    }
    Ok(Some(Evidence::new(
        "memory",
        format!(">= {needed_text}"),
        seen,
        true,
    )))
}
