//! `[deploy]`, `[run]` and `[existing]`, with defaults.

use toml::de::DeValue;

use super::from_env;
use super::images::path;
use super::reader::{Entry, Located, Table};
use super::retry;
use crate::matrix::problem::Problem;
use crate::matrix::{
    Deploy, Existing, FromEnv, Jobs, Keep, Manifests, PortRange, Prefix, Prepared, ProviderChoice,
    RunSettings,
};
use crate::secret::Secret;

/// The `[deploy]` table.
pub(super) fn deploy(root: &Table<'_>) -> Deploy {
    let Some(table) = root.table("deploy") else {
        return Deploy::default();
    };
    table.only(&[
        "manifests",
        "chart",
        "values",
        "daemonset",
        "agent-config",
        "mock",
        "probes",
    ]);
    let daemon_set = table.get("daemonset");
    let probes = table.get("probes").and_then(|entry| entry.boolean());
    Deploy {
        manifests: manifests(&table),
        daemon_set: daemon_set
            .and_then(|entry| entry.plain_text())
            .map(str::to_owned),
        agent_config: table.get("agent-config").and_then(path),
        mock: table.get("mock").and_then(path),
        probes: probes.unwrap_or(Deploy::default().probes),
    }
}

/// `manifests`, or `chart` and `values`.
pub(super) fn manifests(table: &Table<'_>) -> Manifests {
    let (manifests, chart) = (table.get("manifests"), table.get("chart"));
    let values = table.get("values");
    if let (Some(manifests), Some(_)) = (&manifests, &chart) {
        manifests.problem(
            "`manifests` and `chart` exclude each other",
            "",
            "keep the one from which the agent is deployed",
        );
    }
    if let (Some(values), None) = (&values, &chart) {
        values.problem(
            "`values` has no effect without `chart`",
            "",
            "add `chart = \"path/to/chart\"`, or remove `values`",
        );
    }
    if let Some(at) = chart.and_then(path) {
        let values = values.and_then(|entry| entry.list());
        let values = values.unwrap_or_default().into_iter();
        return Manifests::Chart {
            path: at,
            values: values.filter_map(path).collect(),
        };
    }
    manifests
        .and_then(path)
        .map_or(Manifests::BuiltIn, Manifests::At)
}

/// The `[run]` table.
pub(super) fn run(root: &Table<'_>) -> RunSettings {
    let default = RunSettings::default();
    let Some(table) = root.table("run") else {
        return default;
    };
    let own: &[&str] = &[
        "provider",
        "jobs",
        "ports",
        "cluster-prefix",
        "fast-setup",
        "keep",
        "prepared",
        "reuse",
        "skip-missing-images",
        "secrets",
    ];
    table.only(&[own, &retry::KEYS].concat());
    let jobs = table.get("jobs").and_then(jobs);
    let ports = table.get("ports").and_then(ports);
    if let (Some(jobs), Some(ports)) = (&jobs, &ports) {
        enough_ports(&table, jobs, ports);
    }
    let fast_setup = table.get("fast-setup").and_then(|entry| entry.boolean());
    let reuse = table.get("reuse").and_then(|entry| entry.boolean());
    let skips = table.get("skip-missing-images");
    let skips = skips.and_then(|entry| entry.boolean());
    let (secrets, secrets_from_env) = secrets(&table);
    RunSettings {
        provider: table
            .get("provider")
            .and_then(provider)
            .unwrap_or(default.provider),
        jobs: jobs.map_or(default.jobs, |jobs| jobs.value),
        ports: ports.map_or(default.ports, |ports| ports.value),
        prefix: table
            .get("cluster-prefix")
            .and_then(prefix)
            .unwrap_or(default.prefix),
        fast_setup: fast_setup.unwrap_or(default.fast_setup),
        keep: table.get("keep").and_then(keep).unwrap_or(default.keep),
        reuse: reuse.unwrap_or(default.reuse),
        prepared: table
            .get("prepared")
            .and_then(prepared)
            .unwrap_or(default.prepared),
        skip_missing_images: skips.unwrap_or(default.skip_missing_images),
        retry: retry::settings(&table),
        secrets,
        secrets_from_env,
    }
}

