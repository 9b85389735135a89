//! The credential chain to the local endpoint: key, secret, token, post over TLS.

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mockapi::view::{Counter, Counters};
use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::{Mock, Node, assert_problem, text};

const ENDPOINTS: [(&str, Counter); 3] = [
    ("metrics", Counter::LocalMetrics),
    ("logs", Counter::LocalLogs),
    ("audit", Counter::LocalAudit),
];

async fn secret(mock: &Mock, id: &str, bearer: &str) -> Value {
    let path = format!("/v1/nodes/{id}/secrets/local-bearer-token");
    mock.get(&path)
        .bearer_auth(bearer)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// Decrypts a secret with an implementation other than the mock's.
fn open(secret: &Value, key: &str) -> Option<String> {
    let decode = |field: &str| STANDARD.decode(text(&secret[field])).unwrap();
    let nonce: [u8; 12] = decode("nonce").try_into().unwrap();
    let cipher = Aes256Gcm::new_from_slice(key.as_bytes()).unwrap();
    let plaintext = cipher
        .decrypt(&Nonce::from(nonce), decode("ciphertext").as_slice())
        .ok()?;
    Some(String::from_utf8(plaintext).unwrap())
}

async fn token(mock: &Mock, node: &Node) -> String {
    open(&secret(mock, &node.id, &node.key).await, &node.key)
        .expect("the node's own key decrypts its secret")
}

#[tokio::test]
async fn a_post_with_the_decrypted_token_is_counted() {
    let mock = Mock::start().await;
    let (a, b) = (mock.register("a").await, mock.register("b").await);
    let (token_a, token_b) = (token(&mock, &a).await, token(&mock, &b).await);
    assert_ne!(token_a, token_b);
    for (name, counter) in ENDPOINTS {
        let post = mock
            .local(&format!("/local/{name}"))
            .bearer_auth(&token_a)
            .body("[1]");
        assert_eq!(post.send().await.unwrap().status(), StatusCode::NO_CONTENT);
        assert_eq!(mock.assertions().await[counter], 1);
        assert_eq!(mock.count(&a.id, counter).await, 1);
        assert_eq!(mock.count(&b.id, counter).await, 0);
        let kept = mock
            .get(&format!("/test/last-request/local_{name}?node={}", a.id))
            .send()
            .await
            .unwrap();
        assert_eq!(kept.text().await.unwrap(), "[1]");
    }
}

#[tokio::test]
async fn a_post_without_a_known_token_is_rejected_and_not_counted() {
    let mock = Mock::start().await;
    let node = mock.register("a").await;
    for (name, _) in ENDPOINTS {
        let path = format!("/local/{name}");
        let bare = mock.local(&path).send().await.unwrap();
        assert_eq!(bare.headers()["www-authenticate"], "Bearer");
        assert_problem(bare, StatusCode::UNAUTHORIZED, &path).await;
        // The node's key is not a token for the local endpoint.
        for unknown in ["unknown", "", &node.key] {
            let response = mock.local(&path).bearer_auth(unknown).send().await.unwrap();
            assert_problem(response, StatusCode::UNAUTHORIZED, &path).await;
        }
    }
    let mut expected = Counters::default();
    expected[Counter::Registration] = 1;
    assert_eq!(mock.assertions().await, expected);
}

#[tokio::test]
async fn a_large_post_is_rejected() {
    let mock = Mock::start().await;
    let node = mock.register("a").await;
    let post = mock
        .local("/local/logs")
        .bearer_auth(token(&mock, &node).await)
        .body(vec![b'x'; 1024 * 1024 + 1]);
    assert_problem(
        post.send().await.unwrap(),
        StatusCode::PAYLOAD_TOO_LARGE,
        "/local/logs",
    )
    .await;
    assert_eq!(mock.assertions().await[Counter::LocalLogs], 0);
}

#[tokio::test]
async fn the_tls_listener_serves_the_local_endpoint_only() {
    let mock = Mock::start().await;
    for path in ["/v1/register", "/test/reset", "/local"] {
        assert_problem(
            mock.local(path).send().await.unwrap(),
            StatusCode::NOT_FOUND,
            path,
        )
        .await;
    }
}

#[tokio::test]
async fn a_secret_can_be_decrypted_only_with_the_key_of_the_request() {
    let mock = Mock::start().await;
    let old = mock.register("a").await;
    let new = mock.register("a").await;
    let other = mock.register("b").await;
    let plaintext = token(&mock, &old).await;
    assert_eq!(
        plaintext,
        token(&mock, &new).await,
        "the node's token does not depend on the key of the request"
    );
    let secret = secret(&mock, &old.id, &old.key).await;
    assert_eq!(open(&secret, &old.key), Some(plaintext));
    assert_eq!(open(&secret, &new.key), None);
    assert_eq!(open(&secret, &other.key), None);
}

#[tokio::test]
async fn every_response_has_a_new_nonce() {
    let mock = Mock::start().await;
    let node = mock.register("a").await;
    let (one, two) = (
        secret(&mock, &node.id, &node.key).await,
        secret(&mock, &node.id, &node.key).await,
    );
    assert_eq!(one["key"], "local-bearer-token");
    assert_ne!(one["nonce"], two["nonce"]);
    assert_ne!(one["ciphertext"], two["ciphertext"]);
}

#[tokio::test]
async fn a_key_from_before_a_restart_still_works() {
    let before = Mock::start().await.register("a").await;
    let mock = Mock::start().await;
    let token = token(&mock, &before).await;
    let post = mock
        .local("/local/audit")
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(post.status(), StatusCode::NO_CONTENT);
    assert_eq!(mock.count(&before.id, Counter::LocalAudit).await, 1);
}

#[tokio::test]
async fn a_call_for_an_unknown_secret_is_not_found_but_counted() {
    let mock = Mock::start().await;
    let path = "/v1/nodes/node-a/secrets/other";
    assert_problem(
        mock.get(path).send().await.unwrap(),
        StatusCode::NOT_FOUND,
        path,
    )
    .await;
    assert_eq!(mock.assertions().await[Counter::Secrets], 1);
}

#[tokio::test]
async fn without_a_usable_key_the_secret_is_encrypted_with_the_nodes_newest_key() {
    let mock = Mock::start().await;
    let node = mock.register("a").await;
    let path = format!("/v1/nodes/{}/secrets/local-bearer-token", node.id);
    let secret: Value = mock.get(&path).send().await.unwrap().json().await.unwrap();
    assert!(
        open(&secret, &node.key).is_some(),
        "the node's newest key decrypts it"
    );
    let stranger: Value = mock
        .get(&path.replace(&node.id, "node-b"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(open(&stranger, &node.key), None);
}
