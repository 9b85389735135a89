//! The mock's Ed25519 key and the signed envelopes of node events.

use axum::response::sse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::identity;

/// The signing key of this process.
pub(crate) struct Signer(Ed25519KeyPair);

/// A signed event, ready to be sent.
#[derive(Clone)]
pub(crate) struct Envelope {
    event_type: String,
    event_id: String,
    text: String,
}

/// The random source failed, or the key was rejected.
#[derive(Debug, thiserror::Error)]
#[error("failed to create an Ed25519 key")]
pub struct SigningKeyError;

impl Signer {
    pub(crate) fn generate() -> Result<Self, SigningKeyError> {
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| SigningKeyError)?;
        Ed25519KeyPair::from_pkcs8(document.as_ref())
            .map(Self)
            .map_err(|_| SigningKeyError)
    }

    /// The public key, 32 bytes in standard base64.
    pub(crate) fn public_key(&self) -> String {
        STANDARD.encode(self.0.public_key())
    }

    /// Wraps an event in its envelope. The signature covers the envelope without the signature itself, as JSON with
    /// sorted keys and no whitespace.
    pub(crate) fn seal(&self, event_type: &str, payload: &Value) -> Envelope {
        let event_id = format!("evt-{}", identity::random_text(16));
        let mut envelope = json!({
            "event_type": event_type,
            "event_id": event_id,
            "issued_at": Timestamp::now(),
            "nonce": identity::random_text(24),
            "payload": payload,
        });
        // The keys are already sorted, unless another crate enables the feature `preserve_order` of serde_json.
        envelope.sort_all_objects();
        let signature = self.0.sign(envelope.to_string().as_bytes());
        envelope["signature"] = json!(STANDARD.encode(signature));
        Envelope {
            event_type: event_type.to_owned(),
            event_id,
            text: envelope.to_string(),
        }
    }
}

impl From<Envelope> for sse::Event {
    fn from(envelope: Envelope) -> Self {
        Self::default()
            .event(envelope.event_type)
            .id(envelope.event_id)
            .data(envelope.text)
    }
}
