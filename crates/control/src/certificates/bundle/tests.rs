//! Real certificates, good and bad.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

/// A root, two authorities below it, and a leaf; each in PEM.
struct Family {
    root: String,
    outer: String,
    inner: String,
    leaf: String,
    key: Secret,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, "Example leaf");
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2124, 1, 1);
    params
}

fn family(leaf: &CertificateParams) -> Family {
    let key = || KeyPair::generate().expect("a key");
    let (root_key, outer_key, inner_key, leaf_key) = (key(), key(), key(), key());
    let (root, outer, inner) = (authority("root"), authority("outer"), authority("inner"));
    let root_pem = root.self_signed(&root_key).expect("signed").pem();
    let root_issuer = Issuer::new(root, root_key);
    let outer_pem = outer.signed_by(&outer_key, &root_issuer).expect("signed").pem();
    let outer_issuer = Issuer::new(outer, outer_key);
    let inner_pem = inner.signed_by(&inner_key, &outer_issuer).expect("signed").pem();
    let inner_issuer = Issuer::new(inner, inner_key);
    let leaf_pem = leaf.signed_by(&leaf_key, &inner_issuer).expect("signed").pem();
    Family {
        root: root_pem,
        outer: outer_pem,
        inner: inner_pem,
        leaf: leaf_pem,
        key: Secret::new(leaf_key.serialize_pem()),
    }
}

fn trusting(pem: &[&str]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for pem in pem {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        roots.add(der).expect("a root");
    }
    Arc::new(roots)
}

fn judge(chain: &str, key: &str) -> Result<Bundle, Rejection> {
    check(chain, &Secret::new(key), &trusting(&[]), Timestamp::now())
}

fn rejection(chain: &str, key: &str) -> Rejection {
    judge(chain, key).map(|bundle| bundle.facts).expect_err("refused")
}

fn ders(pem: &str) -> Vec<CertificateDer<'static>> {
    certificates(pem).expect("PEM")
}

#[test]
fn a_bundle_in_the_wrong_order_is_served_in_the_right_one() {
    let all = family(&leaf(&["WWW.example.com", "*.example.org", "www.example.com"]));
    let stranger = family(&leaf(&["other.example.com"]));
    let given = [&all.root, &all.outer, &stranger.leaf, &all.leaf, &all.inner, &all.outer];
    let given: String = given.map(|pem| format!("# a comment\n{pem}\r\n")).concat();
    let trusted = trusting(&[&all.root]);
    let bundle = check(&given, &all.key, &trusted, Timestamp::now()).expect("good");
    let wanted = format!("{}{}{}", all.leaf, all.inner, all.outer);
    assert_eq!(ders(&bundle.chain), ders(&wanted));
    assert_eq!(bundle.facts.names, ["www.example.com", "*.example.org"]);
    assert_eq!(bundle.facts.subject, "/CN=Example leaf/O=Example");
    assert_eq!(bundle.facts.issuer, "/CN=inner");
    assert_eq!(bundle.facts.expires_at.rfc3339(), "2124-01-01T00:00:00Z");
    assert_eq!(bundle.facts.trust, Trust::Authority);
    let unknown = check(&given, &all.key, &trusting(&[]), Timestamp::now()).expect("good");
    assert_eq!(unknown.facts.trust, Trust::Unknown);
}

#[test]
fn the_key_in_the_certificates_file_is_not_kept_with_the_chain() {
    let all = family(&leaf(&["www.example.com"]));
    let bundle = judge(&format!("{}{}", all.key.reveal(), all.leaf), all.key.reveal());
    let bundle = bundle.expect("good");
    assert!(!bundle.chain.contains("PRIVATE"));
    let again = judge(&bundle.chain, bundle.key.reveal()).expect("what is kept can be read");
    assert_eq!(again.facts, bundle.facts);
}

