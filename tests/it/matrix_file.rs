//! Valid matrix files: all keys, all defaults, and the effect of tables on cells.

use std::path::Path;
use std::time::Duration;

use e2e_matrix::matrix::{
    Build, Cell, Counter, Deploy, Expectation, FlakyResult, ImageSource, Images, Jobs, Keep,
    Manifests, Matrix, Phase, PhaseSettings, PortRange, ProviderChoice, RestartScope, RetryClass,
    RunSettings,
};
use serde_json::json;

fn parsed(text: &str) -> Matrix {
    match Matrix::parse("matrix.toml", text) {
        Ok(matrix) => matrix,
        Err(problems) => panic!("{problems}: {:?}", problems.iter().collect::<Vec<_>>()),
    }
}

fn ids(matrix: &Matrix) -> Vec<&str> {
    matrix.cells.iter().map(|cell| cell.id.as_str()).collect()
}

fn cell<'m>(matrix: &'m Matrix, id: &str) -> &'m Cell {
    let found = matrix.cells.iter().find(|cell| cell.id.as_str() == id);
    found.expect("the matrix has the cell")
}

fn tags(cell: &Cell) -> Vec<&str> {
    cell.tags.iter().map(String::as_str).collect()
}

#[test]
fn the_smallest_file_has_every_default() {
    let matrix = parsed("[matrix]\nkubernetes = [\"1.36\"]\n");
    assert_eq!(ids(&matrix), ["k8s-1.36-n1-default"]);
    assert_eq!(matrix.images, Images::default());
    assert_eq!(matrix.deploy, Deploy::default());
    assert_eq!(matrix.run, RunSettings::default());
    assert_eq!(matrix.phases, PhaseSettings::default());
    let only = &matrix.cells[0];
    assert!(only.variant.agent.is_empty());
    assert!(only.tags.is_empty() && !only.allow_failure && only.node_image.is_none());
    assert_eq!(
        only.variant.expect.of(Counter::AuditCount),
        Expectation::AtLeast(1)
    );
}

#[test]
fn included_cells_come_last_and_existing_ones_keep_their_position() {
    let matrix = parsed(
        r#"
        [matrix]
        kubernetes = ["1.33", "1.30"]
        nodes = [3, 1]

        [[matrix.exclude]]
        kubernetes = "1.30"
        nodes = 3

        [[matrix.include]]
        kubernetes = "1.36"
        nodes = 5
        config = "default"

        [[matrix.include]]
        kubernetes = "1.33"
        nodes = 1
        config = "default"
        tags = ["soak"]

        [[matrix.include]]
        kubernetes = "1.30"
        nodes = 3
        config = "default"
        "#,
    );
    assert_eq!(
        ids(&matrix),
        [
            "k8s-1.33-n3-default",
            "k8s-1.33-n1-default",
            "k8s-1.30-n1-default",
            "k8s-1.36-n5-default",
            "k8s-1.30-n3-default",
        ]
    );
    assert_eq!(tags(cell(&matrix, "k8s-1.33-n1-default")), ["soak"]);
}

#[test]
fn tags_and_allow_failure_apply_to_every_cell_with_their_value() {
    let matrix = parsed(
        r#"
        [matrix]
        kubernetes = ["1.33", "1.36"]
        config = ["default", "fast"]

        [[matrix.include]]
        kubernetes = "1.36"
        nodes = 1
        config = "fast"
        tags = ["cell"]
        allow-failure = false

        [kubernetes."1.36"]
        image = "kindest/node:v1.36.3@sha256:0123"
        tags = ["newest", "nightly"]
        allow-failure = true

        [config.fast]
        tags = ["nightly", "quick"]
        "#,
    );
    let newest = cell(&matrix, "k8s-1.36-n1-default");
    assert_eq!(tags(newest), ["newest", "nightly"]);
    assert!(newest.allow_failure);
    assert_eq!(
        newest.node_image.as_deref(),
        Some("kindest/node:v1.36.3@sha256:0123")
    );
    let included = cell(&matrix, "k8s-1.36-n1-fast");
    assert_eq!(tags(included), ["cell", "newest", "nightly", "quick"]);
    assert!(
        !included.allow_failure,
        "the cell's own setting takes precedence"
    );
    let fast = cell(&matrix, "k8s-1.33-n1-fast");
    assert_eq!(tags(fast), ["nightly", "quick"]);
    assert!(!fast.allow_failure && fast.node_image.is_none());
}

