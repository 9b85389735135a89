//! The local endpoint and the way to its token: node secret key, sealed secret, plaintext, bearer.
//!
//! Tokens are fetched when they are first needed and kept in memory only; a refused one is fetched anew, and so is one
//! that was sealed under a key that the node no longer has.

use std::collections::HashMap;
use std::sync::Arc;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::Mutex;

use crate::api::{self, Api, ApiError};
use crate::config::LocalEndpoint;
use crate::registrar::Registrar;
use crate::secret::{self, KEY_LENGTH, OpenError, Secret};

/// What the fault `wrong-key` decrypts with.
const WRONG_KEY: [u8; KEY_LENGTH] = [0; KEY_LENGTH];

/// Why the local endpoint did not take something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Only at the end of a process that never got an identity.
    #[error("the node is not registered")]
    NotRegistered,
    /// The Central API did not give the secret.
    #[error("cannot fetch the local endpoint's token")]
    Fetch(#[source] ApiError),
    /// It gave one that can't be opened.
    #[error("cannot open the local endpoint's token")]
    Open(#[from] OpenError),
    /// The endpoint itself.
    #[error("the post was not accepted")]
    Post(#[source] ApiError),
}

/// The tokens of a process, shared by its streams.
pub(crate) struct Vault {
    api: Api,
    registrar: Arc<Registrar>,
    wrong_key: bool,
    held: Mutex<HashMap<String, Held>>,
}

struct Held {
    token: Secret,
    node_secret_key: Secret,
}

impl Vault {
    /// An empty vault; `wrong_key` opens nothing.
    pub(crate) fn new(api: Api, registrar: Arc<Registrar>, wrong_key: bool) -> Self {
        Self {
            api,
            registrar,
            wrong_key,
            held: Mutex::default(),
        }
    }

    /// The plaintext of a secret. While one caller fetches it the others wait for its answer.
    async fn token(&self, name: &str) -> Result<Secret, LocalError> {
        let identity = self.registrar.known().ok_or(LocalError::NotRegistered)?;
        let mut held = self.held.lock().await;
        if let Some(held) = held
            .get(name)
            .filter(|held| held.node_secret_key == identity.node_secret_key)
        {
            return Ok(held.token.clone());
        }
        let sealed = self
            .api
            .secret(&identity, name)
            .await
            .map_err(LocalError::Fetch)?;
        let node_secret_key = identity.node_secret_key.clone();
        let key = if self.wrong_key {
            &WRONG_KEY
        } else {
            node_secret_key.reveal().as_bytes()
        };
        let token = secret::open(&sealed, key)?;
        held.insert(
            name.to_owned(),
            Held {
                token: token.clone(),
                node_secret_key,
            },
        );
        Ok(token)
    }

    /// Forgets a refused token, unless another caller already has a newer one.
    async fn forget(&self, name: &str, refused: &Secret) {
        let mut held = self.held.lock().await;
        if held.get(name).is_some_and(|held| held.token == *refused) {
            held.remove(name);
        }
    }
}

/// One stream's local endpoint.
pub(crate) struct LocalSide {
    /// A client that trusts whom the endpoint's configuration says.
    pub(crate) client: Client,
    /// Where to post, and under which token.
    pub(crate) endpoint: LocalEndpoint,
    /// Where tokens come from.
    pub(crate) vault: Arc<Vault>,
}

impl LocalSide {
    /// Posts a JSON array.
    pub(crate) async fn post(&self, body: String) -> Result<(), LocalError> {
        let name = &self.endpoint.secret_key;
        let token = self.vault.token(name).await?;
        let call = self
            .client
            .post(self.endpoint.url.url().clone())
            .timeout(api::CALL_TIMEOUT);
        let call = call
            .bearer_auth(token.reveal())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        match api::accepted(call).await {
            Ok(_) => Ok(()),
            Err(error) => {
                if error.is_unauthorized() {
                    self.vault.forget(name, &token).await;
                }
                Err(LocalError::Post(error))
            }
        }
    }
}
