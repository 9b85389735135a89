//! The certificate of the local endpoint: self-signed, and created for each process.

use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::{TLS12, TLS13};

/// The certificate can't be created.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The names aren't valid in a certificate, or no key could be created.
    #[error("failed to create a certificate")]
    Create(#[from] rcgen::Error),
    /// The TLS library doesn't accept the certificate.
    #[error("failed to use the certificate")]
    Use(#[from] rustls::Error),
}

/// The server configuration for TLS 1.2 and later, for the mock's Service in `namespace`.
pub(crate) fn configuration(namespace: &str) -> Result<Arc<ServerConfig>, CertificateError> {
    let certified = certify(namespace)?;
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let mut configuration = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())?;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

fn certify(namespace: &str) -> Result<CertifiedKey<KeyPair>, rcgen::Error> {
    rcgen::generate_simple_self_signed(names(namespace))
}

/// The names of the Service.
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

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    #[test]
    fn the_certificate_is_valid_only_for_the_names_of_the_service() {
        let certificate = certify("cell-a").unwrap().cert;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
        let verifier = verifier.build().unwrap();
        let is_valid_for = |name: &'static str| {
            let name = ServerName::try_from(name).unwrap();
            verifier
                .verify_server_cert(certificate.der(), &[], &name, &[], UnixTime::now())
                .is_ok()
        };
        for name in [
            "mock-api",
            "mock-api.cell-a",
            "mock-api.cell-a.svc",
            "mock-api.cell-a.svc.cluster.local",
            "localhost",
            "127.0.0.1",
        ] {
            assert!(is_valid_for(name), "{name}");
        }
        assert!(!is_valid_for("mock-api.plexd-e2e") && !is_valid_for("127.0.0.2"));
    }

    #[test]
    fn an_invalid_namespace_is_an_error() {
        assert!(configuration("zoë").is_err());
    }
}
