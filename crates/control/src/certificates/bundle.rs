//! What a person (or an authority) hands in as certificate and key: read, checked, put in order.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::certificate::{self, Facts, Link, Trust};
use model::{Secret, Timestamp};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::SigningKey;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use crate::authorities;

/// More bytes than any real chain or key has.
const MAX_BYTES: usize = 128 * 1024;
/// More certificates than any real chain has.
const MAX_CERTIFICATES: usize = 32;
/// Fewer bits are no protection; no client takes them.
const MIN_RSA_BITS: usize = 2048;

/// A certificate whose key is here, with its chain in order.
pub(crate) struct Bundle {
    /// PEM: the certificate, then who signed it, and so on.
    pub chain: String,
    /// The key, in PEM.
    pub key: Secret,
    /// What the certificate says.
    pub facts: Facts,
}

/// Why certificate and key were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says what is wrong")]
pub enum Rejection {
    #[error("The certificate or key is larger than {} KiB.", MAX_BYTES / 1024)]
    TooLarge,
    #[error(
        "No certificate given is PEM encoded: the file must hold -----BEGIN CERTIFICATE----- blocks."
    )]
    NoCertificate,
    #[error("There are more than {MAX_CERTIFICATES} certificates in the chain.")]
    TooMany,
    #[error("Certificate {0} of the chain could not be read: it is damaged, or no certificate.")]
    Damaged(usize),
    #[error("The certificate and the key are in each other's place.")]
    Swapped,
    #[error("Key could not be read since it's protected by a passphrase.")]
    Encrypted,
    #[error("Key could not be read: it must be a PEM encoded private key.")]
    NoKey,
    #[error("The key is an RSA key of {0} bits; clients take at least {MIN_RSA_BITS} bits.")]
    Weak(usize),
    #[error(
        "The key is of a kind that is not supported: use RSA (2048 to 8192 bits), ECDSA (P-256 or \
         P-384) or Ed25519."
    )]
    UnsupportedKey,
    #[error("Key doesn't match the PEM certificate.")]
    Mismatch,
    #[error("No certificate given is a domain name certificate.")]
    NoNames,
    #[error("The certificate expired at {0}.")]
    Expired(String),
}

/// Reads, checks and orders what was handed in.
pub(crate) fn check(
    chain: &str,
    key: &Secret,
    trusted: &Arc<RootCertStore>,
    now: Timestamp,
) -> Result<Bundle, Rejection> {
    if chain.len().max(key.reveal().len()) > MAX_BYTES {
        return Err(Rejection::TooLarge);
    }
    if chain.contains("PRIVATE KEY-----") && key.reveal().contains("BEGIN CERTIFICATE-----") {
        return Err(Rejection::Swapped);
    }
    let ders = certificates(chain)?;
    let parsed = parse(&ders)?;
    let (key, signer) = read_key(key, &parsed)?;
    let leaf = owner_of(signer.as_ref(), &parsed)?;
    let order = certificate::chain(&links(&parsed), leaf);
    let facts = facts(&parsed[leaf], &order, &ders, trusted)?;
    if facts.expires_at <= now {
        return Err(Rejection::Expired(facts.expires_at.rfc3339()));
    }
    let chain = order.iter().map(|&index| pem("CERTIFICATE", &ders[index])).collect();
    Ok(Bundle { chain, key, facts })
}

fn certificates(chain: &str) -> Result<Vec<CertificateDer<'static>>, Rejection> {
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(chain.as_bytes()) {
        found.push(der.map_err(|_| Rejection::Damaged(found.len() + 1))?);
        if found.len() > MAX_CERTIFICATES {
            return Err(Rejection::TooMany);
        }
    }
    if found.is_empty() { Err(Rejection::NoCertificate) } else { Ok(found) }
}

