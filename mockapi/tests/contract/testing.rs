//! The test interface: assertions, last requests, fixtures, injected events, reset, health.

use mockapi::view::{Counter, Counters};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Mock, assert_problem};

#[tokio::test]
async fn assertions_are_flat_integers_in_order() {
    let mock = Mock::start().await;
    let text = mock
        .get("/test/assertions")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let expected: Vec<_> = Counter::ALL
        .iter()
        .map(|counter| format!("\"{counter}\":0"))
        .collect();
    assert_eq!(text, format!("{{{}}}", expected.join(",")));
}

#[tokio::test]
async fn each_process_has_its_own_instance() {
    let (one, two) = (Mock::start().await, Mock::start().await);
    let instance = one.nodes().await.instance;
    one.configure("/test/reset", &json!(null)).await;
    assert_eq!(one.nodes().await.instance, instance);
    assert_ne!(two.nodes().await.instance, instance);
}

#[tokio::test]
async fn the_last_request_of_one_node_can_be_read() {
    let mock = Mock::start().await;
    for (node, body) in [("node-a", "from a"), ("node-b", "from b")] {
        mock.post(&format!("/v1/nodes/{node}/drift"))
            .body(body)
            .send()
            .await
            .unwrap();
    }
    let kept = async |query: &str| {
        mock.get(&format!("/test/last-request/drift{query}"))
            .send()
            .await
            .unwrap()
    };
    assert_eq!(kept("").await.text().await.unwrap(), "from b");
    assert_eq!(kept("?node=node-a").await.text().await.unwrap(), "from a");
    assert_eq!(kept("?node=node-c").await.status(), StatusCode::NOT_FOUND);
    for path in ["/test/last-request/teleport", "/test/last-request/audit"] {
        assert_problem(
            mock.get(path).send().await.unwrap(),
            StatusCode::NOT_FOUND,
            path,
        )
        .await;
    }
}

#[tokio::test]
async fn the_last_requests_of_all_nodes_are_in_one_response() {
    let mock = Mock::start().await;
    for (node, body) in [("node-a", "old"), ("node-a", "from a"), ("node-b", "\0\n")] {
        let call = mock.post(&format!("/v1/nodes/{node}/drift")).body(body);
        call.send().await.unwrap();
    }
    mock.heartbeat("node-c", None).await;
    let all = mock.get("/test/last-requests/drift").send().await.unwrap();
    assert_eq!(
        all.json::<Value>().await.unwrap(),
        json!({"node-a": "ZnJvbSBh", "node-b": "AAo="})
    );
    let path = "/test/last-requests/teleport";
    let unknown = mock.get(path).send().await.unwrap();
    assert_problem(unknown, StatusCode::NOT_FOUND, path).await;
}

#[tokio::test]
async fn a_configured_heartbeat_is_returned_unchanged() {
    let mock = Mock::start().await;
    let fixture = r#"{ "rotate_keys": true, "reconcile": false, "extra": 1.0 }"#;
    let configured = mock
        .post("/test/configure-heartbeat")
        .body(fixture)
        .send()
        .await
        .unwrap();
    assert_eq!(configured.status(), StatusCode::NO_CONTENT);
    let answer = mock
        .post("/v1/nodes/node-a/heartbeat")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.text().await.unwrap(), fixture);
}

#[tokio::test]
async fn a_configured_state_replaces_the_whole_fixture() {
    let mock = Mock::start().await;
    let peer = json!({"id": "p", "endpoint": "192.0.2.1:1"});
    let state = json!({"peers": [peer], "metadata": {"zone": "z"}});
    mock.configure("/test/configure-state", &state).await;
    let answer = async |call: reqwest::RequestBuilder| {
        call.send().await.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(answer(mock.get("/v1/nodes/a/state")).await, state);
    assert_eq!(
        answer(mock.get("/v1/nodes/a/metadata")).await,
        state["metadata"]
    );
    assert_eq!(
        answer(mock.post("/v1/keys/rotate")).await,
        json!({"updated_peers": [peer]})
    );
    let endpoints = answer(mock.call(reqwest::Method::PUT, "/v1/nodes/a/endpoint")).await;
    assert_eq!(
        endpoints,
        json!({"peer_endpoints": [{"peer_id": "p", "endpoint": "192.0.2.1:1"}]})
    );
    mock.configure("/test/configure-state", &json!({"peers": 1}))
        .await;
    assert_eq!(answer(mock.get("/v1/nodes/a/metadata")).await, json!({}));
    assert_eq!(
        mock.registration(&json!({"hostname": "b"})).await["peers"],
        json!([])
    );
}

#[tokio::test]
async fn invalid_configurations_are_rejected() {
    let mock = Mock::start().await;
    let rows = [
        ("/test/configure-state", "[]"),
        ("/test/configure-heartbeat", ""),
        ("/test/inject-event", "{}"),
        ("/test/inject-event", r#"{"event_type": ""}"#),
        ("/test/inject-event", r#"{"event_type": "two\nlines"}"#),
        ("/test/faults", r#"{"auth": "sometimes"}"#),
        ("/test/faults", r#"{"endpoint": {}}"#),
        ("/test/faults", r#"{"endpoints": {"teleport": {}}}"#),
        (
            "/test/faults",
            r#"{"endpoints": {"drift": {"delay": "soon"}}}"#,
        ),
        (
            "/test/faults",
            r#"{"endpoints": {"drift": {"delay": "-1s"}}}"#,
        ),
        (
            "/test/faults",
            r#"{"endpoints": {"drift": {"status": 100}}}"#,
        ),
        (
            "/test/faults",
            r#"{"endpoints": {"drift": {"status": 600}}}"#,
        ),
        (
            "/test/faults",
            r#"{"endpoints": {"drift": {"status": 500, "drop": true}}}"#,
        ),
    ];
    for (path, body) in rows {
        let response = mock.post(path).body(body).send().await.unwrap();
        assert_problem(response, StatusCode::BAD_REQUEST, path).await;
    }
    assert_eq!(mock.assertions().await, Counters::default());
    mock.heartbeat("node-a", None).await;
}

#[tokio::test]
async fn reset_forgets_nodes_counters_bodies_and_faults() {
    let mock = Mock::start().await;
    let node = mock.register("a").await;
    mock.heartbeat(&node.id, Some(&node.key)).await;
    let faults = json!({"auth": "strict", "endpoints": {"heartbeat": {"status": 503}}});
    mock.configure("/test/faults", &faults).await;
    mock.configure("/test/reset", &json!(null)).await;
    assert_eq!(mock.assertions().await, Counters::default());
    assert!(mock.nodes().await.nodes.is_empty());
    for name in ["register", "heartbeat"] {
        let kept = mock
            .get(&format!("/test/last-request/{name}"))
            .send()
            .await
            .unwrap();
        assert_eq!(kept.status(), StatusCode::NOT_FOUND);
    }
    mock.heartbeat("node-b", Some(&node.key)).await;
    assert_eq!(
        mock.count("node-b", Counter::Heartbeat).await,
        1,
        "the key is forgotten too"
    );
    assert_eq!(
        mock.registration(&json!({})).await["node_id"],
        "node-anonymous-1"
    );
}

#[tokio::test]
async fn a_mock_that_has_started_is_healthy_and_ready() {
    let mock = Mock::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            mock.get(path).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
}
