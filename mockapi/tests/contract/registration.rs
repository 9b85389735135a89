//! Registration: derived ids, new keys, distinct addresses, and rejected bodies.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mockapi::view::{Counter, Counters};
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Mock, assert_problem, text};

#[tokio::test]
async fn a_node_gets_an_id_an_address_and_a_key() {
    let mock = Mock::start().await;
    let answer = mock
        .registration(&json!({"token": "t", "public_key": "k", "hostname": "Plexd-Worker2"}))
        .await;
    assert_eq!(answer["node_id"], "node-plexd-worker2");
    assert!(text(&answer["mesh_ip"]).starts_with("10.99."));
    let key = text(&answer["node_secret_key"]);
    assert!(
        key.len() == 32 && key.is_ascii(),
        "{} characters",
        key.len()
    );
    assert_eq!(
        STANDARD
            .decode(text(&answer["signing_public_key"]))
            .unwrap()
            .len(),
        32
    );
    assert_eq!(
        mock.nodes().await.nodes["node-plexd-worker2"]
            .hostname
            .as_deref(),
        Some("Plexd-Worker2")
    );
}

#[tokio::test]
async fn registering_again_keeps_the_node_and_renews_the_key() {
    let mock = Mock::start().await;
    let first = mock.registration(&json!({"hostname": "a"})).await;
    let again = mock.registration(&json!({"hostname": "a"})).await;
    assert_eq!(first["node_id"], again["node_id"]);
    assert_eq!(first["mesh_ip"], again["mesh_ip"]);
    assert_ne!(first["node_secret_key"], again["node_secret_key"]);
    for answer in [first, again] {
        mock.heartbeat("node-elsewhere", Some(&text(&answer["node_secret_key"])))
            .await;
    }
    assert_eq!(
        mock.count("node-a", Counter::Heartbeat).await,
        2,
        "the old key is still known"
    );
}

#[tokio::test]
async fn two_nodes_never_share_an_id_an_address_or_a_key() {
    let mock = Mock::start().await;
    let mut seen = [const { BTreeSet::new() }; 3];
    let hostnames = [
        "a-b",
        "a_b",
        "a b",
        "a/b",
        "anonymous-1",
        "node-a",
        "ä",
        "ö",
    ];
    for hostname in hostnames {
        let answer = mock.registration(&json!({"hostname": hostname})).await;
        for (values, key) in seen
            .iter_mut()
            .zip(["node_id", "mesh_ip", "node_secret_key"])
        {
            assert!(values.insert(text(&answer[key])), "{hostname}: {key}");
        }
    }
    assert_eq!(mock.nodes().await.nodes.len(), hostnames.len());
}

#[tokio::test]
async fn without_a_hostname_every_registration_creates_a_node() {
    let mock = Mock::start().await;
    let bodies = [
        json!({}),
        json!({"hostname": ""}),
        json!({"hostname": 7}),
        json!({"hostname": null}),
    ];
    for (n, body) in (1..).zip(&bodies) {
        assert_eq!(
            mock.registration(body).await["node_id"],
            format!("node-anonymous-{n}")
        );
    }
    let nodes = mock.nodes().await.nodes;
    assert_eq!(nodes.len(), bodies.len());
    assert!(
        nodes
            .values()
            .all(|node| node.hostname.is_none() && node.counters[Counter::Registration] == 1)
    );
}

#[tokio::test]
async fn registration_requires_a_json_object() {
    let mock = Mock::start().await;
    for body in ["", "null", "[]", "\"a\"", "{\"hostname\":", "hostname=a"] {
        let response = mock.post("/v1/register").body(body).send().await.unwrap();
        assert_problem(response, StatusCode::BAD_REQUEST, "/v1/register").await;
    }
    assert_eq!(mock.assertions().await, Counters::default());
    assert!(mock.nodes().await.nodes.is_empty());
    let kept = mock
        .get("/test/last-request/register")
        .send()
        .await
        .unwrap();
    assert_eq!(kept.status(), StatusCode::NOT_FOUND);
}
