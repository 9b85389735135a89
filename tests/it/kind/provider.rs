//! The kind provider on real clusters: what it guarantees to the suite, and that it leaves nothing behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::SetOnce;

use e2e_matrix::cluster::kind::{KindOptions, KindProvider};
use e2e_matrix::cluster::{CellPlan, Cluster, ClusterName, Provider, RunSurroundings};
use e2e_matrix::deadline::{Deadline, RunClock};
use e2e_matrix::event::{Evidence, Failure, Symptom};
use e2e_matrix::machine::{Ledger, Owner, StateFolder, outstanding, ports};
use e2e_matrix::manifest::{Inputs, PullPolicy, Sources, render};
use e2e_matrix::matrix::{Cell, Images, Keep, PhaseSettings, PortRange, Prefix};
use e2e_matrix::secret::{Mask, Secret};

use crate::support::listeners::listeners;

const NAMESPACE: &str = "plexd-e2e";
const VERSION: &str = "1.34";

/// A separate state folder and provider.
struct Fixture {
    provider: KindProvider,
    state: StateFolder,
    ledger: Arc<Ledger>,
    clock: RunClock,
    prefix: Prefix,
    run: String,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new(run: &str) -> Self {
        // Fails if another test in this process has already installed a crypto provider.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path().join("state"));
        let (clock, prefix) = (RunClock::new(), Prefix::parse("kind-test").unwrap());
        let options = KindOptions {
            state: state.clone(),
            runner: PathBuf::from(env!("CARGO_BIN_EXE_e2e-matrix")),
            images: Images::default(),
            base: PathBuf::from("."),
            fast_setup: true,
            prepared: e2e_matrix::matrix::Prepared::Never,
            skip_missing_images: false,
            reuse: false,
            prefix: prefix.clone(),
            clock: clock.clone(),
        };
        Self {
            provider: KindProvider::new(options).unwrap(),
            ledger: Arc::new(Ledger::open(&state, Owner::new(run, folder.path())).unwrap()),
            state,
            clock,
            prefix,
            run: run.to_owned(),
            folder,
        }
    }

    fn deadline(&self, seconds: u64) -> Deadline {
        self.clock.deadline(Duration::from_secs(seconds))
    }

    fn plan(&self, agent_image: &str, name: Option<&str>) -> Arc<CellPlan> {
        let cell = cell();
        let rendered = render(&Inputs {
            daemon_set: None,
            config_key: None,
            sources: &Sources::builtin(),
            namespace: NAMESPACE,
            nodes: 1,
            agent_image,
            mock_image: &self.provider.images(&cell).mock,
            pull_policy: PullPolicy::Never,
            agent_config: &cell.variant.agent,
            env: &cell.variant.env,
            bootstrap_token: &Secret::new("a-token".to_owned()),
            probes: true,
            shared: None,
        });
        let Ok(rendered) = rendered.map(Arc::new) else {
            panic!("the built-in manifests can be rendered");
        };
        let cluster = name.map_or_else(
            || ClusterName::new(&self.prefix, &cell, &self.run),
            |name| ClusterName::exactly(name).unwrap(),
        );
        Arc::new(CellPlan {
            cluster,
            namespace: NAMESPACE.to_owned(),
            rendered,
            phases: PhaseSettings::default(),
            checks: Arc::default(),
            run: RunSurroundings::default(),
            attempt: 1,
            output_name: "cells/cell".to_owned(),
            output: self.folder.path().join("output"),
            runtime: self.state.run(&self.run).join("cell"),
            ledger: Arc::clone(&self.ledger),
            clock: self.clock.clone(),
            mask: Mask::new([Secret::new("a-token".to_owned())]),
            mark: self.run.clone(),
            keep: Keep::Never,
            listener: Mutex::new(Some(ports::bind(&PortRange::Any).unwrap())),
            cell,
        })
    }

    async fn cluster(&self) -> Arc<dyn Cluster> {
        self.provider
            .cluster(self.plan(&self.provider.images(&cell()).agent, None))
            .await
    }

    /// Destroys `cluster`, and asserts that nothing is left of it.
    async fn destroy(&self, cluster: &Arc<dyn Cluster>) {
        let cleared = cluster.destroy(&self.deadline(60)).await;
        all_hold(cleared.map(|cleared| cleared.evidence));
        assert!(outstanding(&self.state.run(&self.run)).unwrap().is_empty());
        assert!(!self.state.run(&self.run).join("cell").exists());
    }
}

fn cell() -> Cell {
    crate::support::cell(VERSION, 1)
}

