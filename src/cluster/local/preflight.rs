//! Checks that the machine has what this provider needs: executable programs, and sufficient limits.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::pod_config::program;
use super::status::Role;
use crate::cluster::capacity::{capacity, memory};
use crate::cluster::{Programs, Survey};
use crate::event::{Evidence, Failure, Symptom};
use crate::machine::open_files;
use crate::matrix::Cell;

/// How many open files the runner and the mock need per agent: for its log, its pipes and its connections.
const FILES_PER_NODE: u64 = 12;
/// How many open files they need in addition, regardless of the number of agents.
const FILES: u64 = 256;
/// The approximate memory of an agent's process, in bytes.
pub(super) const MEMORY_PER_NODE: u64 = 12 * 1024 * 1024;

/// Checks all requirements. `refusal` says why pods can't be isolated, and how to change that.
pub(super) fn examine(
    programs: &Programs,
    refusal: Option<String>,
    cells: &[Cell],
) -> Result<Survey, Failure> {
    let nodes = cells.iter().map(|cell| cell.nodes.get()).max().unwrap_or(1) as u64;
    let mut evidence: Vec<Evidence> = Vec::new();
    for cell in cells {
        let programs = programs.of(cell);
        let mut rows = executables(&programs, cell)?;
        rows.push(isolated(&programs, refusal.as_deref())?);
        for row in rows {
            if !evidence.contains(&row) {
                evidence.push(row);
            }
        }
    }
    evidence.extend(open_files(FILES + nodes * FILES_PER_NODE)?);
    evidence.extend(memory(nodes * MEMORY_PER_NODE)?);
    Ok(Survey {
        evidence,
        notices: refusal.into_iter().collect(),
        ..Survey::default()
    })
}

/// Fails if a program other than the runner's own would run without isolation, because it could write to the host.
fn isolated(programs: &Programs, refusal: Option<&str>) -> Result<Evidence, Failure> {
    let agent = programs.agent.as_ref().map(|path| ("agent", path));
    let mock = programs.mock.as_ref().map(|path| ("mock", path));
    let seen = match (refusal, agent.or(mock)) {
        (None, _) => "namespaces",
        (Some(_), None) => "none: the programs are the runner's own",
        (Some(refusal), Some((role, path))) => {
            let path = path.display();
            let message = format!(
                "{path} (`[images.{role}] binary`) can't be run, because it could write to the host: {refusal}"
            );
            return Err(Failure::new(Symptom::ProcessFailed, message)
                .with_remedy("permit namespaces, or run the cells with `--provider kind`"));
        }
    };
    Ok(Evidence::new("isolation of pods", "namespaces", seen, true))
}

/// Checks that both programs of `cell` can be executed. Returns one row of evidence per program.
pub(super) fn executables(programs: &Programs, cell: &Cell) -> Result<Vec<Evidence>, Failure> {
    let mut rows = Vec::new();
    for role in [Role::Agent, Role::Mock] {
        let (path, subcommand) = program(programs, role);
        let seen = path.display();
        if !is_executable(&path) {
            let message = format!("{seen} is not an executable file");
            return Err(match subcommand {
                None => Failure::new(Symptom::BadConfiguration, message)
                    .with_remedy(format!("correct `binary` under `{}`", table(role, cell))),
                Some(_) => Failure::new(Symptom::ProcessFailed, message),
            });
        }
        let subject = format!("program of {}", role.name());
        rows.push(Evidence::new(subject, "an executable file", seen, true));
    }
    Ok(rows)
}

/// The table of the matrix file that sets the program.
fn table(role: Role, cell: &Cell) -> &str {
    let own = cell.variant.program.as_ref();
    match role {
        Role::Agent => own.map_or("[images.agent]", |program| &program.table),
        Role::Mock => "[images.mock]",
    }
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Checks that this process may open `need` files; `None` if their number is unlimited.
fn open_files(need: u64) -> Result<Option<Evidence>, Failure> {
    let Some(has) = open_files::raise() else {
        return Ok(None);
    };
    let remedy = format!(
        "raise the limit with `ulimit -n {need}`; if the shell refuses, the hard limit is too low, and only root can raise it"
    );
    capacity("the open-file limit", need, has, "files", &remedy).map(Some)
}
