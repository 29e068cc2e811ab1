//! Encryption at rest: XChaCha20-Poly1305 with a key that lives outside the database.
//!
//! A sealed value is bound to its row: it opens only under the same place (`apps/<id>/config`), so
//! that nobody can copy one app's secrets into another's row.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::{Error, Result};

/// First byte of a sealed value: how it is sealed. Another cipher would get another number.
const FORMAT: u8 = 1;
const NONCE: usize = 24;

/// Seals and opens secrets. It never prints.
pub struct Vault(XChaCha20Poly1305);

impl Vault {
    /// A vault with this key.
    #[must_use]
    pub fn new(mut key: [u8; 32]) -> Self {
        let vault = Self(XChaCha20Poly1305::new(&key.into()));
        zeroize::Zeroize::zeroize(&mut key);
        vault
    }

    /// Seals `plain` for the row at `place`.
    ///
    /// # Errors
    /// When the system has no random bytes to give.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| Error::Seal { place: place.to_owned() })?;
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = self.0.encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| Error::Seal { place: place.to_owned() })?;
        Ok([&[FORMAT], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for the row at `place`.
    ///
    /// # Errors
    /// When the key or the place is another, or a byte was changed.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let refused = || Error::Unseal { place: place.to_owned() };
        let rest = sealed.strip_prefix(&[FORMAT]).ok_or_else(refused)?;
        let (nonce, rest) = rest.split_at_checked(NONCE).ok_or_else(refused)?;
        let payload = Payload { msg: rest, aad: place.as_bytes() };
        self.0.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_in_its_own_row_with_its_own_key() {
        let vault = Vault::new([7; 32]);
        let sealed = vault.seal("apps/1/config", b"s3cret").expect("sealed");
        assert_eq!(vault.open("apps/1/config", &sealed).expect("opened"), b"s3cret");
        assert!(vault.open("apps/2/config", &sealed).is_err());
        assert!(Vault::new([8; 32]).open("apps/1/config", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(vault.open("apps/1/config", &changed).is_err(), "byte {index}");
        }
        assert!(vault.open("apps/1/config", &[]).is_err());
        assert!(!sealed.windows(6).any(|window| window == b"s3cret"));
    }

    #[test]
    fn equal_values_do_not_look_equal() {
        let vault = Vault::new([7; 32]);
        assert_ne!(vault.seal("a", b"x").expect("sealed"), vault.seal("a", b"x").expect("sealed"));
    }
}
