//! Which certificates are trusted: the system's, and the private one of a server that has one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::failure::{Failure, Outcome, on_file};

/// Where distributions keep the bundle of certificates; the first that exists is used.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Trusted certificates: the system's, or only the private one if there is one.
pub(crate) fn roots(private: Option<&Path>) -> Outcome<Vec<CertificateDer<'static>>> {
    if let Some(path) = private {
        let text = std::fs::read(path).map_err(on_file("read", path))?;
        return certificates(&text, path);
    }
    let Some(path) = SYSTEM.iter().map(PathBuf::from).find(|path| path.exists()) else {
        return Ok(Vec::new());
    };
    let text = std::fs::read(&path).map_err(on_file("read", &path))?;
    certificates(&text, &path)
}

/// The certificates in a PEM file; at least one.
pub(crate) fn certificates(pem: &[u8], path: &Path) -> Outcome<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Failure::config(format!("{} holds no certificate", path.display()))
            .hint("It must be a PEM file, such as the one `hythe admin ca` prints.")),
    }
}

/// Says what to do about a failure, if it is that the server's certificate is not trusted.
pub(crate) fn explained(failure: Failure) -> Failure {
    if failure.message.contains("UnknownIssuer") {
        return failure.hint(
            "If the server has a private certificate authority, log in again with \
             `hythe login URL --ca FILE`; `hythe admin ca` on the server prints the file.",
        );
    }
    failure
}
