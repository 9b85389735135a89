//! HTTP clients, and which certificates they trust.
//!
//! The system's root certificates are read only by a client that needs them: an agent that speaks plain HTTP, or is
//! configured to skip verification, starts without reading a certificate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tracing::warn;

use crate::config::Endpoint;
use crate::dns::UncachedResolver;

/// The timeout for establishing a connection, including the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The certificates that a client trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// None: the server speaks plain HTTP.
    None,
    /// The system's root certificates.
    System,
    /// Any certificate, as configured.
    Any,
}

impl Trust {
    fn of(endpoint: &Endpoint, skip_verify: bool) -> Self {
        match (endpoint.is_secure(), skip_verify) {
            (false, _) => Self::None,
            (true, false) => Self::System,
            (true, true) => Self::Any,
        }
    }
}

/// A client can't be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// TLS can't be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP client can't be set up.
    #[error("cannot set up the HTTP client")]
    Http(#[from] reqwest::Error),
}

/// The clients of a process, one per kind of trust, so that connections and TLS sessions are shared.
#[derive(Debug, Default)]
pub(crate) struct Clients(BTreeMap<Trust, Client>);

impl Clients {
    /// The client for an endpoint's configuration, created when it is first needed.
    pub(crate) fn for_endpoint(
        &mut self,
        endpoint: &Endpoint,
        skip_verify: bool,
    ) -> Result<Client, ClientError> {
        let trust = Trust::of(endpoint, skip_verify);
        if let Some(client) = self.0.get(&trust) {
            return Ok(client.clone());
        }
        let client = client(trust)?;
        self.0.insert(trust, client.clone());
        Ok(client)
    }
}

/// A client that uses the agent's resolver and ignores proxies in the environment.
pub(crate) fn client(trust: Trust) -> Result<Client, ClientError> {
    let client = Client::builder()
        .user_agent(concat!("plexd/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(UncachedResolver))
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy()
        .tls_backend_preconfigured(configuration(trust)?)
        .build()?;
    Ok(client)
}

fn configuration(trust: Trust) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    Ok(match trust {
        Trust::None => builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
        Trust::System => builder
            .with_root_certificates(system_roots())
            .with_no_client_auth(),
        Trust::Any => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
    })
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, unusable) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        warn!(
            unusable,
            errors = found.errors.len(),
            "the system has no root certificates, so no server is trusted"
        );
    }
    roots
}

/// Accepts any certificate, but still verifies that the handshake is signed with the certificate's key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_depends_on_the_endpoint() {
        for (url, skip_verify, expected) in [
            ("http://a", false, Trust::None),
            ("http://a", true, Trust::None),
            ("https://a", false, Trust::System),
            ("https://a", true, Trust::Any),
        ] {
            let endpoint = Endpoint::try_from(url.to_owned()).unwrap();
            assert_eq!(
                Trust::of(&endpoint, skip_verify),
                expected,
                "{url} {skip_verify}"
            );
        }
    }

    #[test]
    fn a_client_can_be_created_for_each_kind_of_trust() {
        for trust in [Trust::None, Trust::System, Trust::Any] {
            client(trust).unwrap();
        }
    }
}