fn all_hold(evidence: Result<Vec<Evidence>, Failure>) {
    let evidence = evidence.unwrap();
    assert!(
        !evidence.is_empty() && evidence.iter().all(|row| row.holds),
        "{evidence:?}"
    );
}

#[tokio::test]
#[ignore = "needs kind (creates 1 cluster)"]
async fn a_cell_starts_restarts_and_leaves_nothing() {
    let fixture = Fixture::new("aaaa1");
    let survey = fixture
        .provider
        .preflight(&[cell()], &fixture.deadline(30))
        .await;
    all_hold(survey.map(|survey| survey.evidence));
    let cluster = fixture.cluster().await;
    cluster.begin();
    all_hold(cluster.up(&fixture.deadline(180)).await);
    all_hold(cluster.images(&fixture.deadline(60)).await);
    all_hold(cluster.manifests(&fixture.deadline(60)).await);
    all_hold(cluster.mock_available(&fixture.deadline(60)).await);
    all_hold(cluster.agents_ready(&fixture.deadline(60)).await);
    let address = cluster.connect(&fixture.deadline(10)).await.unwrap();
    let answer = reqwest::get(format!("http://{address}/test/assertions"))
        .await
        .unwrap();
    assert!(answer.status().is_success());
    let node = &cluster.nodes()[0];
    let logs = cluster.logs(Some(node)).await;
    assert!(logs[0].text().contains("plexd"), "{logs:?}");
    all_hold(
        cluster
            .restart(&cluster.nodes(), &SetOnce::new(), &fixture.deadline(60))
            .await,
    );
    assert!(
        cluster
            .facts()
            .server_version
            .unwrap()
            .starts_with("v1.34.")
    );
    let listener = listeners()[&address];
    fixture.destroy(&cluster).await;
    assert!(!listeners().values().any(|inode| *inode == listener));
}

#[tokio::test]
#[ignore = "needs kind (creates 1 cluster)"]
async fn a_missing_image_fails_readiness_at_once() {
    let fixture = Fixture::new("aaaa2");
    let cluster = fixture
        .provider
        .cluster(fixture.plan("no-such-image:1", None))
        .await;
    cluster.begin();
    all_hold(cluster.up(&fixture.deadline(180)).await);
    all_hold(cluster.manifests(&fixture.deadline(60)).await);
    let deadline = fixture.deadline(120);
    let failure = cluster.agents_ready(&deadline).await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::ImageNameUnusable, "{failure}");
    assert!(
        deadline.remaining() > Duration::ZERO,
        "the phase waited for its deadline"
    );
    let diagnostics = cluster.diagnostics(&fixture.deadline(30)).await;
    let names: Vec<_> = diagnostics.iter().map(|it| it.file.as_str()).collect();
    assert!(
        names.contains(&"pods.txt") && names.contains(&"daemonset.txt"),
        "{names:?}"
    );
    assert!(diagnostics.iter().all(|it| !it.text.contains("a-token")));
    fixture.destroy(&cluster).await;
}

#[tokio::test]
#[ignore = "needs kind (creates 1 cluster)"]
async fn an_aborted_creation_leaves_nothing() {
    let fixture = Fixture::new("aaaa3");
    let cluster = fixture.cluster().await;
    cluster.begin();
    // Too short for any cluster, so kind is aborted.
    let failure = cluster.up(&fixture.deadline(1)).await.unwrap_err();
    assert_eq!(failure.symptom, Symptom::ClusterNotUp);
    fixture.destroy(&cluster).await;
}

#[tokio::test]
#[ignore = "needs kind (creates 1 cluster)"]
async fn a_foreign_cluster_with_the_same_name_is_not_touched() {
    let fixture = Fixture::new("aaaa4");
    let name = "kind-test-foreign";
    let agent = fixture.provider.images(&cell()).agent;
    let plan = fixture.plan(&agent, Some(name));
    let first = fixture.provider.cluster(plan).await;
    first.begin();
    all_hold(first.up(&fixture.deadline(180)).await);
    let other = Fixture::new("aaaa5");
    let plan = other.plan(&agent, Some(name));
    let second = other.provider.cluster(plan).await;
    second.begin();
    let failure = second.up(&other.deadline(60)).await.unwrap_err();
    assert!(failure.message.contains("already exists"), "{failure}");
    assert!(failure.remedy.unwrap().contains(name));
    other.destroy(&second).await;
    all_hold(first.up(&fixture.deadline(10)).await);
    fixture.destroy(&first).await;
}
