//! Certificates of receivers: checked against the machine's authorities and the operator's, or not
//! at all where a drain's URL says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Where distributions keep the authorities they trust; the first that is there is read.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The operator's file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the certificates in {path}", path = path.display())]
pub struct AuthoritiesError {
    path: PathBuf,
    #[source]
    source: rustls::pki_types::pem::Error,
}

/// How receivers are met.
pub(crate) struct Tls {
    verified: Arc<ClientConfig>,
    unverified: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the machine's authorities, and the operator's.
    pub fn new(authorities: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let mut roots = RootCertStore::empty();
        let bundle = BUNDLES.into_iter().map(Path::new).find(|path| path.is_file());
        match bundle.map(certificates) {
            Some(Ok(found)) => drop(roots.add_parsable_certificates(found)),
            Some(Err(error)) => tracing::warn!(%error, "drains trust no authority of the machine"),
            None => tracing::warn!("drains trust no authority of the machine: no file of them"),
        }
        if let Some(path) = authorities {
            let failed = |source| AuthoritiesError { path: path.to_owned(), source };
            roots.add_parsable_certificates(certificates(path).map_err(failed)?);
        }
        let provider = Arc::new(ring::default_provider());
        let verified = builder(&provider).with_root_certificates(roots).with_no_client_auth();
        let unverified = builder(&provider)
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            .with_no_client_auth();
        Ok(Self { verified: Arc::new(verified), unverified: Arc::new(unverified) })
    }

    /// The configuration of a connection.
    pub fn config(&self, is_verified: bool) -> Arc<ClientConfig> {
        if is_verified { self.verified.clone() } else { self.unverified.clone() }
    }
}

fn builder(
    provider: &Arc<CryptoProvider>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring knows the protocol versions that rustls does")
}

fn certificates(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

/// Takes any certificate (`#insecure`). The connection is still encrypted.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
