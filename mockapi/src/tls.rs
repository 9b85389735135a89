//! The certificate of the local endpoint: self-signed, made at start, gone with the process.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::{TLS12, TLS13};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The names can't stand in a certificate, or no key could be made.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// The TLS library takes no certificate of that kind.
    #[error("failed to use the certificate")]
    Use(#[from] rustls::Error),
}

/// The server's side of TLS 1.2 and later, for the mock's service in `namespace`.
pub(crate) fn configuration(namespace: &str) -> Result<Arc<ServerConfig>, CertificateError> {
    let made = rcgen::generate_simple_self_signed(names(namespace))?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut configuration = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

/// The names that the service answers to.
fn names(namespace: &str) -> Vec<String> {
    vec![
        "mock-api".to_owned(),
        format!("mock-api.{namespace}"),
        format!("mock-api.{namespace}.svc"),
        format!("mock-api.{namespace}.svc.cluster.local"),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ]
}
