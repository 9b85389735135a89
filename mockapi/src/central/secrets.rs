//! Secrets: a node's local bearer token, encrypted so that only the node can read it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Serialize;

use crate::call::Call;
use crate::fixture::LOCAL_TOKEN_KEY;
use crate::identity::KEY_LENGTH;
use crate::problem::Problem;
use crate::state::Shared;

/// The response to `GET /v1/nodes/{id}/secrets/{key}`.
#[derive(Serialize)]
pub(super) struct Secret {
    key: String,
    ciphertext: String,
    nonce: String,
    version: u32,
}

/// `GET /v1/nodes/{id}/secrets/{key}`: encrypted with the key that was sent as bearer, even if this process didn't
/// issue that key, because the mock may have been restarted since. Without a usable key, the response is encrypted with
/// the node's newest key.
pub(super) async fn secret(
    State(app): State<Shared>,
    Path((_, key)): Path<(String, String)>,
    call: Call,
) -> Result<Json<Secret>, Problem> {
    let bearer = call
        .caller
        .bearer
        .clone()
        .filter(|bearer| bearer.len() == KEY_LENGTH);
    let (newest, token) = app.count(call, |node| (node.key.clone(), node.local_token.clone()));
    if key != LOCAL_TOKEN_KEY {
        return Err(Problem::not_found(format!(
            "the secret {key} does not exist"
        )));
    }
    encrypt(key, &bearer.unwrap_or(newest), token)
}

/// AES-256-GCM with a fresh nonce, without associated data, and with the tag at the end.
fn encrypt(key: String, node_secret_key: &str, plaintext: String) -> Result<Json<Secret>, Problem> {
    let failed = |_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the secret could not be encrypted",
        )
    };
    let cipher = UnboundKey::new(&AES_256_GCM, node_secret_key.as_bytes())
        .map(LessSafeKey::new)
        .map_err(failed)?;
    let nonce: [u8; NONCE_LEN] = rand::random();
    let mut text = plaintext.into_bytes();
    cipher
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
        .map_err(failed)?;
    Ok(Json(Secret {
        key,
        ciphertext: STANDARD.encode(text),
        nonce: STANDARD.encode(nonce),
        version: 1,
    }))
}