#[test]
fn the_settings_of_agent_and_kind_are_passed_on_unchanged() {
    let matrix = parsed(
        r#"
        [matrix]
        kubernetes = ["1.36"]
        config = ["fast"]

        [config.fast]
        agent = { heartbeat = { interval = "500ms", jitter = 0.5 }, retries = 0x10, list = [1, "a", true] }
        env = { RUST_LOG = "debug", "dotted.name" = "" }
        kind = { featureGates = { A = true }, kubeadmConfigPatches = ["kind: ClusterConfiguration"] }

        [config.fast.expect]
        heartbeat_count = 3
        local_logs_count = 0
        registration_count = { exactly = 1 }
        audit_count = "any"
        "#,
    );
    let variant = &matrix.cells[0].variant;
    assert_eq!(
        serde_json::Value::from(variant.agent.clone()),
        json!({
            "heartbeat": { "interval": "500ms", "jitter": 0.5 },
            "retries": 16,
            "list": [1, "a", true],
        })
    );
    assert_eq!(variant.env["RUST_LOG"], "debug");
    assert_eq!(variant.env["dotted.name"], "");
    assert_eq!(
        serde_json::Value::from(variant.kind.clone()),
        json!({
            "featureGates": { "A": true },
            "kubeadmConfigPatches": ["kind: ClusterConfiguration"],
        })
    );
    let expect = |counter| variant.expect.of(counter);
    assert_eq!(expect(Counter::HeartbeatCount), Expectation::AtLeast(3));
    assert_eq!(expect(Counter::LocalLogsCount), Expectation::AtLeast(0));
    assert_eq!(expect(Counter::RegistrationCount), Expectation::Exactly(1));
    assert_eq!(expect(Counter::AuditCount), Expectation::Any);
    assert_eq!(expect(Counter::DriftCount), Expectation::AtLeast(1));
}

#[test]
fn images_have_a_tag_or_are_built() {
    let matrix = parsed(
        r#"
        [matrix]
        kubernetes = ["1.36"]

        [images.agent]
        image = "registry.example:5000/plexd:1.4"
        binary = "bin/plexd"

        [images.mock]
        build = { context = "mock", args = { BASE = "scratch" } }
        "#,
    );
    let Images { agent, mock } = matrix.images;
    assert_eq!(
        agent.image,
        ImageSource::Tag("registry.example:5000/plexd:1.4".to_owned())
    );
    assert_eq!(agent.binary.as_deref(), Some(Path::new("bin/plexd")));
    assert_eq!(
        mock.image,
        ImageSource::Build(Build {
            dockerfile: "mock/Dockerfile".into(),
            context: "mock".into(),
            args: [("BASE".to_owned(), "scratch".to_owned())].into(),
        })
    );
    assert_eq!(mock.binary, None);
}