#[test]
fn a_certificate_with_a_common_name_only_is_taken() {
    let (chain, key) =
        (include_str!("../fixtures/common_name.crt"), include_str!("../fixtures/common_name.key"));
    let facts = judge(chain, key).expect("good").facts;
    assert_eq!(facts.names, ["old.example.com"]);
    assert_eq!(facts.subject, "/C=US/ST=CA/L=SF/O=Example/CN=old.example.com");
    assert_eq!((facts.trust, &facts.issuer), (Trust::SelfSigned, &facts.subject));
}

#[test]
fn what_is_wrong_is_said() {
    let all = family(&leaf(&["www.example.com"]));
    let other = family(&leaf(&["www.example.com"]));
    let (leaf_pem, key) = (all.leaf.as_str(), all.key.reveal());
    assert_eq!(rejection(leaf_pem, other.key.reveal()), Rejection::Mismatch);
    assert_eq!(rejection(&all.inner, key), Rejection::Mismatch);
    assert_eq!(rejection("certificate", key), Rejection::NoCertificate);
    assert_eq!(rejection("", ""), Rejection::NoCertificate);
    assert_eq!(rejection(leaf_pem, "key"), Rejection::NoKey);
    assert_eq!(rejection(leaf_pem, leaf_pem), Rejection::NoKey);
    assert_eq!(rejection(key, leaf_pem), Rejection::Swapped);
    let damaged = pem("CERTIFICATE", b"no certificate");
    assert_eq!(rejection(&format!("{leaf_pem}{damaged}"), key), Rejection::Damaged(2));
    assert_eq!(rejection(&all.leaf.repeat(40), key), Rejection::TooMany);
    assert_eq!(rejection(&"x".repeat(MAX_BYTES + 1), key), Rejection::TooLarge);
    let encrypted = include_str!("../fixtures/encrypted.key");
    assert_eq!(
        rejection(include_str!("../fixtures/common_name.crt"), encrypted),
        Rejection::Encrypted
    );
    let weak = (include_str!("../fixtures/weak.crt"), include_str!("../fixtures/weak.key"));
    assert_eq!(rejection(weak.0, weak.1), Rejection::Weak(1024));
    let odd = (include_str!("../fixtures/p521.crt"), include_str!("../fixtures/p521.key"));
    assert_eq!(rejection(odd.0, odd.1), Rejection::UnsupportedKey);
}

#[test]
fn an_expired_certificate_and_one_without_names_are_refused() {
    let mut old = leaf(&["www.example.com"]);
    old.not_before = rcgen::date_time_ymd(2020, 1, 1);
    old.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let old = family(&old);
    let expired = Rejection::Expired("2021-01-01T00:00:00Z".to_owned());
    assert_eq!(rejection(&old.leaf, old.key.reveal()), expired);
    let nameless = family(&leaf(&[]));
    assert_eq!(rejection(&nameless.leaf, nameless.key.reveal()), Rejection::NoNames);
}

#[test]
fn damaged_certificates_and_keys_are_refused_or_read_but_never_trusted() {
    let all = family(&leaf(&["www.example.com"]));
    let trusted = trusting(&[&all.root]);
    let chain = format!("{}{}", all.inner, all.outer);
    let whole = ders(&all.leaf).remove(0);
    for index in 0..whole.len() {
        let mut damaged = whole.to_vec();
        damaged[index] ^= 0x41;
        let given = format!("{}{chain}", pem("CERTIFICATE", &damaged));
        if let Ok(bundle) = check(&given, &all.key, &trusted, Timestamp::now()) {
            assert_ne!(bundle.facts.trust, Trust::Authority, "byte {index}");
        }
    }
    let key = PrivateKeyDer::from_pem_slice(all.key.reveal().as_bytes()).expect("a key");
    for index in 0..key.secret_der().len() {
        let mut damaged = key.secret_der().to_vec();
        damaged[index] ^= 0x41;
        let damaged = Secret::new(pem("PRIVATE KEY", &damaged));
        let outcome = check(&all.leaf, &damaged, &trusted, Timestamp::now());
        // What the library does not look at may differ; what signs may not.
        if let Ok(bundle) = outcome {
            let name = &bundle.facts.names[0];
            assert_eq!(name, "www.example.com", "byte {index}");
        }
    }
}
