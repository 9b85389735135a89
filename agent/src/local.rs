//! Posts to the local endpoint. Their bearer token is a secret of the Central API that is sealed with the node secret
//! key.
//!
//! A token is fetched when it is first needed, and kept only in memory. It is fetched again if it was rejected, or if
//! it was sealed with a key that the node no longer has.

use std::collections::HashMap;
use std::sync::Arc;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::Mutex;

use crate::api::{self, Api, ApiError};
use crate::config::LocalEndpoint;
use crate::registrar::Registrar;
use crate::secret::{self, KEY_LENGTH, OpenError, Secret};
use crate::tls::{ClientError, Clients};

/// The key for the fault `wrong-key`.
const WRONG_KEY: [u8; KEY_LENGTH] = [0; KEY_LENGTH];

/// A post to the local endpoint failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Happens only at the shutdown of a process that never got an identity.
    #[error("the node is not registered")]
    NotRegistered,
    /// The Central API didn't return the secret.
    #[error("cannot fetch the local endpoint's token")]
    Fetch(#[source] ApiError),
    /// The secret can't be decrypted.
    #[error("cannot decrypt the local endpoint's token")]
    Open(#[from] OpenError),
    /// The endpoint returned an error.
    #[error("the post was not accepted")]
    Post(#[source] ApiError),
}

/// The tokens of a process, shared by its streams.
pub(crate) struct Vault {
    api: Api,
    registrar: Arc<Registrar>,
    wrong_key: bool,
    cached: Mutex<HashMap<String, CachedToken>>,
}

struct CachedToken {
    token: Secret,
    node_secret_key: Secret,
}

impl Vault {
    /// An empty vault; with `wrong_key`, it can't decrypt anything.
    pub(crate) fn new(api: Api, registrar: Arc<Registrar>, wrong_key: bool) -> Self {
        Self {
            api,
            registrar,
            wrong_key,
            cached: Mutex::default(),
        }
    }

    /// The plaintext of a secret. While one caller fetches it, the others wait.
    async fn token(&self, name: &str) -> Result<Secret, LocalError> {
        let identity = self.registrar.known().ok_or(LocalError::NotRegistered)?;
        let mut cached = self.cached.lock().await;
        if let Some(cached) = cached
            .get(name)
            .filter(|cached| cached.node_secret_key == identity.node_secret_key)
        {
            return Ok(cached.token.clone());
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
        cached.insert(
            name.to_owned(),
            CachedToken {
                token: token.clone(),
                node_secret_key,
            },
        );
        Ok(token)
    }

    /// Forgets a rejected token, unless another caller already has a newer one.
    async fn forget(&self, name: &str, rejected: &Secret) {
        let mut cached = self.cached.lock().await;
        if cached
            .get(name)
            .is_some_and(|cached| cached.token == *rejected)
        {
            cached.remove(name);
        }
    }
}

/// Creates the local sides of a process, which share a vault.
pub(crate) struct LocalSides {
    vault: Arc<Vault>,
    turns: HashMap<String, Arc<Mutex<()>>>,
}

impl LocalSides {
    /// No sides yet; they will get their tokens from `vault`.
    pub(crate) fn new(vault: Vault) -> Self {
        Self {
            vault: Arc::new(vault),
            turns: HashMap::new(),
        }
    }

    /// The local side for a stream's configuration.
    pub(crate) fn side(
        &mut self,
        clients: &mut Clients,
        endpoint: &LocalEndpoint,
    ) -> Result<LocalSide, ClientError> {
        let origin = endpoint.url.url().origin().ascii_serialization();
        Ok(LocalSide {
            client: clients.for_endpoint(&endpoint.url, endpoint.tls_insecure_skip_verify)?,
            endpoint: endpoint.clone(),
            vault: Arc::clone(&self.vault),
            turn: Arc::clone(self.turns.entry(origin).or_default()),
        })
    }
}

/// One stream's local endpoint.
pub(crate) struct LocalSide {
    client: Client,
    endpoint: LocalEndpoint,
    vault: Arc<Vault>,
    /// Held during a post. Streams with the same server share this lock, so that they post one after another on one
    /// connection: three streams that report at the same moment would open three connections, and a TLS handshake costs
    /// more than the posts.
    turn: Arc<Mutex<()>>,
}

impl LocalSide {
    /// Posts a JSON array.
    pub(crate) async fn post(&self, body: String) -> Result<(), LocalError> {
        let name = &self.endpoint.secret_key;
        let token = self.vault.token(name).await?;
        let result = self.post_with(&token, body).await;
        if result.as_ref().is_err_and(ApiError::is_unauthorized) {
            self.vault.forget(name, &token).await;
        }
        result.map_err(LocalError::Post)
    }

    async fn post_with(&self, token: &Secret, body: String) -> Result<(), ApiError> {
        let _turn = self.turn.lock().await;
        let call = self.client.post(self.endpoint.url.url().clone());
        let call = call
            .timeout(api::CALL_TIMEOUT)
            .bearer_auth(token.reveal())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        api::accepted(call).await.map(drop)
    }
}
