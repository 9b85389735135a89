//! Every row of the Central API's table: status, counter, response, last body; wrong methods, unknown paths, large
//! bodies.

use mockapi::Endpoint;
use mockapi::view::{Counter, Counters};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Mock, assert_problem};

/// One row: the call, its status, and the keys of the response (none if there is no body).
struct Row {
    endpoint: Endpoint,
    method: Method,
    path: &'static str,
    status: StatusCode,
    answer: &'static [&'static str],
}

fn row(
    endpoint: Endpoint,
    method: Method,
    path: &'static str,
    answer: &'static [&'static str],
) -> Row {
    Row {
        endpoint,
        method,
        path,
        status: StatusCode::OK,
        answer,
    }
}

fn accepted(endpoint: Endpoint, method: Method, path: &'static str) -> Row {
    Row {
        endpoint,
        method,
        path,
        status: StatusCode::NO_CONTENT,
        answer: &[],
    }
}

/// The table of the Central API, except for the event stream, which never ends.
fn table() -> Vec<Row> {
    use Endpoint as E;
    vec![
        row(E::Ping, Method::GET, "/v1/ping", &[]),
        row(
            E::Register,
            Method::POST,
            "/v1/register",
            &[
                "node_id",
                "mesh_ip",
                "signing_public_key",
                "node_secret_key",
                "peers",
            ],
        ),
        row(
            E::Heartbeat,
            Method::POST,
            "/v1/nodes/node-a/heartbeat",
            &["reconcile", "rotate_keys"],
        ),
        row(
            E::State,
            Method::GET,
            "/v1/nodes/node-a/state",
            &[
                "peers",
                "policies",
                "metadata",
                "signing_keys",
                "data",
                "secret_refs",
            ],
        ),
        accepted(
            E::Capabilities,
            Method::PUT,
            "/v1/nodes/node-a/capabilities",
        ),
        accepted(E::Drift, Method::POST, "/v1/nodes/node-a/drift"),
        accepted(E::Metrics, Method::POST, "/v1/nodes/node-a/metrics"),
        accepted(E::Logs, Method::POST, "/v1/nodes/node-a/logs"),
        accepted(E::Audit, Method::POST, "/v1/nodes/node-a/audit"),
        row(
            E::Secrets,
            Method::GET,
            "/v1/nodes/node-a/secrets/local-bearer-token",
            &["key", "ciphertext", "nonce", "version"],
        ),
        row(
            E::Metadata,
            Method::GET,
            "/v1/nodes/node-a/metadata",
            &["environment", "region"],
        ),
        accepted(E::Deregister, Method::POST, "/v1/nodes/node-a/deregister"),
        row(
            E::KeyRotate,
            Method::POST,
            "/v1/keys/rotate",
            &["updated_peers"],
        ),
        row(
            E::Endpoint,
            Method::PUT,
            "/v1/nodes/node-a/endpoint",
            &["peer_endpoints"],
        ),
        accepted(E::Report, Method::POST, "/v1/nodes/node-a/report"),
        accepted(
            E::ExecutionAck,
            Method::POST,
            "/v1/nodes/node-a/executions/e1/ack",
        ),
        accepted(
            E::ExecutionResult,
            Method::POST,
            "/v1/nodes/node-a/executions/e1/result",
        ),
        accepted(
            E::TunnelReady,
            Method::POST,
            "/v1/nodes/node-a/tunnels/s1/ready",
        ),
        accepted(
            E::TunnelClosed,
            Method::POST,
            "/v1/nodes/node-a/tunnels/s1/closed",
        ),
        accepted(
            E::IntegrityViolation,
            Method::POST,
            "/v1/nodes/node-a/integrity/violations",
        ),
    ]
}

/// The counters that changed between two readings.
fn moved(before: &Counters, after: &Counters) -> Vec<(Counter, u64)> {
    let differences = after
        .iter()
        .map(|(counter, count)| (counter, count - before[counter]));
    differences
        .filter(|(_, difference)| *difference > 0)
        .collect()
}

#[tokio::test]
async fn each_call_is_answered_and_increments_only_its_counter() {
    let mock = Mock::start().await;
    for row in table() {
        let before = mock.assertions().await;
        let response = mock
            .call(row.method, row.path)
            .json(&json!({"hostname": "a"}))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), row.status, "{}", row.path);
        let answer: Value =
            serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        let keys: Vec<_> = answer
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
            .collect();
        assert!(
            row.answer.iter().all(|key| keys.contains(key)) && keys.len() == row.answer.len(),
            "{}: {answer}",
            row.path
        );
        let expected: Vec<_> = row
            .endpoint
            .counter()
            .map(|counter| (counter, 1))
            .into_iter()
            .collect();
        assert_eq!(
            moved(&before, &mock.assertions().await),
            expected,
            "{}",
            row.path
        );
    }
}

#[tokio::test]
async fn nodes_add_up_to_the_totals() {
    let mock = Mock::start().await;
    for row in table() {
        for node in ["node-a", "node-b"] {
            let call = mock.call(row.method.clone(), &row.path.replace("node-a", node));
            call.json(&json!({"hostname": "a", "node_id": node}))
                .send()
                .await
                .unwrap();
        }
    }
    let whole = mock.assertions().await;
    let nodes = mock.nodes().await.nodes;
    for (counter, &count) in whole.iter() {
        assert_eq!(
            nodes
                .values()
                .map(|node| node.counters[counter])
                .sum::<u64>(),
            count,
            "{counter}"
        );
    }
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["node-a", "node-b"]);
    assert_eq!(
        nodes["node-a"].counters[Counter::Registration],
        2,
        "both registrations have the same name"
    );
}

