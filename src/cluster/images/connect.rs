//! Connects to the container engine, and explains why it can't be reached.

use std::io::{self, ErrorKind};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;

use crate::error::{causes, chain};
use crate::event::{Failure, Symptom};

/// The address of the engine if `DOCKER_HOST` is not set.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long the engine may take to return its version.
const RESPONSE_LIMIT: Duration = Duration::from_secs(20);

/// The address of the engine.
pub(crate) fn host() -> String {
    let host = std::env::var("DOCKER_HOST").ok();
    let host = host.filter(|host| !host.is_empty());
    host.unwrap_or_else(|| DEFAULT_HOST.to_owned())
}

/// Connects to the engine at `DOCKER_HOST`, with the newest API version that both sides support.
pub async fn connect() -> Result<Docker, Failure> {
    let host = &host();
    let docker = Docker::connect_with_host(host).map_err(|error| unreachable(host, &error))?;
    let version = tokio::time::timeout(RESPONSE_LIMIT, docker.negotiate_version()).await;
    version
        .unwrap_or(Err(Error::RequestTimeoutError))
        .map_err(|error| unreachable(host, &error))
}

/// The failure if the engine at `host` can't be reached.
fn unreachable(host: &str, error: &Error) -> Failure {
    let place = host.strip_prefix("unix://").unwrap_or(host);
    let why = chain(error);
    match reason(error) {
        Some(ErrorKind::PermissionDenied) => failure(
            format!("permission to use the container engine's socket {place} was denied: {why}"),
            "add your user to the group that owns the socket (`sudo usermod -aG docker \"$USER\"`, then log in again), use rootless Docker, or set DOCKER_HOST to an engine that you may use",
        ),
        Some(ErrorKind::NotFound) => failure(
            format!("the container engine's socket {place} does not exist"),
            "start Docker, or set DOCKER_HOST to a running engine; `docker context ls` lists the addresses of known engines",
        ),
        Some(ErrorKind::ConnectionRefused) => failure(
            format!("no container engine listens on {place}: {why}"),
            "start Docker, or set DOCKER_HOST to a running engine",
        ),
        _ if is_address(error) => failure(
            format!("DOCKER_HOST is `{host}`, which e2e-matrix can't use as an address: {why}"),
            "set DOCKER_HOST to `unix:///path/to/docker.sock` or `tcp://host:port`, or unset it for the engine on this machine",
        ),
        _ => failure(
            format!("the container engine at {place} does not respond: {why}"),
            "start Docker, or set DOCKER_HOST to a running engine; `docker version` must show a server",
        ),
    }
}

/// The operating system's error, if there is one.
fn reason(error: &Error) -> Option<ErrorKind> {
    if let Error::SocketNotFoundError(path) = error {
        // The client also returns this for a socket in a folder that the user can't access.
        let found = std::fs::metadata(path);
        return Some(found.map_or_else(|error| error.kind(), |_| ErrorKind::NotFound));
    }
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .last()
}

/// Whether the address itself is invalid.
fn is_address(error: &Error) -> bool {
    matches!(
        error,
        Error::UnsupportedURISchemeError { .. }
            | Error::URLParseError { .. }
            | Error::InvalidURIError { .. }
            | Error::InvalidURIPartsError { .. }
            | Error::HttpClientError { .. }
    )
}

fn failure(message: String, remedy: &str) -> Failure {
    Failure::new(Symptom::EngineGone, message).with_remedy(remedy)
}
