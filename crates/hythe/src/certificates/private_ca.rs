//! The private certificate authority of the quick start, and the platform's own certificate.
//!
//! The official CLI insists on verified TLS for git and for `run`; a server without a public name
//! therefore makes its own authority on the first start, whose certificate a person hands to their
//! client once (`hythe admin ca`).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::private_files;

const DAY_SECONDS: i64 = 24 * 60 * 60;
const CA_DAYS: i64 = 3650;
/// Clients refuse leaf certificates that live longer.
const LEAF_DAYS: i64 = 397;

/// What a leaf was made for, to know when it must be made anew.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Leaf {
    names: Vec<String>,
    renew_after: i64,
}

/// The authority's certificate, for people to trust.
///
/// # Errors
/// When it cannot be read.
pub fn ca(data_dir: &Path) -> anyhow::Result<String> {
    read(&data_dir.join("tls/ca.pem"))
}

/// The certificate of the platform's own names. Makes what is missing; renews the leaf when
/// two thirds of its life are over or the names have changed.
///
/// # Errors
/// When a file cannot be read or written, or holds something else.
pub fn ensure(data_dir: &Path, domain: &str) -> anyhow::Result<Arc<CertifiedKey>> {
    let dir = data_dir.join("tls");
    private_files::directory(&dir)?;
    ensure_ca(&dir)?;
    let names = names(domain);
    if !leaf_is_good(&dir, &names) {
        make_leaf(&dir, names)?;
    }
    certified_key(&dir)
}

fn names(domain: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "*.localhost".to_owned(), "127.0.0.1".to_owned()];
    names.push("::1".to_owned());
    if domain != "localhost" {
        names.extend([domain.to_owned(), format!("*.{domain}")]);
    }
    names
}

fn ensure_ca(dir: &Path) -> anyhow::Result<()> {
    if dir.join("ca.pem").exists() && dir.join("ca.key").exists() {
        return Ok(());
    }
    let key = KeyPair::generate().context("make the authority's key")?;
    let mut params = params("Hythe private CA", CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).context("sign the authority's certificate")?;
    private_files::write(&dir.join("ca.key"), key.serialize_pem().as_bytes())?;
    private_files::write(&dir.join("ca.pem"), certificate.pem().as_bytes())
}

fn leaf_is_good(dir: &Path, names: &[String]) -> bool {
    let leaf = fs::read(dir.join("server.json"))
        .ok()
        .and_then(|text| serde_json::from_slice::<Leaf>(&text).ok());
    let files = dir.join("server.pem").exists() && dir.join("server.key").exists();
    files && leaf.is_some_and(|leaf| leaf.names == names && leaf.renew_after > now_seconds())
}

fn make_leaf(dir: &Path, names: Vec<String>) -> anyhow::Result<()> {
    let ca_key = KeyPair::from_pem(&read(&dir.join("ca.key"))?).context("read the CA's key")?;
    let ca = Issuer::from_ca_cert_pem(&read(&dir.join("ca.pem"))?, ca_key)
        .context("read the CA's certificate")?;
    let key = KeyPair::generate().context("make the server's key")?;
    let mut params = params("Hythe", LEAF_DAYS);
    params.subject_alt_names = CertificateParams::new(names.clone())
        .context("write the server's names")?
        .subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&key, &ca).context("sign the server's certificate")?;
    let renew_after = now_seconds() + LEAF_DAYS * DAY_SECONDS * 2 / 3;
    private_files::write(&dir.join("server.key"), key.serialize_pem().as_bytes())?;
    private_files::write(&dir.join("server.pem"), leaf.pem().as_bytes())?;
    let about = serde_json::to_vec(&Leaf { names, renew_after })?;
    private_files::write(&dir.join("server.json"), &about)
}

fn params(common_name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    // An hour back, for clients whose clock is late.
    params.not_before = moment(now_seconds() - 3600);
    params.not_after = moment(now_seconds() + days * DAY_SECONDS);
    params
}

fn certified_key(dir: &Path) -> anyhow::Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_file_iter(dir.join("server.pem"))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .context("read the server's certificate")?;
    let key =
        PrivateKeyDer::from_pem_file(dir.join("server.key")).context("read the server's key")?;
    router::certified_key(chain, key).context("use the server's certificate")
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn now_seconds() -> i64 {
    Timestamp::now().micros() / 1_000_000
}

fn moment(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_reuses_the_certificate_and_a_new_domain_renews_only_the_leaf() {
        let dir = tempfile::tempdir().expect("a directory");
        ensure(dir.path(), "localhost").expect("first");
        let files = |name: &str| fs::read(dir.path().join("tls").join(name)).expect("there");
        let (ca, leaf) = (files("ca.pem"), files("server.pem"));
        ensure(dir.path(), "localhost").expect("second");
        assert!(files("ca.pem") == ca && files("server.pem") == leaf);
        ensure(dir.path(), "paas.example.com").expect("third");
        assert!(files("ca.pem") == ca && files("server.pem") != leaf);
    }
}
