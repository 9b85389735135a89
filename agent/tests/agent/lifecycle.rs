//! The agent against the mock: start, restart, rejected calls, an unavailable API, shutdown.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::stage::{self, NODE, Stage, TOKEN};
use mockapi::view::Counter;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// The eleven counters that plexd's own test script checks.
const ELEVEN: [Counter; 11] = [
    Counter::Registration,
    Counter::Heartbeat,
    Counter::State,
    Counter::Capabilities,
    Counter::Drift,
    Counter::Metrics,
    Counter::Logs,
    Counter::Audit,
    Counter::LocalMetrics,
    Counter::LocalLogs,
    Counter::LocalAudit,
];

/// The agent must exit within this time after SIGTERM.
const END: Duration = Duration::from_secs(5);

async fn all_reached(stage: &Stage) {
    stage.reach(&ELEVEN.map(|counter| (counter, 1))).await;
}

#[tokio::test]
async fn every_counter_increases_and_the_loops_continue() {
    let stage = Stage::new().await;
    let plexd = stage.plexd().start().await;
    all_reached(&stage).await;
    stage
        .reach(&[
            (Counter::Heartbeat, 3),
            (Counter::Metrics, 3),
            (Counter::LocalMetrics, 3),
        ])
        .await;
    assert_eq!(
        (
            plexd.health("/healthz").await,
            plexd.health("/readyz").await
        ),
        (200, 200)
    );
    let nodes = stage.nodes().await;
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["node-stage-worker"]);
    let node = &nodes["node-stage-worker"];
    assert_eq!(node.hostname.as_deref(), Some(NODE));
    for once in [Counter::Registration, Counter::Capabilities, Counter::Drift] {
        assert_eq!(node.counters[once], 1, "{once:?}");
    }
}

