//! Dice: tokens, secrets, names. All from the system's generator.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{AppName, Secret};

use crate::{Error, Result};

const ADJECTIVES: [&str; 32] = [
    "amber", "ancient", "autumn", "bold", "brave", "bright", "calm", "clear", "cosmic", "crisp",
    "dawn", "deep", "eager", "fair", "gentle", "golden", "hidden", "humble", "jolly", "kind",
    "lively", "lucky", "mellow", "misty", "noble", "proud", "quiet", "rapid", "silent", "sunny",
    "vivid", "wild",
];

const NOUNS: [&str; 32] = [
    "anchor", "badger", "basin", "beacon", "bridge", "brook", "canyon", "cedar", "cliff", "comet",
    "delta", "ember", "falcon", "fjord", "forest", "garden", "harbor", "heron", "island", "lagoon",
    "lantern", "meadow", "otter", "pebble", "prairie", "quarry", "ridge", "river", "shore",
    "summit", "thicket", "valley",
];

/// An API token: `hythe-` and 240 random bits.
pub(crate) fn token() -> Result<Secret> {
    Ok(Secret::new(format!("hythe-{}", URL_SAFE_NO_PAD.encode(bytes::<30>()?))))
}

/// What a client says to join a one-off dyno: `rv.` and 160 random bits in hex.
pub(crate) fn attach_secret() -> Result<Secret> {
    Ok(Secret::new(format!("rv.{}", hex(&bytes::<20>()?))))
}

/// A name for an app whose maker gave none: `quiet-otter-48210`.
pub(crate) fn app_name() -> Result<AppName> {
    let [adjective, noun] = [below(32)?, below(32)?];
    let (adjective, noun) = (ADJECTIVES[adjective as usize], NOUNS[noun as usize]);
    let number = 10_000 + below(90_000)?;
    Ok(format!("{adjective}-{noun}-{number}").parse()?)
}

/// A label that tells one DNS target from all others.
pub(crate) fn dns_label() -> Result<String> {
    let [adjective, noun] = [below(32)?, below(32)?];
    let (adjective, noun) = (ADJECTIVES[adjective as usize], NOUNS[noun as usize]);
    Ok(format!("{adjective}-{noun}-{}", hex(&bytes::<6>()?)))
}

/// A number from 0 up to, but not including, `limit`.
pub(crate) fn below(limit: u32) -> Result<u32> {
    // The bias of the remainder is below one in ten thousand for the limits used here.
    Ok(u32::from_le_bytes(bytes::<4>()?) % limit)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_words_makes_a_good_app_name() {
        for adjective in ADJECTIVES {
            for noun in NOUNS {
                let name = format!("{adjective}-{noun}-12345");
                assert!(name.parse::<AppName>().is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn secrets_have_their_forms_and_differ() {
        let (one, two) = (token().expect("random"), token().expect("random"));
        assert!(one.reveal().starts_with("hythe-") && one.reveal().len() == 46);
        assert_ne!(one.reveal(), two.reveal());
        let attach = attach_secret().expect("random");
        let digits = attach.reveal().strip_prefix("rv.").expect("its prefix");
        assert!(digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