/// `secrets`: those in the file, and those from the environment.
fn secrets(run: &Table<'_>) -> (Vec<String>, Vec<FromEnv<()>>) {
    let listed = run.get("secrets").and_then(|entry| entry.list());
    let (mut texts, mut references) = (Vec::new(), Vec::new());
    for entry in listed.into_iter().flatten() {
        if from_env::is_reference(entry) {
            references.extend(from_env::read(entry, ()));
        } else if let Some(text) = entry.text() {
            if Secret::new(text).is_too_short() {
                entry.problem(
                    format!(
                        "a secret of fewer than {} bytes can't be masked",
                        Secret::SHORTEST
                    ),
                    "",
                    "it would be found everywhere: use a longer one, or remove it",
                );
            }
            texts.push(text.to_owned());
        }
    }
    (texts, references)
}

/// The `[existing]` table.
pub(super) fn existing(root: &Table<'_>) -> Existing {
    let Some(table) = root.table("existing") else {
        return Existing::default();
    };
    table.only(&["context", "kubeconfig"]);
    let context = table.get("context").and_then(|entry| entry.plain_text());
    Existing {
        context: context.map(str::to_owned),
        kubeconfig: table.get("kubeconfig").and_then(path),
    }
}

fn provider(entry: Entry<'_>) -> Option<ProviderChoice> {
    entry.choice(&ProviderChoice::ALL.map(|choice| (choice.name(), choice)))
}

fn prepared(entry: Entry<'_>) -> Option<Prepared> {
    entry.choice(&[("auto", Prepared::Auto), ("never", Prepared::Never)])
}

fn keep(entry: Entry<'_>) -> Option<Keep> {
    entry.choice(&[
        ("never", Keep::Never),
        ("failed", Keep::Failed),
        ("always", Keep::Always),
    ])
}

fn prefix(entry: Entry<'_>) -> Option<Prefix> {
    let prefix = entry.parsed(Prefix::parse, "for example `plexd-e2e`")?;
    Some(prefix.value)
}

fn jobs(entry: Entry<'_>) -> Option<Located<Jobs>> {
    let help = format!(
        "1 to {}, or `\"auto\"` for as many as the machine takes",
        Jobs::MOST
    );
    if let DeValue::Integer(_) = entry.value {
        let number = entry.integer(1..=Jobs::MOST as u64, &help)?;
        let jobs = usize::try_from(number).ok().and_then(Jobs::exactly);
        return jobs.map(|jobs| entry.located(jobs));
    }
    if entry.value.as_str() == Some("auto") {
        return Some(entry.located(Jobs::Auto));
    }
    entry.problem("`jobs` must be an integer or `\"auto\"`", "", help);
    None
}

fn ports(entry: Entry<'_>) -> Option<Located<PortRange>> {
    const HELP: &str = "for example `\"18080-18999\"`, or `\"any\"` to let the kernel choose";
    if entry.value.as_str().is_none() {
        entry.problem("`ports` must be a range in quotes, or `\"any\"`", "", HELP);
        return None;
    }
    entry.parsed(str::parse::<PortRange>, HELP)
}

/// Each cell that runs at the same time needs a port.
fn enough_ports(run: &Table<'_>, jobs: &Located<Jobs>, ports: &Located<PortRange>) {
    let (Jobs::Exactly(count), Some(room)) = (jobs.value, ports.value.len()) else {
        return;
    };
    if room < count.get() {
        run.report.add(
            Problem::at(
                ports.span,
                format!("{room} ports are too few for {count} jobs"),
                "",
            )
            .and_at(jobs.span, "each of these needs a port")
            .with_help("widen the range, lower `jobs`, or take `ports = \"any\"`"),
        );
    }
}
