//! The authorities' certificates that this machine trusts.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where distributions keep them in one file; the first that exists is used.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Those of the system; none, and a line in the server's log, where there is no such file.
pub fn system() -> Vec<CertificateDer<'static>> {
    let Some(path) = BUNDLES.iter().map(Path::new).find(|path| path.exists()) else {
        tracing::warn!("this machine has no file of trusted authorities (ca-certificates)");
        return Vec::new();
    };
    file(path).unwrap_or_else(|error| {
        tracing::warn!("{error:#}");
        Vec::new()
    })
}

/// Those in a PEM file; at least one.
///
/// # Errors
/// When it cannot be read or holds none.
pub fn file(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.with_context(|| format!("read {}", path.display()))?;
    if found.is_empty() {
        bail!("{} holds no certificate in PEM", path.display());
    }
    Ok(found)
}
