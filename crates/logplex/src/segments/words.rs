//! The words of lines, and a filter that knows which words a block may hold.
//!
//! A word is a run of ASCII letters, digits, `_` and whatever is not ASCII; case does not count.
//! A request id is thus five words, each of them looked for.

/// Bits per word, and places per word: one absent word in a hundred seems present.
const BITS_PER_WORD: usize = 10;
const PLACES: u32 = 5;

/// A byte of a word in lower case, or 0 for a byte between words.
const LOWER: [u8; 256] = lower();

const fn lower() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0_u8;
    loop {
        if at.is_ascii_alphanumeric() || at == b'_' || !at.is_ascii() {
            table[at as usize] = at.to_ascii_lowercase();
        }
        if at == u8::MAX {
            return table;
        }
        at += 1;
    }
}

/// Whether a byte is part of a word.
pub(crate) fn is_word(byte: u8) -> bool {
    LOWER[byte as usize] != 0
}

/// The hashes of all words of a text.
pub(super) fn hashes(text: &[u8], mut found: impl FnMut(u64)) {
    const START: u64 = 0xCBF2_9CE4_8422_2325;
    let mut hash = START;
    for &byte in text {
        let byte = LOWER[byte as usize];
        if byte != 0 {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        } else if hash != START {
            found(mixed(hash));
            hash = START;
        }
    }
    if hash != START {
        found(mixed(hash));
    }
}

/// Spreads a hash over all of its bits; never 0.
fn mixed(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^= hash >> 33;
    hash.max(1)
}

/// A set of hashes that is filled anew for each block.
#[derive(Default)]
pub(super) struct Words {
    places: Vec<u64>,
    count: usize,
}

impl Words {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.places.clear();
        self.places.resize(1 << 16, 0);
        self.count = 0;
    }

    /// Adds a hash that is not 0.
    pub fn add(&mut self, hash: u64) {
        let mask = self.places.len() - 1;
        #[allow(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
        let mut at = hash as usize & mask;
        while self.places[at] != 0 {
            if self.places[at] == hash {
                return;
            }
            at = (at + 1) & mask;
        }
        self.places[at] = hash;
        self.count += 1;
        if self.count * 2 > self.places.len() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let larger = vec![0; self.places.len() * 2];
        let all = std::mem::replace(&mut self.places, larger);
        self.count = 0;
        all.into_iter().filter(|&hash| hash != 0).for_each(|hash| self.add(hash));
    }

    /// The filter that knows these words.
    pub fn filter(&self) -> Vec<u8> {
        let mut filter = vec![0; (self.count * BITS_PER_WORD).div_ceil(8).max(8)];
        for &hash in self.places.iter().filter(|&&hash| hash != 0) {
            for place in places(hash, filter.len()) {
                filter[place / 8] |= 1 << (place % 8);
            }
        }
        filter
    }
}

/// Whether a filter may know a word. It never denies one that it was made with.
pub(super) fn may_hold(filter: &[u8], hash: u64) -> bool {
    filter.is_empty()
        || places(hash, filter.len()).all(|place| filter[place / 8] >> (place % 8) & 1 == 1)
}

#[allow(clippy::cast_possible_truncation, reason = "two halves of one hash")]
fn places(hash: u64, bytes: usize) -> impl Iterator<Item = usize> {
    let (first, step) = (hash as u32, (hash >> 32) as u32 | 1);
    let bits = bytes as u64 * 8;
    (0..PLACES).map(move |n| {
        let at = u64::from(first.wrapping_add(n.wrapping_mul(step)));
        ((at * bits) >> 32) as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<u64> {
        let mut found = Vec::new();
        hashes(text.as_bytes(), |hash| found.push(hash));
        found
    }

    fn filter(texts: &[String]) -> Vec<u8> {
        let mut words = Words::default();
        words.clear();
        texts.iter().for_each(|text| hashes(text.as_bytes(), |hash| words.add(hash)));
        words.filter()
    }

    #[test]
    fn a_word_ends_where_it_should_whatever_its_case() {
        assert_eq!(all("Error=R14, café_2"), all("error r14 CAFé_2"));
        assert_eq!(all("a-b").len(), 2);
        assert_eq!(all(" .,").len(), 0);
    }

    #[test]
    fn a_filter_knows_every_word_and_hardly_any_other() {
        let texts: Vec<_> = (0..40_000).map(|n| format!("id-{n:x} x")).collect();
        let filter = filter(&texts);
        let known = |text: &String| all(text).into_iter().all(|hash| may_hold(&filter, hash));
        assert!(texts.iter().all(known));
        let others = (0..10_000).map(|n| format!("absent{n}"));
        let wrong = others.filter(known).count();
        assert!(wrong < 250, "{wrong} of 10000");
    }
}
