//! The facts of a merged run: the values that its parts share, and the sums of the others.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::Part;
use crate::event::{
    AxisFacts, CellSummary, CommandFacts, FlakyResult, HostFacts, PartFacts, RunFacts,
};
use crate::matrix::{CellId, KubernetesVersion, short_hash};

/// How many characters of a hash distinguish merges of runs that started in the same second.
const TOKEN_LENGTH: usize = 5;

/// The facts of the merge of `parts`; `owns` says which part reports a cell.
pub(super) fn merged(
    parts: &[Part],
    origins: Vec<PartFacts>,
    owns: impl Fn(usize, &CellId) -> bool,
) -> RunFacts {
    let facts = || parts.iter().map(|part| &part.facts);
    let strict = facts().any(|facts| facts.flaky_result == FlakyResult::Fail);
    let mut cells: Vec<CellSummary> = parts
        .iter()
        .enumerate()
        .flat_map(|(index, part)| {
            part.run
                .cells
                .iter()
                .map(move |cell| (index, &cell.summary))
        })
        .filter(|(index, summary)| owns(*index, &summary.id))
        .map(|(_, summary)| summary.clone())
        .collect();
    cells.sort_by(|one, other| position(one).cmp(&position(other)));
    RunFacts {
        run: id(parts),
        runner: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: unique(facts().map(|facts| facts.matrix.as_str())).join(", "),
        filters: unique(facts().flat_map(|facts| facts.filters.iter().map(String::as_str))),
        provider: unique(facts().map(|facts| facts.provider.as_str())).join(", "),
        provider_reason: facts().find_map(|facts| facts.provider_reason.clone()),
        jobs: facts().fold(0, |sum, facts| sum.saturating_add(facts.jobs)),
        flaky_result: if strict {
            FlakyResult::Fail
        } else {
            FlakyResult::Pass
        },
        host: host(parts),
        rerun_of: None,
        selection_digest: None,
        shard: None,
        parts: origins,
        commands: commands(parts),
        cells,
    }
}

/// The commands of all parts, which may come from different versions of the matrix file.
fn commands(parts: &[Part]) -> Vec<CommandFacts> {
    let mut all: Vec<CommandFacts> = Vec::new();
    for command in parts.iter().flat_map(|part| &part.facts.commands) {
        if !all.contains(command) {
            all.push(command.clone());
        }
    }
    all
}

/// The position in the matrix: its axes, then repetitions.
fn position(
    cell: &CellSummary,
) -> (
    Option<KubernetesVersion>,
    usize,
    &str,
    &[AxisFacts],
    Option<u32>,
    &CellId,
) {
    let version = cell.kubernetes.parse().ok();
    (
        version,
        cell.nodes,
        &cell.config,
        &cell.axes,
        cell.repetition,
        &cell.id,
    )
}

/// The id of the merged run; the same parts always give the same id.
fn id(parts: &[Part]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let (started, run, cells) = part.key();
        hash.update(format!("{started} {run}\n"));
        for cell in cells {
            hash.update(format!("  {cell}\n"));
        }
    }
    let first = Part::first_start(parts).to_zoned(TimeZone::UTC);
    let token = &short_hash(hash)[..TOKEN_LENGTH];
    format!("merged-{}-{token}", first.strftime("%Y%m%dT%H%M%SZ"))
}

/// The machine on which the parts ran. If they ran on several machines, all of them combined.
fn host(parts: &[Part]) -> HostFacts {
    let mut hosts: Vec<&HostFacts> = Vec::new();
    for part in parts {
        if !hosts.iter().any(|host| host.name == part.facts.host.name) {
            hosts.push(&part.facts.host);
        }
    }
    let texts = |text: fn(&HostFacts) -> &str| unique(hosts.iter().map(|host| text(host)));
    HostFacts {
        name: texts(|host| &host.name).join(", "),
        platform: texts(|host| &host.platform).join(", "),
        cpus: hosts
            .iter()
            .fold(0, |sum, host| sum.saturating_add(host.cpus)),
        memory_bytes: hosts
            .iter()
            .fold(0, |sum, host| sum.saturating_add(host.memory_bytes)),
        tools: unique(
            hosts
                .iter()
                .flat_map(|host| host.tools.iter().map(String::as_str)),
        ),
    }
}

/// Each text once, in the order of first occurrence.
fn unique<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let first = texts.filter(|text| seen.insert(*text));
    first.map(str::to_owned).collect()
}

/// The time during which at least one of `parts` ran, in milliseconds: overlapping time counts once, and gaps don't
/// count.
pub(super) fn duration_ms(parts: &[Part]) -> u64 {
    let mut sum = 0;
    let mut busy_until = i64::MIN;
    // The parts are sorted by their start.
    for part in parts {
        let start = part.started.as_millisecond().max(busy_until);
        let taken = i64::try_from(part.run.duration_ms).unwrap_or(i64::MAX);
        let end = part.started.as_millisecond().saturating_add(taken);
        sum += u64::try_from(end.saturating_sub(start)).unwrap_or(0);
        busy_until = busy_until.max(end);
    }
    sum
}
