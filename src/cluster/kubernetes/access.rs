//! The way to an API server: a client whose server has answered, and a cell's view through it.

use std::time::Duration;

use backon::Retryable;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::watch::View;
use crate::cluster::retry::every;
use crate::event::{Failure, Symptom};

/// An API server that answers.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) client: Client,
    /// What the API server says it is, such as `v1.34.4`.
    pub(crate) server_version: String,
}

/// What a cell sees of a cluster.
pub(crate) struct Kube {
    pub(crate) client: Client,
    /// What the API server says it is, such as `v1.34.4`.
    pub(crate) server_version: String,
    /// What is seen of it.
    pub(crate) view: View,
}

/// How often the API server is asked: the first answer is what everything else waits for.
const ASK: Duration = Duration::from_millis(100);

impl Access {
    /// Asks the API server behind `client` until it answers, for as long as `limit`.
    pub(crate) async fn open(client: Client, limit: Duration) -> Result<Self, Failure> {
        let asks = every(ASK, limit);
        let version = (|| client.apiserver_version()).retry(asks).await;
        let version = version.map_err(|error| unusable(&error))?;
        Ok(Self {
            client,
            server_version: version.git_version,
        })
    }
}

/// A client by `kubeconfig`, as the user `options` choose.
pub(crate) async fn client(
    kubeconfig: Kubeconfig,
    options: &KubeConfigOptions,
) -> Result<Client, Failure> {
    let config = Config::from_custom_kubeconfig(kubeconfig, options).await;
    let mut config = config.map_err(|error| unusable(&error))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).map_err(|error| unusable(&error))
}

/// There is no way to the API server.
pub(crate) fn unusable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Symptom::ClusterNotUp,
        format!("the API server can't be reached: {error}"),
    )
}
