//! The health endpoints: `/healthz` returns 200 while the process runs, and `/readyz` returns 200 once the agent has
//! started.
//!
//! Neither endpoint depends on the Central API: if an agent can't register, its counters show that, not these
//! endpoints.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

/// Whether the agent is ready. It is set once, when the agent has started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on, `/readyz` returns 200.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn status(&self) -> StatusCode {
        if self.0.load(Ordering::Relaxed) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Binds `host:port`, or `:port` on all addresses of both families.
pub(crate) async fn listen(address: &str) -> io::Result<TcpListener> {
    match address.strip_prefix(':') {
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(listener) => Ok(listener),
            // The host may have no IPv6.
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        },
        None => TcpListener::bind(address).await,
    }
}

/// Serves the health endpoints until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, readiness: Readiness) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || StatusCode::OK))
        .route(
            "/readyz",
            get(async |State(readiness): State<Readiness>| readiness.status()),
        )
        .with_state(readiness);
    axum::serve(listener, router).await
}

/// The line that announces the address to a parent process.
pub(crate) fn announcement(address: SocketAddr) -> String {
    format!("PLEXD_HEALTH_ADDR={address}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(address: SocketAddr, path: &str) -> u16 {
        let url = format!("http://127.0.0.1:{}{path}", address.port());
        let client = crate::tls::client(crate::tls::Trust::None).unwrap();
        client.get(url).send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn it_is_healthy_at_once_and_ready_once_the_agent_has_started() {
        let listener = listen(":0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::default();
        let server = tokio::spawn(serve(listener, readiness.clone()));
        assert_eq!(status(address, "/healthz").await, 200);
        assert_eq!(status(address, "/readyz").await, 503);
        readiness.set();
        assert_eq!(status(address, "/readyz").await, 200);
        assert_eq!(status(address, "/nothing").await, 404);
        server.abort();
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let first = listen("127.0.0.1:0").await.unwrap();
        let taken = first.local_addr().unwrap().to_string();
        assert!(listen(&taken).await.is_err());
    }
}
