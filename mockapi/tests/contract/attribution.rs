//! Which node a call counts for: the owner of its key, otherwise the node that it names, otherwise a stranger.

use jiff::Timestamp;
use mockapi::view::Counter;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::Mock;

#[tokio::test]
async fn a_known_key_takes_precedence_over_the_path() {
    let mock = Mock::start().await;
    let (a, b) = (mock.register("a").await, mock.register("b").await);
    mock.heartbeat(&b.id, Some(&a.key)).await;
    mock.heartbeat("e2e-k8s-node", Some(&a.key)).await;
    assert_eq!(mock.count(&a.id, Counter::Heartbeat).await, 2);
    assert_eq!(
        mock.nodes().await.nodes.len(),
        2,
        "the configured id must not create a node"
    );
}

#[tokio::test]
async fn without_a_known_key_the_path_decides() {
    let mock = Mock::start().await;
    let node = mock.register("a").await;
    mock.heartbeat(&node.id, None).await;
    mock.heartbeat(&node.id, Some("no such key")).await;
    assert_eq!(mock.count(&node.id, Counter::Heartbeat).await, 2);
}

#[tokio::test]
async fn a_caller_that_never_registered_is_listed_as_a_stranger() {
    let mock = Mock::start().await;
    mock.heartbeat("who%20else", None).await;
    let nodes = mock.nodes().await.nodes;
    let stranger = &nodes["who else"];
    assert_eq!(stranger.hostname, None);
    assert_eq!(stranger.counters[Counter::Heartbeat], 1);
}

#[tokio::test]
async fn a_stranger_that_registers_keeps_its_counters() {
    let mock = Mock::start().await;
    mock.heartbeat("node-late", None).await;
    mock.register("late").await;
    let node = &mock.nodes().await.nodes["node-late"];
    assert_eq!(node.hostname.as_deref(), Some("late"));
    assert_eq!(node.counters[Counter::Heartbeat], 1);
}

#[tokio::test]
async fn a_key_rotation_names_its_node_in_the_body() {
    let mock = Mock::start().await;
    let node = mock.register("a").await;
    let rotate = |body: &'static str| mock.post("/v1/keys/rotate").body(body);
    let calls = [
        rotate("").bearer_auth(&node.key),
        rotate(r#"{"node_id":"node-a"}"#),
        rotate("{}"),
        rotate("no JSON"),
    ];
    for call in calls {
        assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(mock.count(&node.id, Counter::KeyRotate).await, 2);
    assert_eq!(mock.count("unknown", Counter::KeyRotate).await, 2);
}

#[tokio::test]
async fn times_of_first_and_last_calls_are_kept() {
    let mock = Mock::start().await;
    let start = Timestamp::now();
    let node = mock.register("a").await;
    let registered = mock.nodes().await.nodes[&node.id].clone();
    mock.heartbeat(&node.id, Some(&node.key)).await;
    let view = mock.nodes().await.nodes[&node.id].clone();
    assert!(
        start <= view.first_seen
            && view.first_seen < view.last_seen
            && view.last_seen <= Timestamp::now()
    );
    assert_eq!(view.last_at[Counter::Registration], Some(view.first_seen));
    assert_eq!(view.last_at[Counter::Heartbeat], Some(view.last_seen));
    assert_eq!(view.last_at[Counter::Audit], None);
    assert_eq!(registered.last_at[Counter::Heartbeat], None);
}

#[tokio::test]
async fn process_starts_in_the_audit_are_counted_and_the_newest_is_kept() {
    let mock = Mock::start().await;
    let newest = "2026-03-01T00:00:00Z";
    let batches = [
        json!([{"event_type": "process_start", "timestamp": "2026-02-01T00:00:00Z"}]),
        json!([
            {"event_type": "process_start", "timestamp": newest},
            {"event_type": "process_start", "timestamp": "2026-01-01T00:00:00Z"},
            {"event_type": "config_change", "timestamp": "2027-01-01T00:00:00Z"},
            {"event_type": "process_start", "timestamp": "yesterday"},
            {"event_type": "process_start"},
            "no entry",
        ]),
        json!([{"event_type": "process_start", "timestamp": "0001-01-01T00:00:00Z"}]),
        json!([{"event_type": "process_start", "timestamp": newest}]),
        json!({"event_type": "process_start", "timestamp": "2028-01-01T00:00:00Z"}),
    ];
    for batch in &batches {
        mock.post("/v1/nodes/node-a/audit")
            .json(batch)
            .send()
            .await
            .unwrap();
    }
    let node = &mock.nodes().await.nodes["node-a"];
    assert_eq!(node.last_process_start, Some(newest.parse().unwrap()));
    assert_eq!(node.process_starts, Some(4), "one of the five is repeated");
    assert_eq!(node.counters[Counter::Audit], batches.len() as u64);
}
