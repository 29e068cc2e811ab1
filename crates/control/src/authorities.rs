//! Whom certificates come from, and whom we trust.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;

/// The authorities of this platform.
#[derive(Clone)]
pub struct Authorities {
    trusted: Arc<RootCertStore>,
    /// Whom to ask for automatic certificates; none if the operator has not said.
    pub acme: Option<Arc<Acme>>,
}

impl Authorities {
    /// Trusts these roots, and asks `acme`. What cannot be read as a root is left out.
    #[must_use]
    pub fn new(trusted: Vec<CertificateDer<'static>>, acme: Option<Acme>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted);
        Self { trusted: Arc::new(roots), acme: acme.map(Arc::new) }
    }

    /// Nobody is trusted, nobody can be asked.
    pub(crate) fn none() -> Self {
        Self::new(Vec::new(), None)
    }

    /// The roots that are trusted.
    pub(crate) fn trusted(&self) -> &Arc<RootCertStore> {
        &self.trusted
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("acme", &self.acme).finish_non_exhaustive()
    }
}

/// An authority that speaks ACME (RFC 8555).
#[derive(Clone)]
pub struct Acme {
    /// URL of its directory.
    pub directory: String,
    /// E-mail address it may write to.
    pub contact: Option<String>,
    /// What its own server's certificate is checked against.
    pub roots: Vec<CertificateDer<'static>>,
    /// Renew after so long at the latest, whatever the certificate's life.
    pub renew_after: Option<Duration>,
    /// Whether the platform's own names, and apps' default ones, get certificates too.
    pub platform_names: bool,
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(ring::default_provider())
}
