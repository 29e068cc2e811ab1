//! Signed URLs of streams.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use model::Secret;
use sha2::Sha256;

/// What a signed URL lets its bearer read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What a build printed.
    BuildOutput,
    /// What a release command printed.
    ReleaseOutput,
    /// A source archive or a slug's file-system image, named by its content.
    Archive,
}

impl Stream {
    const ALL: [Self; 3] = [Self::BuildOutput, Self::ReleaseOutput, Self::Archive];

    const fn word(self) -> &'static str {
        match self {
            Self::BuildOutput => "build-output",
            Self::ReleaseOutput => "release-output",
            Self::Archive => "archive",
        }
    }
}

impl FromStr for Stream {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|stream| stream.word() == word).ok_or(())
    }
}

/// Leave to read one stream of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    /// Which stream.
    pub stream: Stream,
    /// Of what: an id or a blob's name. It has no slash.
    pub of: String,
}

impl Licence {
    /// Leave to read `stream` of `of`.
    pub fn new(stream: Stream, of: impl ToString) -> Self {
        Self { stream, of: of.to_string() }
    }

    /// The path of the URL that proves this licence.
    #[must_use]
    pub fn path(&self, key: &Secret) -> String {
        let signature = URL_SAFE_NO_PAD.encode(self.mac(key).finalize().into_bytes());
        format!("/streams/{self}/{signature}")
    }

    /// Whether `signature` proves this licence.
    #[must_use]
    pub fn is_proved(&self, signature: &str, key: &Secret) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.mac(key).verify_slice(&bytes).is_ok()
    }

    fn mac(&self, key: &Secret) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes());
        let mac = mac.expect("HMAC takes a key of any length");
        mac.chain_update(self.to_string())
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream.word(), self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_own_stream_and_key_only() {
        let key = Secret::new("key");
        let licence = Licence::new(Stream::BuildOutput, "id");
        let path = licence.path(&key);
        let signature = path.rsplit('/').next().expect("a path has a last part");
        assert!(licence.is_proved(signature, &key));
        assert!(!licence.is_proved(signature, &Secret::new("other")));
        assert!(!Licence::new(Stream::Archive, "id").is_proved(signature, &key));
        assert!(!Licence::new(Stream::BuildOutput, "other").is_proved(signature, &key));
        assert!(!licence.is_proved(&signature[..20], &key));
        assert!(!licence.is_proved("", &key));
    }
}
