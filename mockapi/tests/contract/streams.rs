//! Both event streams: the stream of counters and the stream of node events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mockapi::view::{Counter, Snapshot};
use procfs::net::TcpState;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::harness::{Event, Mock, text};

const COUNTERS: &str = "/test/assertions/stream";

#[tokio::test]
async fn the_first_event_has_all_counters_and_later_ones_the_changes() {
    let mock = Mock::start().await;
    let (a, b) = (mock.register("a").await, mock.register("b").await);
    let mut stream = mock.stream(COUNTERS).await;
    let first: Snapshot = stream.next_json().await;
    assert_eq!(first.assertions, mock.assertions().await);
    assert_eq!(first.nodes, mock.nodes().await.nodes);
    assert_eq!(first.instance, mock.nodes().await.instance);
    for node in [&a, &b, &a] {
        mock.heartbeat(&node.id, Some(&node.key)).await;
        let change: Snapshot = stream.next_json().await;
        assert_eq!(change.assertions, mock.assertions().await);
        assert_eq!(
            change.nodes.keys().collect::<Vec<_>>(),
            [&node.id],
            "only the nodes that changed"
        );
        assert_eq!(change.nodes[&node.id], mock.nodes().await.nodes[&node.id]);
    }
}

#[tokio::test]
async fn calls_that_count_for_no_node_change_only_the_totals() {
    let mock = Mock::start().await;
    mock.register("a").await;
    let mut stream = mock.stream(COUNTERS).await;
    stream.next().await;
    mock.configure(
        "/test/inject-event",
        &json!({"event_type": "policy_updated"}),
    )
    .await;
    let change: Snapshot = stream.next_json().await;
    assert_eq!(change.assertions[Counter::InjectEvent], 1);
    assert!(change.nodes.is_empty());
}

#[tokio::test]
async fn a_reset_ends_the_stream_and_a_new_connection_starts_with_all_nodes() {
    let mock = Mock::start().await;
    mock.register("a").await;
    let mut stream = mock.stream(COUNTERS).await;
    stream.next().await;
    mock.configure("/test/reset", &json!(null)).await;
    assert!(stream.next().await.is_none());
    let first: Snapshot = mock.stream(COUNTERS).await.next_json().await;
    assert!(first.nodes.is_empty());
}

#[tokio::test]
async fn a_slow_reader_gets_the_sum_later() {
    let mock = Mock::start().await;
    let mut stream = mock.stream(COUNTERS).await;
    let calls = 500;
    for _ in 0..calls {
        mock.heartbeat("node-a", None).await;
    }
    loop {
        let snapshot: Snapshot = stream.next_json().await;
        if snapshot.assertions[Counter::Heartbeat] == calls {
            assert_eq!(snapshot.nodes["node-a"].counters[Counter::Heartbeat], calls);
            break;
        }
    }
}

/// Verifies an event's envelope with the key from the registration, and returns the envelope.
fn verified(event: &Event, public_key: &str) -> Value {
    let mut envelope: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!(envelope["event_type"], event.name.as_str());
    assert_eq!(envelope["event_id"], event.id.as_str());
    envelope["issued_at"]
        .as_str()
        .unwrap()
        .parse::<jiff::Timestamp>()
        .unwrap();
    assert!(!text(&envelope["nonce"]).is_empty());
    let signature = envelope
        .as_object_mut()
        .unwrap()
        .remove("signature")
        .unwrap();
    let signature = STANDARD.decode(text(&signature)).unwrap();
    envelope.sort_all_objects();
    let key = UnparsedPublicKey::new(&ED25519, STANDARD.decode(public_key).unwrap());
    key.verify(envelope.to_string().as_bytes(), &signature)
        .expect("the signature covers the canonical envelope");
    envelope
}

#[tokio::test]
async fn injected_events_are_signed_and_reach_every_stream() {
    let mock = Mock::start().await;
    let public_key =
        text(&mock.registration(&json!({"hostname": "a"})).await["signing_public_key"]);
    let mut streams = [
        mock.stream("/v1/nodes/node-a/events").await,
        mock.stream("/v1/nodes/node-b/events").await,
    ];
    for stream in &mut streams {
        let first = stream.next().await.unwrap();
        assert_eq!(first.name, "node_state_updated");
        verified(&first, &public_key);
    }
    let payload = json!({"z": [1, 2.5, "\n ü"], "a": {"y": null, "b": true}});
    mock.configure(
        "/test/inject-event",
        &json!({"payload": payload, "event_type": "policy_updated"}),
    )
    .await;
    for stream in &mut streams {
        let event = stream.next().await.unwrap();
        assert_eq!(event.name, "policy_updated");
        assert_eq!(verified(&event, &public_key)["payload"], payload);
    }
    assert_eq!(mock.assertions().await[Counter::InjectEvent], 1);
}

#[tokio::test]
async fn injecting_an_event_without_a_stream_is_not_an_error() {
    let mock = Mock::start().await;
    mock.configure(
        "/test/inject-event",
        &json!({"event_type": "peer_added", "payload": {}}),
    )
    .await;
}

#[tokio::test]
async fn the_end_of_the_mock_ends_its_streams() {
    let mock = Mock::start().await;
    let mut streams = [
        mock.stream(COUNTERS).await,
        mock.stream("/v1/nodes/node-a/events").await,
    ];
    // Another process may get the port immediately, but not the same socket.
    let address = mock.address();
    let listeners = || procfs::net::tcp().unwrap().into_iter();
    let listener = listeners()
        .find(|socket| socket.local_address == address && socket.state == TcpState::Listen)
        .unwrap();
    mock.shutdown().await;
    for stream in &mut streams {
        while stream.next().await.is_some() {}
    }
    assert!(!listeners().any(|socket| socket.inode == listener.inode));
}