fn parse<'a>(ders: &'a [CertificateDer<'static>]) -> Result<Vec<X509Certificate<'a>>, Rejection> {
    let one = |(index, der): (usize, &'a CertificateDer<'static>)| {
        let parsed = X509Certificate::from_der(der).map_err(|_| Rejection::Damaged(index + 1))?;
        Ok(parsed.1)
    };
    ders.iter().enumerate().map(one).collect()
}

fn read_key(
    key: &Secret,
    certificates: &[X509Certificate<'_>],
) -> Result<(Secret, Arc<dyn SigningKey>), Rejection> {
    if key.reveal().contains("ENCRYPTED") {
        return Err(Rejection::Encrypted);
    }
    let der =
        PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(|_| Rejection::NoKey)?;
    let signer = authorities::provider().key_provider.load_private_key(der.clone_key());
    let signer = signer.map_err(|_| why_no_key(certificates))?;
    let label = match &der {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    // Only the key itself is kept, of whatever else the file holds.
    Ok((Secret::new(pem(label, der.secret_der())), signer))
}

/// The library does not say why it takes a key or not; the certificate shows it.
fn why_no_key(certificates: &[X509Certificate<'_>]) -> Rejection {
    let weak = certificates.iter().find_map(|certificate| rsa_bits(certificate));
    match weak {
        Some(bits) if bits < MIN_RSA_BITS => Rejection::Weak(bits),
        _ => Rejection::UnsupportedKey,
    }
}

fn rsa_bits(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        _ => None,
    }
}

/// The certificate of this key.
fn owner_of(key: &dyn SigningKey, all: &[X509Certificate<'_>]) -> Result<usize, Rejection> {
    let public = key.public_key().ok_or(Rejection::UnsupportedKey)?;
    let same = |one: &X509Certificate<'_>| one.public_key().raw == public.as_ref();
    all.iter().position(same).ok_or(Rejection::Mismatch)
}

fn links<'a>(certificates: &'a [X509Certificate<'_>]) -> Vec<Link<'a>> {
    let link = |one: &'a X509Certificate<'_>| Link {
        subject: one.subject().as_raw(),
        issuer: one.issuer().as_raw(),
    };
    certificates.iter().map(link).collect()
}

fn facts(
    leaf: &X509Certificate<'_>,
    order: &[usize],
    ders: &[CertificateDer<'static>],
    trusted: &Arc<RootCertStore>,
) -> Result<Facts, Rejection> {
    let names = names(leaf);
    let first = names.first().ok_or(Rejection::NoNames)?;
    let at = |time: &x509_parser::time::ASN1Time| {
        Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
    };
    let starts_at = at(&leaf.validity().not_before);
    let chain: Vec<_> = order.iter().filter_map(|&index| ders.get(index).cloned()).collect();
    let trust = if is_vouched_for(&chain, first, starts_at, trusted) {
        Trust::Authority
    } else if leaf.subject().as_raw() == leaf.issuer().as_raw() {
        Trust::SelfSigned
    } else {
        Trust::Unknown
    };
    Ok(Facts {
        subject: one_line(leaf.subject()),
        issuer: one_line(leaf.issuer()),
        starts_at,
        expires_at: at(&leaf.validity().not_after),
        trust,
        names,
    })
}

/// The alternative names, or the common name of a certificate that has none.
fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = leaf.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.filter(|name| name.contains('.')).map(str::to_lowercase));
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Whether a client that trusts what this machine trusts takes the chain.
fn is_vouched_for(
    chain: &[CertificateDer<'static>],
    name: &str,
    at: Timestamp,
    trusted: &Arc<RootCertStore>,
) -> bool {
    let Some((leaf, rest)) = chain.split_first() else { return false };
    let provider = authorities::provider();
    let verifier = WebPkiServerVerifier::builder_with_provider(trusted.clone(), provider).build();
    let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from(name.replacen('*', "x", 1)))
    else {
        return false;
    };
    let since_epoch = Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0));
    let at = UnixTime::since_unix_epoch(since_epoch);
    verifier.verify_server_cert(leaf, rest, &name, &[], at).is_ok()
}

/// `/C=US/O=Example/CN=www.example.com`, as OpenSSL writes a name on one line.
fn one_line(name: &X509Name<'_>) -> String {
    let part = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let oid = attribute.attr_type();
        let label = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), Into::into);
        format!("/{label}={}", attribute.as_str().unwrap_or("?"))
    };
    name.iter_attributes().map(part).collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.flat_map(|line| [line, "\n".into()]).collect();
    format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
}

#[cfg(test)]
mod tests;