#[tokio::test]
async fn the_last_body_is_kept_unchanged() {
    let mock = Mock::start().await;
    for row in table()
        .into_iter()
        .filter(|row| row.method != Method::GET && row.endpoint != Endpoint::Register)
    {
        let path = format!("/test/last-request/{}", row.endpoint);
        assert_problem(
            mock.get(&path).send().await.unwrap(),
            StatusCode::NOT_FOUND,
            &path,
        )
        .await;
        let body: &[u8] = b"not JSON \xff\x00\r\n";
        let call = mock
            .call(row.method, row.path)
            .header("content-type", "text/x-odd; v=1")
            .body(body);
        assert_eq!(call.send().await.unwrap().status(), row.status, "{path}");
        let kept = mock.get(&path).send().await.unwrap();
        assert_eq!(kept.headers()["content-type"], "text/x-odd; v=1");
        assert_eq!(kept.bytes().await.unwrap(), body, "{path}");
    }
}

#[tokio::test]
async fn the_response_to_a_wrong_method_lists_the_right_ones() {
    let mock = Mock::start().await;
    let stream = row(
        Endpoint::Events,
        Method::GET,
        "/v1/nodes/node-a/events",
        &[],
    );
    for row in table().into_iter().chain([stream]) {
        let response = mock.call(Method::DELETE, row.path).send().await.unwrap();
        let allow = response.headers()["allow"].to_str().unwrap().to_owned();
        assert!(
            allow
                .split(',')
                .any(|method| method.trim() == row.method.as_str()),
            "{}: {allow}",
            row.path
        );
        assert_problem(response, StatusCode::METHOD_NOT_ALLOWED, row.path).await;
    }
    assert_eq!(mock.assertions().await, Counters::default());
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let mock = Mock::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/nodes/node-a",
        "/v1/nodes/node-a/heartbeat/",
        "/local/metrics",
        "/test",
    ] {
        assert_problem(
            mock.post(path).send().await.unwrap(),
            StatusCode::NOT_FOUND,
            path,
        )
        .await;
    }
    let unreadable = "/v1/nodes/%ff/heartbeat";
    assert_problem(
        mock.post(unreadable).send().await.unwrap(),
        StatusCode::BAD_REQUEST,
        unreadable,
    )
    .await;
    assert_eq!(mock.assertions().await, Counters::default());
}

#[tokio::test]
async fn a_body_can_have_one_mebibyte() {
    let mock = Mock::start().await;
    let size = 1024 * 1024;
    for row in table()
        .into_iter()
        .filter(|row| row.status == StatusCode::NO_CONTENT)
    {
        let send = |size| {
            mock.call(row.method.clone(), row.path)
                .body(vec![b'x'; size])
                .send()
        };
        assert_eq!(send(size).await.unwrap().status(), StatusCode::NO_CONTENT);
        assert_problem(
            send(size + 1).await.unwrap(),
            StatusCode::PAYLOAD_TOO_LARGE,
            row.path,
        )
        .await;
        let counter = row.endpoint.counter().unwrap();
        assert_eq!(mock.assertions().await[counter], 1, "{}", row.path);
        let kept = mock
            .get(&format!("/test/last-request/{}", row.endpoint))
            .send()
            .await
            .unwrap();
        assert_eq!(kept.content_length(), Some(size as u64));
    }
}

#[tokio::test]
async fn a_body_that_is_far_too_large_gets_a_response() {
    let mock = Mock::start().await;
    let path = "/v1/nodes/node-a/logs";
    let response = mock
        .post(path)
        .body(vec![b'x'; 8 * 1024 * 1024])
        .send()
        .await
        .unwrap();
    assert_problem(response, StatusCode::PAYLOAD_TOO_LARGE, path).await;
    assert_eq!(mock.assertions().await, Counters::default());
}

#[tokio::test]
async fn artifacts_count_for_no_node() {
    let mock = Mock::start().await;
    let node = mock.register("a").await;
    let call = mock
        .get("/v1/artifacts/plexd/1.4.0/linux/amd64")
        .bearer_auth(&node.key);
    assert!(!call.send().await.unwrap().bytes().await.unwrap().is_empty());
    assert_eq!(mock.assertions().await[Counter::Artifact], 1);
    assert_eq!(mock.count(&node.id, Counter::Artifact).await, 0);
}

#[tokio::test]
async fn the_state_has_everything_that_an_agent_needs() {
    let mock = Mock::start().await;
    let state: Value = mock
        .get("/v1/nodes/node-a/state")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let registration = mock.registration(&json!({"hostname": "a"})).await;
    assert_eq!(
        state["signing_keys"]["current"],
        registration["signing_public_key"]
    );
    assert_eq!(state["peers"], registration["peers"]);
    assert_eq!(state["peers"].as_array().unwrap().len(), 2);
    for (peer, id) in state["peers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(["peer-001", "peer-002"])
    {
        assert_eq!(peer["id"], id);
        assert!(
            ["public_key", "mesh_ip", "endpoint", "allowed_ips", "psk"]
                .iter()
                .all(|key| !peer[key].is_null())
        );
    }
    assert_eq!(state["policies"].as_array().unwrap().len(), 1);
    assert_eq!(state["policies"][0]["rules"].as_array().unwrap().len(), 2);
    assert_eq!(state["data"].as_array().unwrap().len(), 2);
    assert_eq!(state["secret_refs"][0]["key"], "local-bearer-token");
}
