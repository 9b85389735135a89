//! The mock's own faults: status, delay, dropped connection, number of times; and the check of bearer tokens.

use std::time::{Duration, Instant};

use mockapi::Endpoint;
use mockapi::faults::{Auth, Fault, Faults};
use mockapi::view::Counter;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Mock, assert_problem};

const HEARTBEAT: &str = "/v1/nodes/node-a/heartbeat";

async fn arm(mock: &Mock, endpoint: Endpoint, fault: Fault) {
    let faults = Faults {
        endpoints: [(endpoint, fault)].into(),
        ..Faults::default()
    };
    mock.configure("/test/faults", &json!(faults)).await;
}

#[tokio::test]
async fn a_status_is_returned_as_often_as_configured() {
    let mock = Mock::start().await;
    arm(
        &mock,
        Endpoint::Heartbeat,
        Fault {
            status: Some(503),
            times: Some(2),
            ..Fault::default()
        },
    )
    .await;
    for _ in 0..2 {
        assert_problem(
            mock.post(HEARTBEAT).send().await.unwrap(),
            StatusCode::SERVICE_UNAVAILABLE,
            HEARTBEAT,
        )
        .await;
    }
    assert_eq!(mock.assertions().await[Counter::Heartbeat], 0);
    mock.heartbeat("node-a", None).await;
    assert_eq!(mock.assertions().await[Counter::Heartbeat], 1);
}

#[tokio::test]
async fn without_times_a_fault_is_active_until_the_next_document() {
    let mock = Mock::start().await;
    arm(
        &mock,
        Endpoint::Drift,
        Fault {
            status: Some(401),
            ..Fault::default()
        },
    )
    .await;
    for _ in 0..5 {
        let response = mock.post("/v1/nodes/node-a/drift").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        mock.heartbeat("node-a", None).await;
    }
    mock.configure("/test/faults", &json!({})).await;
    let response = mock.post("/v1/nodes/node-a/drift").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_dropped_connection_has_no_response() {
    let mock = Mock::start().await;
    arm(
        &mock,
        Endpoint::Heartbeat,
        Fault {
            drop: true,
            times: Some(1),
            ..Fault::default()
        },
    )
    .await;
    let error = mock
        .post(HEARTBEAT)
        .send()
        .await
        .expect_err("there is no response");
    assert!(error.is_request() && error.status().is_none(), "{error:?}");
    assert_eq!(mock.assertions().await[Counter::Heartbeat], 0);
    mock.heartbeat("node-a", None).await;
}

#[tokio::test]
async fn a_call_whose_response_is_lost_is_counted() {
    let mock = Mock::start().await;
    let fault = Fault {
        drop: true,
        counted: true,
        times: Some(1),
        ..Fault::default()
    };
    arm(&mock, Endpoint::Register, fault).await;
    let body = json!({"hostname": "a"});
    assert!(mock.post("/v1/register").json(&body).send().await.is_err());
    assert_eq!(mock.count("node-a", Counter::Registration).await, 1);
    mock.register("a").await;
    assert_eq!(mock.count("node-a", Counter::Registration).await, 2);
}

#[tokio::test]
async fn a_delayed_call_is_answered_as_usual() {
    let mock = Mock::start().await;
    mock.configure(
        "/test/faults",
        &json!({"endpoints": {"heartbeat": {"delay": "120ms", "times": 1}}}),
    )
    .await;
    let start = Instant::now();
    mock.heartbeat("node-a", None).await;
    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!(mock.assertions().await[Counter::Heartbeat], 1);
}

#[tokio::test]
async fn the_local_endpoint_has_faults_too() {
    let mock = Mock::start().await;
    arm(
        &mock,
        Endpoint::LocalLogs,
        Fault {
            status: Some(500),
            times: Some(1),
            ..Fault::default()
        },
    )
    .await;
    let status = async || mock.local("/local/logs").send().await.unwrap().status();
    assert_eq!(status().await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn strict_auth_requires_a_key_of_the_node() {
    let mock = Mock::start().await;
    let (a, b) = (mock.register("a").await, mock.register("b").await);
    mock.configure(
        "/test/faults",
        &json!(Faults {
            auth: Auth::Strict,
            ..Faults::default()
        }),
    )
    .await;
    let paths = [
        (Method::POST, HEARTBEAT),
        (Method::GET, "/v1/nodes/node-a/state"),
        (Method::GET, "/v1/nodes/node-a/events"),
        (Method::PUT, "/v1/nodes/node-a/capabilities"),
    ];
    for (method, path) in paths {
        let call = || mock.call(method.clone(), path);
        for rejected in [
            call(),
            call().bearer_auth("unknown"),
            call().bearer_auth(&b.key),
        ] {
            assert_problem(
                rejected.send().await.unwrap(),
                StatusCode::UNAUTHORIZED,
                path,
            )
            .await;
        }
        assert!(
            call()
                .bearer_auth(&a.key)
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
    let rotate = mock.post("/v1/keys/rotate");
    assert_problem(
        rotate.send().await.unwrap(),
        StatusCode::UNAUTHORIZED,
        "/v1/keys/rotate",
    )
    .await;
    assert_eq!(mock.nodes().await.nodes.len(), 2);
    assert_eq!(
        mock.assertions().await[Counter::Heartbeat],
        1,
        "rejected calls are not counted"
    );
    mock.register("c").await;
}
