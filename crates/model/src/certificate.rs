//! Certificates of host names: what they say, whom they are for, and how automatic ones come about.

use std::time::Duration;

use crate::domain::DomainKind;
use crate::{AppId, CertificateId, DomainId, SniEndpointId, Timestamp};

/// Who vouches for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// An authority that this machine trusts.
    Authority,
    /// Nobody but itself.
    SelfSigned,
    /// Somebody this machine does not know.
    Unknown,
}

/// What a certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Host names, possibly `*.example.com`; lower-case.
    pub names: Vec<String>,
    /// `/C=US/O=Example/CN=www.example.com`.
    pub subject: String,
    /// As the subject.
    pub issuer: String,
    /// It is valid from then
    pub starts_at: Timestamp,
    /// until then.
    pub expires_at: Timestamp,
    /// Who vouches for it.
    pub trust: Trust,
}

/// A certificate with the chain that leads to its authority. Its private key is kept apart.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Its id; a renewed certificate is another.
    pub id: CertificateId,
    /// PEM: the certificate, then who signed it, and so on.
    pub chain: String,
    /// What it says.
    pub facts: Facts,
}

/// How a certificate came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A person brought it.
    Uploaded,
    /// The platform asked an authority for it, and renews it.
    Automatic,
}

/// An app's place for one certificate. Its domains point at it.
#[derive(Clone, Debug)]
pub struct SniEndpoint {
    /// Its id.
    pub id: SniEndpointId,
    /// Whose it is.
    pub app: AppId,
    /// Its name, unique within the app.
    pub name: String,
    /// How its certificate came here.
    pub origin: Origin,
    /// The certificate.
    pub certificate: Certificate,
    /// The domains that are served with it.
    pub domains: Vec<DomainId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its certificate was last changed.
    pub updated_at: Timestamp,
}

/// How far the automatic certificate of a domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmStatus {
    /// It was not asked for yet.
    Pending,
    /// The authority has seen that the name leads here.
    Verified,
    /// There is one.
    Issued,
    /// It was refused, and is asked for again soon.
    Failing,
    /// It was refused so often that it is asked for only once a day.
    Failed,
}

impl AcmStatus {
    /// The API's word; the official CLI knows `cert issued`, `verified` and `failed`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Issued => "cert issued",
            Self::Failing => "failing",
            Self::Failed => "failed",
        }
    }

    /// What refusals in a row make of it.
    #[must_use]
    pub const fn after_failures(failures: u32) -> Self {
        if failures < MANY_FAILURES { Self::Failing } else { Self::Failed }
    }
}

/// How far an automatic certificate is, and why no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acm {
    /// How far.
    pub status: AcmStatus,
    /// Why no further.
    pub reason: Option<String>,
}

impl Acm {
    /// The state of a domain of an app that wants automatic certificates, given what was noted.
    #[must_use]
    pub fn of(kind: DomainKind, hostname: &str, noted: Option<Self>) -> Option<Self> {
        let pending = Self { status: AcmStatus::Pending, reason: None };
        match kind {
            DomainKind::Heroku => None,
            DomainKind::Custom if hostname.starts_with("*.") => Some(Self::of_wildcard()),
            DomainKind::Custom => Some(noted.unwrap_or(pending)),
        }
    }

    fn of_wildcard() -> Self {
        let reason = "Wildcard domains get no automatic certificate; add one with certs:add";
        Self { status: AcmStatus::Failed, reason: Some(reason.to_owned()) }
    }
}

/// From here on a name counts as failed, not as failing.
const MANY_FAILURES: u32 = 6;

/// How long to wait after so many refusals in a row. Authorities bear about five refusals an hour.
#[must_use]
pub const fn back_off(failures: u32) -> Duration {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    Duration::from_secs(match failures {
        0 | 1 => MINUTE,
        2 => 5 * MINUTE,
        3 => 20 * MINUTE,
        4 => HOUR,
        5 => 4 * HOUR,
        _ => 24 * HOUR,
    })
}

/// When a certificate is to be renewed: when two thirds of its life are over.
#[must_use]
pub fn renew_at(facts: &Facts) -> Timestamp {
    let life = facts.expires_at.since(facts.starts_at);
    facts.starts_at + life / 3 * 2
}

/// Whether a certificate for `pattern` is good for `hostname`. A wildcard stands for one label; a
/// domain that is a wildcard needs the same wildcard.
#[must_use]
pub fn covers(pattern: &str, hostname: &str) -> bool {
    let parent = || hostname.split_once('.').map(|(_, parent)| parent);
    pattern == hostname || pattern.strip_prefix("*.").is_some_and(|rest| parent() == Some(rest))
}

/// Who signed whom, of one certificate of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its subject, as bytes.
    pub subject: &'a [u8],
    /// Its issuer, as bytes.
    pub issuer: &'a [u8],
}

impl Link<'_> {
    /// Whether it is its own issuer.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.subject == self.issuer
    }
}

/// The chain that begins with `leaf`: each followed by who signed it. What belongs to no chain, what
/// is there twice, and the root at the end (which clients have or do not trust) are left out.
#[must_use]
pub fn chain(bundle: &[Link<'_>], leaf: usize) -> Vec<usize> {
    let mut chain = vec![leaf];
    while let Some(last) = chain.last().and_then(|&last| bundle.get(last)) {
        if last.is_root() {
            break;
        }
        let signed = |&(index, link): &(usize, &Link<'_>)| {
            link.subject == last.issuer && !link.is_root() && !chain.contains(&index)
        };
        match bundle.iter().enumerate().find(signed) {
            Some((index, _)) => chain.push(index),
            None => break,
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(subject: &'static str, issuer: &'static str) -> Link<'static> {
        Link { subject: subject.as_bytes(), issuer: issuer.as_bytes() }
    }

    #[test]
    fn a_bundle_in_any_order_becomes_the_chain_without_root_and_strangers() {
        let bundle = [
            link("root", "root"),
            link("inner", "outer"),
            link("stranger", "nobody"),
            link("leaf", "inner"),
            link("inner", "outer"),
            link("outer", "root"),
        ];
        assert_eq!(chain(&bundle, 3), [3, 1, 5]);
    }

    #[test]
    fn circles_and_roots_end() {
        assert_eq!(chain(&[link("a", "b"), link("b", "a")], 0), [0, 1]);
        assert_eq!(chain(&[link("own", "own")], 0), [0]);
        assert_eq!(chain(&[], 0), [0]);
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("*.example.com", "www.example.com"));
        assert!(covers("*.example.com", "*.example.com"));
        assert!(covers("www.example.com", "www.example.com"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", "a.b.example.com"));
        assert!(!covers("www.example.com", "*.example.com"));
    }

    #[test]
    fn two_thirds_of_ninety_days_are_sixty() {
        let day = Duration::from_secs(24 * 60 * 60);
        let starts_at = Timestamp::from_micros(1_700_000_000_000_000);
        let facts = Facts {
            names: vec![],
            subject: String::new(),
            issuer: String::new(),
            starts_at,
            expires_at: starts_at + 90 * day,
            trust: Trust::Unknown,
        };
        assert_eq!(renew_at(&facts), starts_at + 60 * day);
    }

    #[test]
    fn refusals_make_the_waits_longer_and_never_forever() {
        for failures in 0..20 {
            assert!(back_off(failures) <= back_off(failures + 1));
        }
        assert_eq!(AcmStatus::after_failures(1), AcmStatus::Failing);
        assert_eq!(AcmStatus::after_failures(6), AcmStatus::Failed);
    }
}
