//! Maps keyed by ids. Ids are random already, so hashing them is taking a part of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map keyed by ids.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Takes the last eight bytes of what it is given: random ones, of a UUID of version 4.
#[derive(Clone, Copy, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        match bytes.last_chunk() {
            // The two bits that are the same in all go to the middle, where no map looks.
            Some(last) => self.0 = u64::from_ne_bytes(*last).rotate_right(32),
            None => bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte)),
        }
    }

    /// The length of what follows tells nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use model::DynoId;

    use super::*;

    #[test]
    fn ids_are_found_again_and_spread() {
        let ids: Vec<_> = (0..1000).map(|_| DynoId::random()).collect();
        let map: IdMap<_, _> = ids.iter().zip(0..).collect();
        assert!(ids.iter().zip(0..).all(|(id, index)| map.get(id) == Some(&index)));
        let hash = |id: &DynoId| {
            let mut hasher = IdHasher::default();
            std::hash::Hash::hash(id, &mut hasher);
            hasher.finish()
        };
        // Both ends of the hash matter to the map: its bucket and its tag.
        let differ = |shift: u32| {
            let parts: std::collections::HashSet<_> =
                ids.iter().map(|id| hash(id) >> shift & 0x7f).collect();
            parts.len() > 100
        };
        assert!(differ(0) && differ(57));
    }
}
