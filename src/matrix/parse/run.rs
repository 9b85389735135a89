//! `[run]`, `[existing]` and `[phases.*]`.

use std::collections::BTreeSet;

use serde_json::json;

use super::from_env;
use super::keys::{Table, keys, schema};
use super::reader::Entry;
use super::shape::{Shape, boolean, choice, duration, integer, list, name, parsed, path, text};
use crate::matrix::nearest::quoted;
use crate::matrix::problem::Problem;
use crate::matrix::{
    Existing, FlakyResult, Jobs, Keep, MAX_RETRIES, Phase, PhaseSettings, PortRange, Prefix,
    Prepared, ProviderChoice, RestartScope, RetryClass, RunSettings,
};
use crate::secret::Secret;

/// `[run]`.
pub(super) fn run(keys: &mut Table<'_>) -> RunSettings {
    let mut run = RunSettings::default();
    keys! { keys;
        /// `"kind"`, `"local"`, `"existing"`, or `"auto"`: kind if it is available, otherwise local.
        "provider": choice(ProviderChoice::NAMES) => run.provider;
        /// How many cells run at once: 1 to 10000, or `"auto"` for as many as [the machine can handle](budget.md).
        "jobs": jobs() => run.jobs;
        /// The range of forwarded ports, 1024 and above, one per cell. With `"any"`, the kernel chooses. A range with
        /// fewer ports than `jobs` is rejected.
        "ports": ports() => run.ports;
        /// The prefix of each cluster's name: `[a-z][a-z0-9-]*`, at most 16 characters, without `-` at the end.
        "cluster-prefix": prefix() => run.prefix;
        /// Use [settings that make a kind cluster usable sooner](kind.md#settings-that-make-clusters-usable-sooner);
        /// `false` uses kind's defaults.
        "fast-setup": boolean() => run.fast_setup;
        /// When to keep a cell's cluster for debugging: `"never"`, `"failed"`, `"always"`. See
        /// [keeping](keep-and-reuse.md).
        "keep": choice(Keep::NAMES) => run.keep;
        /// Whether kind clusters may be clones of prepared ones: `"auto"`, `"never"`. See
        /// [prepared clusters](prepared.md).
        "prepared": choice(Prepared::NAMES) => run.prepared;
        /// Let cells that need the same cluster and agent image share a kind cluster, one after another. See
        /// [reusing](keep-and-reuse.md#--reuse).
        "reuse": boolean() => run.reuse;
        /// Skip cells whose node image is neither local nor in its registry, instead of ending the run with an
        /// infrastructure failure.
        "skip-missing-images": boolean() => run.skip_missing_images;
        /// Texts to [mask](reports.md#secrets) in all output, in addition to the values with secret names. Each needs
        /// at least 4 bytes, and can [come from the environment](#values-from-the-environment).
        "secrets": list(from_env::or(secret())) => run.secrets;
        /// How many times a cell is retried, 0 to 100. An explicit `0` also turns off the retries of phases. Each phase
        /// has [its own default](retries.md).
        "retries": retries() => run.retry.retries;
        /// Which classes of failures are retried: `"product"`, `"infrastructure"`.
        "retry-on": retry_classes() => run.retry.on;
        /// The delay before the first retry: greater than zero and at most 24 hours. It doubles with each further
        /// retry, up to a minute. A delay of more than a minute doesn't change.
        "retry-backoff": duration() => run.retry.backoff;
        /// How to count a cell that passed on a retry: `"pass"` or `"fail"`.
        "flaky-result": choice(FlakyResult::NAMES) => run.retry.flaky_result;
    }
    enough_ports(&run, keys);
    run
}

/// `[existing]`.
pub(super) fn existing(keys: &mut Table<'_>) -> Existing {
    let mut existing = Existing::default();
    keys! { keys;
        /// The kubeconfig's context; by default its current one.
        "context": name() => existing.context;
        /// The kubeconfig, relative to the matrix file; by default the user's own. It is never written.
        "kubeconfig": path() => existing.kubeconfig;
    }
    existing
}

fn jobs() -> Shape<Jobs> {
    let max = Jobs::MAX;
    let help = format!("1 to {max}, or `\"auto\"` for as many as the machine can handle");
    let number = integer::<usize>(1..=max as u64, &help);
    let schema = json!({ "anyOf": [number.schema, { "enum": ["auto"] }] });
    let read = move |entry: Entry<'_>| {
        if entry.value.is_integer() {
            return number.read(entry).and_then(Jobs::exactly);
        }
        if entry.value.as_str() == Some("auto") {
            return Some(Jobs::Auto);
        }
        entry.fail("`jobs` must be an integer or `\"auto\"`", &help)
    };
    Shape::new(schema, read).written(|jobs| match jobs {
        Jobs::Auto => json!("auto"),
        Jobs::Exactly(number) => json!(number),
    })
}

