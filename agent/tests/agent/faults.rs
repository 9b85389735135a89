//! Every fault changes exactly one behavior.
//!
//! To show that a call is not made, a test waits until all other calls have been made, the periodic ones three times.

use crate::plexd::Running;
use crate::stage::{NODE, Stage};
use jiff::Timestamp;
use mockapi::view::Counter;
use plexd_agent::fault::Fault;
use serde_json::Value;
use tokio::task::LocalSet;

/// The counters of the calls that the agent makes at its start.
const ONCE: [Counter; 4] = [
    Counter::Registration,
    Counter::State,
    Counter::Capabilities,
    Counter::Drift,
];
const AT_LEAST_ONCE: [Counter; 4] = [
    Counter::Logs,
    Counter::Audit,
    Counter::LocalLogs,
    Counter::LocalAudit,
];
const PERIODIC: [Counter; 3] = [Counter::Heartbeat, Counter::Metrics, Counter::LocalMetrics];
const LOCAL: [Counter; 3] = [
    Counter::LocalMetrics,
    Counter::LocalLogs,
    Counter::LocalAudit,
];

/// The visible effect of a fault.
enum Effect {
    /// The process exits with this code before it listens.
    Exit(i32),
    /// `/readyz` has this status while everything else works.
    Ready(u16),
    /// These counters stay at zero while the others increase.
    Silent(&'static [Counter]),
    /// The function returns `true` for the last body of this endpoint.
    Body(&'static str, fn(&str) -> bool),
    /// Each process increments this counter only once.
    Once(Counter),
    /// The second process increments this counter by this much.
    Restart(Counter, u64),
    /// The second process exits with code 0.
    Ends,
    /// The timestamps of heartbeats are this many minutes ahead.
    Ahead(i64),
    /// The heartbeats of the second process are this many minutes ahead, while those of the first process are correct.
    AheadAfterRestart(i64),
    /// Everything works, but the start takes longer.
    Slow,
}

fn effect(fault: Fault) -> Effect {
    match fault {
        Fault::Crash => Effect::Exit(1),
        Fault::NeverReady => Effect::Ready(503),
        Fault::NoRegister => Effect::Silent(&Counter::ALL),
        Fault::NoHeartbeat => Effect::Silent(&[Counter::Heartbeat]),
        Fault::NoState => Effect::Silent(&[Counter::State]),
        Fault::NoCapabilities => Effect::Silent(&[Counter::Capabilities]),
        Fault::NoDrift => Effect::Silent(&[Counter::Drift]),
        Fault::NoMetrics => Effect::Silent(&[Counter::Metrics]),
        Fault::NoLogs => Effect::Silent(&[Counter::Logs]),
        Fault::NoAudit => Effect::Silent(&[Counter::Audit]),
        Fault::RegisterNoHostname => Effect::Body("register", |body| is_without(body, "hostname")),
        Fault::RegisterNoToken => Effect::Body("register", |body| is_without(body, "token")),
        Fault::HeartbeatNoTimestamp => {
            Effect::Body("heartbeat", |body| is_without(body, "timestamp"))
        }
        Fault::HeartbeatNotJson => Effect::Body("heartbeat", |body| {
            serde_json::from_str::<Value>(body).is_err()
        }),
        Fault::EmptyActions => Effect::Body("capabilities", |body| {
            serde_json::from_str::<Value>(body)
                .is_ok_and(|body| body["builtin_actions"] == Value::Array(Vec::new()))
        }),
        Fault::HeartbeatOnce => Effect::Once(Counter::Heartbeat),
        Fault::MetricsOnce => Effect::Once(Counter::Metrics),
        Fault::ForgetIdentity => Effect::Restart(Counter::Registration, 1),
        Fault::SilentRestart => Effect::Restart(Counter::Audit, 0),
        Fault::HeartbeatDiesOnRestart => Effect::Restart(Counter::Heartbeat, 0),
        Fault::WrongKey => Effect::Silent(&LOCAL),
        Fault::NoLocalMetrics => Effect::Silent(&[Counter::LocalMetrics]),
        Fault::NoLocalLogs => Effect::Silent(&[Counter::LocalLogs]),
        Fault::NoLocalAudit => Effect::Silent(&[Counter::LocalAudit]),
        Fault::HeartbeatOnceAfterRestart => Effect::Restart(Counter::Heartbeat, 1),
        Fault::EndsAfterRestart => Effect::Ends,
        Fault::ClockAhead => Effect::Ahead(10),
        Fault::ClockBehind => Effect::Ahead(-10),
        Fault::ClockSetBack => Effect::AheadAfterRestart(-10),
        Fault::SlowStart => Effect::Slow,
    }
}

fn is_without(body: &str, key: &str) -> bool {
    serde_json::from_str::<Value>(body)
        .is_ok_and(|body| body.is_object() && body.get(key).is_none())
}

/// Waits until the agent has made all calls that `silent` doesn't count, the periodic ones three times.
async fn rounds(stage: &Stage, silent: &[Counter]) {
    let once = ONCE
        .iter()
        .chain(&AT_LEAST_ONCE)
        .map(|counter| (*counter, 1));
    let minimums = once.chain(PERIODIC.map(|counter| (counter, 3)));
    let minimums: Vec<_> = minimums
        .filter(|(counter, _)| !silent.contains(counter))
        .collect();
    stage.reach(&minimums).await;
}

async fn start(stage: &Stage, fault: Fault) -> Running {
    stage.plexd().fault(fault.name()).start().await
}

async fn exits(stage: &Stage, fault: Fault, code: i32) {
    let output = stage.plexd().fault(fault.name()).output().await;
    assert_eq!(output.status.code(), Some(code));
    assert!(output.stdout.is_empty(), "the agent must not listen");
    assert_eq!(stage.nodes().await.len(), 0);
}

async fn stays_silent(stage: &Stage, fault: Fault, silent: &[Counter]) {
    let _plexd = start(stage, fault).await;
    if silent.len() == Counter::ALL.len() {
        stage
            .until("the fault in the log", async || {
                stage.log().contains(fault.name())
            })
            .await;
    }
    rounds(stage, silent).await;
    for counter in silent {
        assert_eq!(stage.count(*counter).await, 0, "{counter:?}");
    }
}

async fn has_a_wrong_body(stage: &Stage, fault: Fault, endpoint: &str, is_wrong: fn(&str) -> bool) {
    let _plexd = start(stage, fault).await;
    rounds(stage, &[]).await;
    let body = stage.last_text(endpoint).await;
    assert!(is_wrong(&body), "{body}");
}

async fn stops_after_one(stage: &Stage, fault: Fault, counter: Counter) {
    for process in 1..=2 {
        let plexd = start(stage, fault).await;
        stage.reach(&[(counter, process)]).await;
        let before = stage.node(NODE).await.expect("the agent has registered");
        let others = PERIODIC.iter().filter(|other| **other != counter);
        stage
            .reach(
                &others
                    .map(|other| (*other, before.counters[*other] + 3))
                    .collect::<Vec<_>>(),
            )
            .await;
        assert!(plexd.terminate().await.success());
        assert_eq!(stage.count(counter).await, process);
    }
}

/// The first process behaves normally. The second one does everything except what the fault prevents.
async fn changes_the_restart(stage: &Stage, fault: Fault, counter: Counter, increase: u64) {
    let first = start(stage, fault).await;
    rounds(stage, &[]).await;
    assert!(first.terminate().await.success());
    let before = stage.node(NODE).await.expect("the agent has registered");
    let _second = start(stage, fault).await;
    let others = PERIODIC.iter().filter(|other| **other != counter);
    stage
        .reach(
            &others
                .map(|other| (*other, before.counters[*other] + 3))
                .collect::<Vec<_>>(),
        )
        .await;
    let after = stage.node(NODE).await.expect("the agent has registered");
    assert_eq!(after.counters[counter] - before.counters[counter], increase);
    let reported_its_start = after.process_starts > before.process_starts;
    assert_eq!(reported_its_start, fault != Fault::SilentRestart);
}

async fn ends_after_a_restart(stage: &Stage, fault: Fault) {
    let first = start(stage, fault).await;
    rounds(stage, &[]).await;
    assert!(first.terminate().await.success());
    assert!(start(stage, fault).await.ended().await.success());
}

async fn has_a_clock_that_is_set(stage: &Stage, fault: Fault, minutes: i64) {
    let first = start(stage, fault).await;
    has_a_clock(stage, 0).await;
    assert!(first.terminate().await.success());
    let heartbeats = stage
        .node(NODE)
        .await
        .expect("the agent has registered")
        .counters[Counter::Heartbeat];
    let _second = start(stage, fault).await;
    stage.reach(&[(Counter::Heartbeat, heartbeats + 1)]).await;
    is_ahead(stage, minutes).await;
}

async fn has_a_wrong_clock(stage: &Stage, fault: Fault, minutes: i64) {
    let _plexd = start(stage, fault).await;
    has_a_clock(stage, minutes).await;
}

/// Asserts that the heartbeats are `minutes` ahead after three rounds of the periodic calls.
async fn has_a_clock(stage: &Stage, minutes: i64) {
    rounds(stage, &[]).await;
    is_ahead(stage, minutes).await;
}

async fn is_ahead(stage: &Stage, minutes: i64) {
    let heartbeat = stage.last_request("heartbeat").await;
    let reported: Timestamp = serde_json::from_value(heartbeat["timestamp"].clone())
        .expect("a heartbeat has an RFC 3339 timestamp");
    let ahead = reported.duration_since(Timestamp::now()).as_secs();
    assert!((ahead - minutes * 60).abs() < 60, "{ahead} s ahead");
}

async fn is_ready_with(stage: &Stage, fault: Fault, status: u16) {
    let plexd = start(stage, fault).await;
    rounds(stage, &[]).await;
    assert_eq!(
        (
            plexd.health("/healthz").await,
            plexd.health("/readyz").await
        ),
        (200, status)
    );
}

async fn shows(fault: Fault) {
    let stage = Stage::new().await;
    match effect(fault) {
        Effect::Exit(code) => exits(&stage, fault, code).await,
        Effect::Ready(status) => is_ready_with(&stage, fault, status).await,
        Effect::Silent(counters) => stays_silent(&stage, fault, counters).await,
        Effect::Body(endpoint, is_wrong) => {
            has_a_wrong_body(&stage, fault, endpoint, is_wrong).await;
        }
        Effect::Once(counter) => stops_after_one(&stage, fault, counter).await,
        Effect::Restart(counter, increase) => {
            changes_the_restart(&stage, fault, counter, increase).await;
        }
        Effect::Ends => ends_after_a_restart(&stage, fault).await,
        Effect::AheadAfterRestart(minutes) => {
            has_a_clock_that_is_set(&stage, fault, minutes).await;
        }
        Effect::Ahead(minutes) => has_a_wrong_clock(&stage, fault, minutes).await,
        Effect::Slow => is_ready_with(&stage, fault, 200).await,
    }
}

#[tokio::test]
async fn every_fault_has_its_effect_and_no_other() {
    let all_at_once = async {
        let shown = Fault::ALL
            .iter()
            .map(|fault| (fault, tokio::task::spawn_local(shows(*fault))));
        let mut failed = Vec::new();
        for (fault, shown) in shown.collect::<Vec<_>>() {
            if shown.await.is_err() {
                failed.push(fault.name());
            }
        }
        failed
    };
    let failed = LocalSet::new().run_until(all_at_once).await;
    assert!(failed.is_empty(), "{failed:?}: see the output above");
}

#[tokio::test]
async fn a_fault_for_another_node_changes_nothing() {
    let stage = Stage::new().await;
    let _plexd = stage
        .plexd()
        .fault("crash@0,no-drift@2,no-logs@stage-control-plane")
        .start()
        .await;
    rounds(&stage, &[]).await;
}

#[tokio::test]
async fn a_wrong_key_is_reported_in_the_log() {
    let stage = Stage::new().await;
    let _plexd = start(&stage, Fault::WrongKey).await;
    stage
        .until("the reason", async || {
            stage
                .log()
                .contains("cannot be decrypted with the node secret key")
        })
        .await;
}