#[tokio::test]
async fn bodies_match_the_contract() {
    let stage = Stage::new().await;
    // Each call is made once, so the last body is also the first.
    let _plexd = stage
        .plexd_with(&stage.configuration("1h", ""))
        .start()
        .await;
    all_reached(&stage).await;
    let register = stage.last_request("register").await;
    assert_eq!(
        (&register["token"], &register["hostname"]),
        (&json!(TOKEN), &json!(NODE))
    );
    assert!(!register["public_key"].as_str().unwrap().is_empty());
    let heartbeat = stage.last_request("heartbeat").await;
    assert!(heartbeat["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        (&heartbeat["node_id"], &heartbeat["status"]),
        (&json!("shared"), &json!("healthy"))
    );
    assert!(
        !stage.last_request("capabilities").await["builtin_actions"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(
        !stage.last_request("drift").await["corrections"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    for (endpoint, fields) in [
        ("metrics", &["timestamp", "group", "data"][..]),
        ("local_metrics", &["timestamp", "group", "data"]),
        (
            "logs",
            &[
                "timestamp",
                "source",
                "unit",
                "message",
                "severity",
                "hostname",
            ],
        ),
        (
            "audit",
            &[
                "timestamp",
                "source",
                "event_type",
                "subject",
                "object",
                "action",
                "result",
                "hostname",
                "raw",
            ],
        ),
    ] {
        let body = stage.last_request(endpoint).await;
        let entries = body.as_array().unwrap();
        assert!(!entries.is_empty(), "{endpoint} is empty");
        for field in fields {
            assert!(entries[0].get(field).is_some(), "{endpoint} has no {field}");
        }
    }
    let first = &stage.last_request("audit").await[0]["event_type"];
    assert_eq!(first, "process_start");
}

#[tokio::test]
async fn the_first_calls_are_made_in_order() {
    let stage = Stage::new().await;
    let config = stage.configuration("1h", "");
    let _plexd = stage.plexd_with(&config).start().await;
    stage
        .reach(&[
            (Counter::Capabilities, 1),
            (Counter::Heartbeat, 1),
            (Counter::Metrics, 1),
        ])
        .await;
    let node = stage.node(NODE).await.unwrap();
    let at = |counter| node.last_at[counter].unwrap();
    assert!(at(Counter::Registration) <= at(Counter::Capabilities));
    assert!(at(Counter::Capabilities) <= at(Counter::Heartbeat));
    assert!(at(Counter::Capabilities) <= at(Counter::Metrics));
}

#[tokio::test]
async fn a_restart_keeps_the_identity_and_reports_the_new_process() {
    let stage = Stage::new().await;
    let first = stage.plexd().start().await;
    all_reached(&stage).await;
    assert!(first.terminate().await.success());
    let mode = fs::metadata(stage.identity_file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = stage.node(NODE).await.unwrap();

    let _second = stage.plexd().start().await;
    stage
        .until("a heartbeat and a newer process_start", async || {
            let node = stage.node(NODE).await.unwrap();
            node.last_process_start > before.last_process_start
                && node.counters[Counter::Audit] > before.counters[Counter::Audit]
                && node.counters[Counter::Heartbeat] > before.counters[Counter::Heartbeat]
        })
        .await;
    assert_eq!(stage.count(Counter::Registration).await, 1);
}

#[tokio::test]
async fn a_damaged_identity_is_logged_and_replaced() {
    let stage = Stage::new().await;
    fs::create_dir_all(stage.data_dir()).unwrap();
    fs::write(stage.identity_file(), "{\"node_id\": \"node-st").unwrap();
    let _plexd = stage.plexd().start().await;
    all_reached(&stage).await;
    assert!(
        stage.log().contains("identity.json is damaged"),
        "{}",
        stage.log()
    );
    stage
        .until("a whole identity", async || {
            let text = fs::read_to_string(stage.identity_file()).unwrap();
            serde_json::from_str::<Value>(&text)
                .is_ok_and(|identity| identity["node_id"] == "node-stage-worker")
        })
        .await;
}

#[tokio::test]
async fn the_token_can_come_from_a_file() {
    let stage = Stage::new().await;
    let token = stage.directory.path().join("token");
    fs::write(&token, "from-a-file\n").unwrap();
    let path = stage.configuration("100ms", "");
    let with_file = format!("registration: {{token_file: '{}', ", token.display());
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("registration: {", &with_file);
    fs::write(&path, text).unwrap();
    let plexd = stage.plexd_with(&path);
    let _plexd = plexd.without("PLEXD_BOOTSTRAP_TOKEN").start().await;
    all_reached(&stage).await;
    assert_eq!(stage.last_request("register").await["token"], "from-a-file");
}

#[tokio::test]
async fn unknown_keys_cause_a_warning_with_their_path() {
    let stage = Stage::new().await;
    let config = stage.configuration("100ms", "mesh: {interface: wg0}\n");
    let _plexd = stage.plexd_with(&config).start().await;
    all_reached(&stage).await;
    assert!(stage.log().contains("key=\"mesh\""), "{}", stage.log());
}

#[tokio::test]
async fn the_agent_registers_again_after_a_rejected_heartbeat() {
    let stage = Stage::new().await;
    let _plexd = stage.plexd().start().await;
    all_reached(&stage).await;
    // The mock forgets all keys, and checks keys from now on.
    stage.post("/test/reset", &json!({})).await;
    stage.post("/test/faults", &json!({"auth": "strict"})).await;
    stage.reach(&[(Counter::Registration, 1)]).await;
    let before = stage.node(NODE).await.unwrap().counters[Counter::Heartbeat];
    stage
        .reach(&[
            (Counter::Heartbeat, before + 2),
            (Counter::LocalMetrics, 2),
            (Counter::Metrics, 2),
        ])
        .await;
    assert_eq!(stage.count(Counter::Registration).await, 1);
}

#[tokio::test]
async fn an_api_that_starts_late_is_used() {
    let mut stage = Stage::new().await;
    let addr = stage.mock.addr().to_string();
    let plexd = stage.plexd();
    // The local endpoint stays down: its deliveries fail until the end, and must not delay anything else.
    let other = stage::mock("127.0.0.1:0").await;
    std::mem::replace(&mut stage.mock, other).shutdown().await;
    let plexd = plexd.start().await;
    assert_eq!(plexd.health("/readyz").await, 200);
    stage
        .until("a failed registration", async || {
            stage.log().contains("registration failed")
        })
        .await;
    let late = stage::mock(&addr).await;
    std::mem::replace(&mut stage.mock, late).shutdown().await;
    stage
        .reach(&[
            (Counter::Heartbeat, 1),
            (Counter::Metrics, 1),
            (Counter::Audit, 1),
            (Counter::Logs, 1),
        ])
        .await;
    assert!(
        stage
            .log()
            .contains("registration succeeded after failures"),
        "{}",
        stage.log()
    );
}

/// An address at which another server answers on the first connection until that is closed. All later connections are
/// passed on to `mock`.
async fn wrong_server_before(mock: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the listener is bound");
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.expect("the agent connects");
        tokio::spawn(reject_everything(first));
        loop {
            let (mut inward, _) = listener.accept().await.expect("the agent connects again");
            let mut outward = TcpStream::connect(mock).await.expect("the mock listens");
            tokio::spawn(async move { copy_bidirectional(&mut inward, &mut outward).await });
        }
    });
    address
}

async fn reject_everything(mut stream: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(1..) = stream.read(&mut buffer).await {
        let rejection = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(rejection).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_wrong_server_at_the_address_of_the_api_is_called_only_once() {
    let stage = Stage::new().await;
    let configuration = stage.configuration("100ms", "");
    let text = fs::read_to_string(&configuration).unwrap();
    let (real, before) = (
        stage.mock.addr(),
        wrong_server_before(stage.mock.addr()).await,
    );
    let base_url = |address: SocketAddr| format!("base_url: 'http://{address}'");
    let changed = text.replace(&base_url(real), &base_url(before));
    assert_ne!(changed, text);
    fs::write(&configuration, changed).unwrap();
    let _plexd = stage.plexd_with(&configuration).start().await;
    stage.reach(&[(Counter::Heartbeat, 1)]).await;
    assert!(stage.log().contains("404 Not Found"), "{}", stage.log());
}

#[tokio::test]
async fn every_call_is_retried_until_it_succeeds() {
    let stage = Stage::new().await;
    let failing = json!({"status": 503, "times": 2});
    let endpoints = [
        "register",
        "state",
        "capabilities",
        "drift",
        "heartbeat",
        "metrics",
        "logs",
        "audit",
        "secrets",
    ];
    let local = ["local_metrics", "local_logs", "local_audit", "events"];
    let endpoints: serde_json::Map<_, _> = endpoints
        .iter()
        .chain(&local)
        .map(|name| ((*name).to_owned(), failing.clone()))
        .collect();
    stage
        .post("/test/faults", &json!({"endpoints": endpoints}))
        .await;
    let _plexd = stage.plexd().start().await;
    all_reached(&stage).await;
}

#[tokio::test]
async fn no_entry_is_lost_if_a_token_arrives_late() {
    let stage = Stage::new().await;
    stage
        .post(
            "/test/faults",
            &json!({"endpoints": {"secrets": {"status": 404}}}),
        )
        .await;
    let _plexd = stage.plexd().start().await;
    let platform_has = async |event: &str| {
        stage.count(Counter::Audit).await > 0 && stage.last_text("audit").await.contains(event)
    };
    stage
        .until("all audit entries", async || {
            platform_has("node_registered").await
        })
        .await;
    assert_eq!(stage.count(Counter::LocalAudit).await, 0);
    stage.post("/test/faults", &json!({})).await;
    stage.reach(&[(Counter::LocalAudit, 1)]).await;
    let entries = stage.last_request("local_audit").await;
    assert_eq!(entries[0]["event_type"], "process_start");
    assert_eq!(entries[1]["event_type"], "node_registered");
}

#[tokio::test]
async fn an_unknown_certificate_is_rejected_unless_configured_otherwise() {
    let stage = Stage::new().await;
    let path = stage.configuration("100ms", "");
    let text = fs::read_to_string(&path).unwrap();
    let verifying = text.replace(
        "tls_insecure_skip_verify: true",
        "tls_insecure_skip_verify: false",
    );
    fs::write(&path, verifying).unwrap();
    let _plexd = stage.plexd_with(&path).start().await;
    stage
        .until("a rejected certificate", async || {
            stage.log().contains("invalid peer certificate")
        })
        .await;
    assert_eq!(stage.count(Counter::LocalLogs).await, 0);
}

#[tokio::test]
async fn an_injected_event_triggers_a_reconcile() {
    let stage = Stage::new().await;
    stage
        .post(
            "/test/configure-heartbeat",
            &json!({"reconcile": false, "rotate_keys": false}),
        )
        .await;
    let _plexd = stage.plexd().start().await;
    // Wait for the reconcile that the event stream's own first event triggers.
    stage
        .reach(&[(Counter::State, 2), (Counter::Drift, 1)])
        .await;
    stage
        .post(
            "/test/configure-state",
            &json!({"peers": [], "metadata": {"region": "elsewhere"}}),
        )
        .await;
    stage
        .post(
            "/test/inject-event",
            &json!({"event_type": "node_state_updated", "payload": {}}),
        )
        .await;
    stage
        .reach(&[(Counter::State, 3), (Counter::Drift, 2)])
        .await;
    let drift = stage.last_request("drift").await;
    let kinds: Vec<_> = drift["corrections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].clone())
        .collect();
    assert!(kinds.contains(&json!("metadata")), "{drift}");
}

#[tokio::test]
async fn remaining_entries_are_delivered_at_the_end() {
    let stage = Stage::new().await;
    let config = stage.configuration("1h", "");
    let plexd = stage.plexd_with(&config).start().await;
    all_reached(&stage).await;
    let (logs, local) = (
        stage.count(Counter::Logs).await,
        stage.count(Counter::LocalLogs).await,
    );
    let asked = Instant::now();
    let status = plexd.terminate().await;
    assert_eq!((status.code(), asked.elapsed() < END), (Some(0), true));
    assert_eq!(stage.count(Counter::Logs).await, logs + 1);
    assert_eq!(stage.count(Counter::LocalLogs).await, local + 1);
    assert!(stage.last_text("logs").await.contains("plexd is stopping"));
}

#[tokio::test]
async fn shutdown_works_without_an_api() {
    let mut stage = Stage::new().await;
    let plexd = stage.plexd().start().await;
    all_reached(&stage).await;
    let other = stage::mock("127.0.0.1:0").await;
    std::mem::replace(&mut stage.mock, other).shutdown().await;
    let asked = Instant::now();
    assert_eq!(
        (plexd.terminate().await.code(), asked.elapsed() < END),
        (Some(0), true)
    );
}

#[tokio::test]
async fn shutdown_is_immediate_without_entries_to_deliver() {
    let stage = Stage::new().await;
    let hanging = json!({"endpoints": {"register": {"delay": "1m"}}});
    stage.post("/test/faults", &hanging).await;
    let plexd = stage.plexd().start().await;
    assert_eq!(plexd.terminate().await.code(), Some(0));
    let log = stage.log();
    let (_, end) = log.split_once("plexd is stopping").unwrap();
    assert!(!end.contains("in time"), "it waited for nothing: {log}");
}

#[tokio::test]
async fn shutdown_is_in_time_while_every_call_hangs() {
    let stage = Stage::new().await;
    let plexd = stage.plexd().start().await;
    all_reached(&stage).await;
    let hanging = json!({"delay": "1m"});
    let names = [
        "metrics",
        "logs",
        "audit",
        "local_metrics",
        "local_logs",
        "local_audit",
        "heartbeat",
        "state",
    ];
    let endpoints: serde_json::Map<_, _> = names
        .iter()
        .map(|name| ((*name).to_owned(), hanging.clone()))
        .collect();
    stage
        .post("/test/faults", &json!({"endpoints": endpoints}))
        .await;
    let asked = Instant::now();
    assert_eq!(
        (plexd.terminate().await.code(), asked.elapsed() < END),
        (Some(0), true)
    );
}

#[tokio::test]
async fn no_secret_is_ever_logged() {
    let stage = Stage::new().await;
    let plexd = stage.plexd().env("RUST_LOG", "trace").start().await;
    all_reached(&stage).await;
    assert!(plexd.terminate().await.success());
    let identity: Value =
        serde_json::from_slice(&fs::read(stage.identity_file()).unwrap()).unwrap();
    let log = stage.log();
    for secret in [
        TOKEN,
        identity["node_secret_key"].as_str().unwrap(),
        identity["private_key"].as_str().unwrap(),
    ] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}