#[test]
fn settings_are_read() {
    let matrix = parsed(
        r#"
        [matrix]
        kubernetes = ["1.36"]

        [deploy]
        manifests = "deploy"
        mock = "mock.yaml"
        probes = false

        [run]
        provider = "local"
        jobs = 4
        ports = "20000-20003"
        cluster-prefix = "nightly"
        fast-setup = false
        keep = "failed"
        reuse = true
        retries = 2
        retry-on = ["product", "infrastructure"]
        retry-backoff = "3s"
        flaky-result = "fail"

        [existing]
        context = "staging"
        kubeconfig = "kubeconfig"

        [phases.readiness]
        timeout = "2m 30s"
        mock-timeout = "500ms"

        [phases.restart]
        agents = "all"
        retries = 3

        [phases.cleanup]
        retries = 0
        "#,
    );
    assert_eq!(matrix.deploy.manifests, Manifests::At("deploy".into()));
    assert_eq!(matrix.deploy.mock.as_deref(), Some(Path::new("mock.yaml")));
    assert!(!matrix.deploy.probes);
    assert_eq!(matrix.run.provider, ProviderChoice::Local);
    assert!(matches!(matrix.run.jobs, Jobs::Exactly(count) if count.get() == 4));
    assert_eq!(matrix.run.ports, PortRange::Between(20000..=20003));
    assert_eq!(matrix.run.prefix.as_str(), "nightly");
    assert!(!matrix.run.fast_setup);
    assert_eq!((matrix.run.keep, matrix.run.reuse), (Keep::Failed, true));
    assert_eq!(matrix.existing.context.as_deref(), Some("staging"));
    assert_eq!(
        matrix.existing.kubeconfig.as_deref(),
        Some(Path::new("kubeconfig"))
    );
    let retry = &matrix.run.retry;
    assert_eq!(retry.retries, Some(2));
    assert_eq!(
        retry.on,
        [RetryClass::Product, RetryClass::Infrastructure].into()
    );
    assert_eq!(retry.backoff, Duration::from_secs(3));
    assert_eq!(retry.flaky_result, FlakyResult::Fail);
    assert_eq!(
        [
            Phase::Cluster,
            Phase::Restart,
            Phase::Readiness,
            Phase::Cleanup
        ]
        .map(|phase| matrix.phases[phase].retries),
        [1, 3, 0, 0]
    );
    assert_eq!(
        matrix.phases[Phase::Readiness].timeout,
        Duration::from_secs(150)
    );
    assert_eq!(
        matrix.phases[Phase::Images].timeout,
        Duration::from_secs(180)
    );
    assert_eq!(matrix.phases.mock_timeout, Duration::from_millis(500));
    assert_eq!(matrix.phases.restart, RestartScope::All);
}

#[test]
fn automatic_choices_can_be_written_out() {
    let matrix = parsed(
        "[matrix]\nkubernetes = [\"1.36\"]\n[run]\nprovider = \"auto\"\njobs = \"auto\"\nports = \"any\"\n",
    );
    assert_eq!(matrix.run.ports, PortRange::Any);
    assert_eq!(matrix.run.jobs, Jobs::Auto);
    assert_eq!(matrix.run.provider, ProviderChoice::Auto);
}

#[test]
fn a_matrix_may_have_no_cells() {
    assert!(parsed("[matrix]\nkubernetes = []\n").cells.is_empty());
    let excluded = "[matrix]\nkubernetes = [\"1.36\"]\n[[matrix.exclude]]\nkubernetes = \"1.36\"\n";
    assert!(parsed(excluded).cells.is_empty());
}

#[test]
fn a_matrix_may_have_100000_cells() {
    let nodes: Vec<u16> = (1..=5000).collect();
    let (configs, tables): (Vec<String>, String) = (1..=20)
        .map(|number| (format!("c{number}"), format!("[config.c{number}]\n")))
        .unzip();
    // All cells are excluded, because expanding them takes long.
    let matrix = parsed(&format!(
        "[matrix]\nkubernetes = [\"1.36\"]\nnodes = {nodes:?}\nconfig = {configs:?}\n\
         [[matrix.exclude]]\nkubernetes = \"1.36\"\n{tables}"
    ));
    assert!(matrix.cells.is_empty());
}

#[test]
fn an_id_may_have_200_characters() {
    let (axes, tables): (String, String) = [32, 32, 32, 32, 33]
        .into_iter()
        .enumerate()
        .map(|(axis, length)| {
            let value = "a".repeat(length);
            (
                format!("x{axis} = [\"{value}\"]\n"),
                format!("[x{axis}.{value}]\n"),
            )
        })
        .unzip();
    let matrix = parsed(&format!(
        "[matrix]\nkubernetes = [\"1.36\"]\n{axes}{tables}"
    ));
    assert_eq!(ids(&matrix)[0].len(), 200);
}

#[test]
fn the_shipped_variant_fast_runs_every_loop_twice_a_second() {
    let matrix = parsed(include_str!("../../matrix.toml"));
    let report = json!({ "collect_interval": "500ms", "report_interval": "500ms" });
    let fast = &cell(&matrix, "k8s-1.36-n3-fast").variant;
    assert_eq!(
        serde_json::Value::from(fast.agent.clone()),
        json!({
            "heartbeat": { "interval": "500ms" },
            "metrics": report,
            "log_fwd": report,
            "audit_fwd": report,
        })
    );
    assert!(matrix.cells.iter().all(|cell| cell.node_image.is_none()));
}
