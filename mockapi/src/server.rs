//! The lifecycle of a mock: binding both listeners, serving, and shutting down gracefully.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Control, Handle};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::listen;
use crate::routes;
use crate::signer::SigningKeyError;
use crate::state::App;
use crate::testing::Interface;
use crate::tls::{self, CertificateError};

/// How long calls in flight may take when the mock shuts down. This is less than its pod's
/// `terminationGracePeriodSeconds`, after which Kubernetes kills the mock.
const GRACE: Duration = Duration::from_secs(4);

/// The settings of a mock.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address of the Central API and the test interface: `host:port`, or `:port` for all interfaces. Port 0 is any
    /// free port.
    pub addr: String,
    /// The address of the local endpoint, in the same notation.
    pub tls_addr: String,
    /// The namespace of the mock's Service, for the names in the certificate.
    pub namespace: String,
    /// How much of the test interface the mock offers.
    pub interface: Interface,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: ":8080".to_owned(),
            tls_addr: ":8443".to_owned(),
            namespace: "plexd-e2e".to_owned(),
            interface: Interface::Full,
        }
    }
}

/// A mock can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be bound.
    #[error("failed to listen on {addr}")]
    Listen {
        /// The address, as given.
        addr: String,
        /// The cause.
        source: io::Error,
    },
    /// The local endpoint's certificate can't be created.
    #[error("failed to set up TLS")]
    Tls(#[from] CertificateError),
    /// The key for signing events can't be created.
    #[error("failed to set up signing")]
    Signing(#[from] SigningKeyError),
}

/// A running mock. Dropping it closes its connections immediately; [`Server::shutdown`] lets calls in flight finish.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    tls_addr: SocketAddr,
    control: Control,
    ending: CancellationToken,
    serving: Vec<JoinHandle<io::Result<()>>>,
}

/// Starts a mock. When this returns, both listeners are serving.
pub async fn start(options: Options) -> Result<Server, StartError> {
    let (plain, addr) = listen(&options.addr).await?;
    let (secure, tls_addr) = listen(&options.tls_addr).await?;
    let tls = RustlsConfig::from_config(tls::configuration(&options.namespace)?);
    let ending = CancellationToken::new();
    let app = Arc::new(App::new(ending.clone())?);
    let control = Control::new();
    let handle = || Handle::<SocketAddr>::with_control(control.clone());
    // Small responses must not be delayed until earlier ones are acknowledged.
    let plain = axum_server::Server::from_listener(plain)
        .acceptor(NoDelayAcceptor::new())
        .http1_only()
        .accept_error_handler(log_accept_error)
        .handle(handle());
    let secure = axum_server::Server::from_listener(secure)
        .acceptor(RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor::new()))
        .http1_only()
        .accept_error_handler(log_accept_error)
        .handle(handle());
    let serving = vec![
        tokio::spawn(plain.serve(routes::plain(&app, options.interface).into_make_service())),
        tokio::spawn(secure.serve(routes::tls(&app).into_make_service())),
    ];
    tracing::info!(%addr, %tls_addr, "serving");
    Ok(Server {
        addr,
        tls_addr,
        control,
        ending,
        serving,
    })
}

/// Logs a connection that couldn't be accepted. The server continues after a delay.
fn log_accept_error(_peer: Option<&SocketAddr>, error: &io::Error) {
    tracing::warn!(%error, "failed to accept a connection");
}

async fn listen(addr: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = listen::bind(addr).await?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    bound.await.map_err(|source| StartError::Listen {
        addr: addr.to_owned(),
        source,
    })
}

impl Server {
    /// The address of the Central API and the test interface.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the local endpoint.
    pub fn tls_addr(&self) -> SocketAddr {
        self.tls_addr
    }

    /// Stops accepting connections, ends all streams, and gives calls in flight a few seconds to finish.
    pub async fn shutdown(mut self) {
        self.ending.cancel();
        self.control.graceful_shutdown(Some(GRACE));
        for serving in self.serving.drain(..) {
            match serving.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("a listener had already failed: {error}"),
                Err(error) => tracing::error!("a listener panicked: {error}"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.cancel();
        self.control.shutdown();
    }
}
