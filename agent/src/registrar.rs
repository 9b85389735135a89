//! Gets the node's identity from the data directory or, if there is none, by registering with the Central API.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::{Api, ApiError};
use crate::fault::{Fault, Faults};
use crate::identity::{Identity, IdentityError, IdentityFile, NodeKeys};
use crate::retry::{chain, never, until_done};
use crate::secret::Secret;
use crate::stream::audit::Trail;
use crate::wire::Register;

/// An attempt to register failed.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error("cannot generate a key pair")]
    Keys,
    #[error("the Central API did not register the node")]
    Api(#[from] ApiError),
    #[error("the Central API's response cannot be used")]
    Answer(#[from] IdentityError),
}

/// The input of a registration. Doesn't implement `Debug`, because it contains the bootstrap token.
pub(crate) struct Credentials {
    /// The bootstrap token.
    pub(crate) token: Secret,
    /// This node's name.
    pub(crate) hostname: String,
}

/// Provides the node's identity to all parts of the agent.
pub(crate) struct Registrar {
    api: Api,
    credentials: Credentials,
    faults: Faults,
    file: IdentityFile,
    trail: Trail,
    current: watch::Sender<Option<Arc<Identity>>>,
}

impl Registrar {
    /// A registrar without an identity.
    pub(crate) fn new(
        api: Api,
        credentials: Credentials,
        faults: Faults,
        file: IdentityFile,
        trail: Trail,
    ) -> Self {
        let current = watch::Sender::new(None);
        Self {
            api,
            credentials,
            faults,
            file,
            trail,
            current,
        }
    }

    /// The identity, if there is one already.
    pub(crate) fn known(&self) -> Option<Arc<Identity>> {
        self.current.borrow().clone()
    }

    /// The identity, as soon as there is one.
    pub(crate) async fn identity(&self) -> Arc<Identity> {
        let mut identities = self.current.subscribe();
        let known = identities.wait_for(Option::is_some).await;
        let known = known.expect("the sender lives as long as this registrar");
        Arc::clone(
            known
                .as_ref()
                .expect("the wait ends when there is an identity"),
        )
    }

    /// Loads the identity of an earlier process, or registers.
    pub(crate) async fn establish(&self, stop: &CancellationToken) {
        match self.stored() {
            Some(identity) => {
                info!(node_id = identity.node_id, "identity loaded");
                self.current.send_replace(Some(Arc::new(identity)));
            }
            None => self.register(stop).await,
        }
    }

    /// Registers, with retries, and replaces the stored identity. Gives up only when `stop` is cancelled.
    pub(crate) async fn register(&self, stop: &CancellationToken) {
        if self.faults.has(Fault::NoRegister) {
            return;
        }
        let registering = until_done("registration", stop, never, || self.attempt());
        let Some(Ok(identity)) = stop.run_until_cancelled(registering).await else {
            return;
        };
        let identity = Arc::new(identity);
        self.trail.registered(&identity.node_id);
        info!(
            node_id = identity.node_id,
            mesh_ip = identity.mesh_ip,
            "registered"
        );
        // Published before it is stored, so that nothing waits for the disk.
        self.current.send_replace(Some(Arc::clone(&identity)));
        self.store(identity).await;
    }

    fn stored(&self) -> Option<Identity> {
        if self.faults.has(Fault::ForgetIdentity) {
            return None;
        }
        self.file.load().unwrap_or_else(|error| {
            warn!(
                reason = chain(&error),
                "the stored identity cannot be used, registering again"
            );
            None
        })
    }

    async fn attempt(&self) -> Result<Identity, RegisterError> {
        let keys = NodeKeys::generate().map_err(|_| RegisterError::Keys)?;
        let token = &self.credentials.token;
        let body = Register {
            token: Some(token).filter(|_| !self.faults.has(Fault::RegisterNoToken)),
            public_key: &keys.public_key,
            hostname: Some(self.credentials.hostname.as_str())
                .filter(|_| !self.faults.has(Fault::RegisterNoHostname)),
            metadata: BTreeMap::from([
                ("os", std::env::consts::OS),
                ("arch", std::env::consts::ARCH),
            ]),
        };
        let registered = self.api.register(&body, token).await?;
        Ok(Identity::new(registered, &keys)?)
    }

    async fn store(&self, identity: Arc<Identity>) {
        let file = self.file.clone();
        match tokio::task::spawn_blocking(move || file.store(&identity)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(
                reason = chain(&error),
                "cannot store the identity, so the node will register again after a restart"
            ),
            Err(error) => error!(reason = chain(&error), "storing the identity was aborted"),
        }
    }
}
