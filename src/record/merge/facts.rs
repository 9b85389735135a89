//! The facts of a merged run, combined from the facts of its parts.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::Part;
use crate::event::{CellSummary, FlakyResult, HostFacts, PartFacts, RunFacts};
use crate::matrix::{KubernetesVersion, short_hash};
use crate::record::unique;

/// How many characters of a hash distinguish merges of runs that started in the same second.
const TOKEN_LENGTH: usize = 5;

/// The facts of the merge of `parts`.
pub(super) fn merged(parts: &[Part], origins: Vec<PartFacts>) -> RunFacts {
    let facts = || parts.iter().map(|part| &part.facts);
    let texts = |text: fn(&RunFacts) -> &str| unique(facts().map(text)).join(", ");
    let mut flaky_results = facts().map(|facts| facts.flaky_result);
    let strict = flaky_results.find(|result| *result == FlakyResult::Fail);
    let cells = parts.iter().flat_map(Part::cells);
    let mut cells: Vec<CellSummary> = cells.map(|cell| cell.summary.clone()).collect();
    cells.sort_by_cached_key(position);
    RunFacts {
        run: id(parts),
        runner: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: texts(|facts| &facts.matrix),
        filters: unique(facts().flat_map(|facts| &facts.filters)),
        provider: texts(|facts| &facts.provider),
        provider_reason: facts().find_map(|facts| facts.provider_reason.clone()),
        jobs: jobs(parts),
        flaky_result: strict.unwrap_or_default(),
        host: host(parts),
        rerun_of: None,
        selection_digest: None,
        shard: None,
        parts: origins,
        // The commands of all parts, which may come from different versions of the matrix file.
        commands: unique(facts().flat_map(|facts| &facts.commands)),
        cells,
    }
}

/// A key that sorts cells as in the matrix: by axes, then by repetition.
fn position(cell: &CellSummary) -> impl Ord + use<> {
    let version: Option<KubernetesVersion> = cell.kubernetes.parse().ok();
    let cell = cell.clone();
    (
        version,
        cell.nodes,
        cell.config,
        cell.axes,
        cell.id.number(),
        cell.id,
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

/// How many cells ran at once: the sum over parts that ran at the same time, such as shards. A run and its rerun aren't
/// added up.
fn jobs(parts: &[Part]) -> usize {
    let jobs_at = |time: Timestamp| {
        let running = parts
            .iter()
            .filter(|part| part.started <= time && time <= part.ended);
        running.fold(0, |sum: usize, part| sum.saturating_add(part.facts.jobs))
    };
    let jobs = parts.iter().map(|part| jobs_at(part.started));
    jobs.max().unwrap_or_default()
}

/// The machine on which the parts ran. If they ran on several machines, these machines are combined.
fn host(parts: &[Part]) -> HostFacts {
    let mut hosts: Vec<&HostFacts> = Vec::new();
    for part in parts {
        if !hosts.iter().any(|host| host.name == part.facts.host.name) {
            hosts.push(&part.facts.host);
        }
    }
    let texts =
        |text: fn(&HostFacts) -> &str| unique(hosts.iter().map(|host| text(host))).join(", ");
    let cpus = hosts.iter().map(|host| host.cpus);
    let memory = hosts.iter().map(|host| host.memory_bytes);
    HostFacts {
        name: texts(|host| &host.name),
        platform: texts(|host| &host.platform),
        cpus: cpus.fold(0, usize::saturating_add),
        memory_bytes: memory.fold(0, u64::saturating_add),
        tools: unique(hosts.iter().flat_map(|host| &host.tools)),
    }
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