fn ports() -> Shape<PortRange> {
    const HELP: &str = "for example `\"18080-18999\"`, or `\"any\"` to let the kernel choose";
    let range = parsed(str::parse::<PortRange>, HELP).guarded(|entry| {
        if entry.value.is_str() {
            return Some(());
        }
        entry.fail("`ports` must be a quoted range, or `\"any\"`", HELP)
    });
    range.with("pattern", "^(any|[0-9]+-[0-9]+)$")
}

fn prefix() -> Shape<Prefix> {
    parsed(Prefix::parse, "for example `plexd-e2e`")
        .with("pattern", "^[a-z]([a-z0-9-]*[a-z0-9])?$")
        .with("maxLength", Prefix::MAX)
}

/// How many times a cell is retried.
fn retries() -> Shape<u32> {
    let help = format!("0 to {MAX_RETRIES} retries");
    integer(0..=u64::from(MAX_RETRIES), help)
}

fn retry_classes() -> Shape<BTreeSet<RetryClass>> {
    let retried = choice(RetryClass::NAMES).guarded(|entry| {
        if entry.value.as_str() != Some("configuration") {
            return Some(());
        }
        let message = "failures of class configuration are never retried";
        let help = "a retry would fail in the same way: remove `configuration` from `retry-on`";
        entry.fail(message, help)
    });
    list(retried)
        .map(BTreeSet::from_iter)
        .written(|classes: &BTreeSet<_>| classes.iter().map(|class| json!(class.name())).collect())
}

fn secret() -> Shape<String> {
    let long_enough = text().checked(
        |text, _| {
            let message = || format!("the secret is shorter than {} bytes", Secret::SHORTEST);
            Secret::new(text).is_too_short().then(message)
        },
        "masking it would also hide unrelated text: use a longer secret, or remove it",
    );
    long_enough.with("minLength", 1)
}

/// Reports a range with fewer ports than jobs: each cell that runs at the same time needs its own port.
fn enough_ports(run: &RunSettings, table: &Table<'_>) {
    let given = table.get("jobs").zip(table.get("ports"));
    if let (Some((jobs, ports)), Jobs::Exactly(count)) = (given, run.jobs)
        && let Some(room) = run.ports.len().filter(|room| *room < count.get())
        // If they differ, the range couldn't be read, which is already reported.
        && ports.value.as_str().is_some_and(|text| text.parse() == Ok(run.ports.clone()))
    {
        let message = format!("{room} ports are too few for {count} jobs");
        let help = "widen the range, lower `jobs`, or use `ports = \"any\"`";
        let problem = Problem::at(ports.span, message, help);
        let problem = problem.and_at(jobs.span, "each job needs a port");
        table.document.report(problem);
    }
}

/// `[phases]`.
pub(super) fn phases(keys: &mut Table<'_>) -> PhaseSettings {
    let mut settings = PhaseSettings::default();
    for phase in Phase::ALL {
        let schema = || schema(|keys| settings_of(phase, keys, &mut PhaseSettings::default()));
        let entry = keys.entry(phase.name(), "The settings of the phase.", schema);
        let table = entry.and_then(|entry| entry.table(format!("`[phases.{phase}]`")));
        if let Some(table) = table {
            table.read(|keys| settings_of(phase, keys, &mut settings));
        }
    }
    settings
}

/// `[phases.<phase>]`.
pub(super) fn settings_of(phase: Phase, keys: &mut Table<'_>, settings: &mut PhaseSettings) {
    keys! { keys;
        /// The timeout of the phase.
        "timeout": duration() => settings[phase].timeout;
        /// How many times a cell is retried if it failed in this phase.
        "retries": retries_of(phase) => settings[phase].retries;
        /// `false` skips the phase.
        "run": runs(phase) => settings[phase].runs;
    }
    if phase == Phase::Readiness {
        keys! { keys;
            /// The timeout for the mock's Deployment.
            "mock-timeout": duration() => settings.mock_timeout;
        }
    }
    if phase == Phase::Restart {
        keys! { keys;
            /// How many agents are deleted, `"one"` or `"all"`.
            "agents": choice(RestartScope::NAMES) => settings.restart;
        }
    }
}

fn retries_of(phase: Phase) -> Shape<u32> {
    let reason = if phase == Phase::Preflight {
        "it runs once for all cells"
    } else if phase == Phase::Cleanup {
        "another attempt would only leave more resources behind"
    } else {
        return retries();
    };
    let problem = move |retries: &u32, _: &str| {
        let message = || format!("a cell that failed in `{phase}` is never retried");
        (*retries > 0).then(message)
    };
    retries().checked(problem, reason)
}

fn runs(phase: Phase) -> Shape<bool> {
    let phases = Phase::ALL.into_iter();
    let optional = phases.filter(|phase| phase.can_be_turned_off());
    let problem = move |runs: &bool, _: &str| {
        let message = || format!("`{phase}` can't be skipped, because every cell needs it");
        (!runs && !phase.can_be_turned_off()).then(message)
    };
    let help = format!("these phases can be skipped: {}", quoted(optional));
    boolean().checked(problem, help)
}
