//! A hash map that is cheap to copy and to change after it was copied.
//!
//! Its entries lie in a fixed number of small maps that copies share. A copy costs one counter; a
//! change after a copy copies the one small map it is in, so it costs 1/256 of the whole. A look-up
//! is one in an ordinary hash map, whatever the size.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// With 30,000 names one part holds 117.
const PARTS: usize = 256;

type Part<K, V> = Arc<HashMap<K, V>>;

/// A copy-on-write hash map.
#[derive(Clone, Debug)]
pub struct Shards<K, V> {
    parts: Arc<[Part<K, V>]>,
    // Not that of the parts: all keys of a part have the same remainder of this one.
    hasher: RandomState,
    len: usize,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let empty: Part<K, V> = Arc::default();
        let parts = std::iter::repeat_n(empty, PARTS).collect();
        Self { parts, hasher: RandomState::new(), len: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    /// The value of `key`.
    #[must_use]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[self.part_of(key)].get(key)
    }

    /// Sets the value of `key`; answers the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.part_mut(&key).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Removes `key`; answers the value it had.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // What is not there need not be copied in order to be removed.
        self.get(key)?;
        let before = self.part_mut(key).remove(key);
        self.len -= usize::from(before.is_some());
        before
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    fn part_mut<Q: Hash + ?Sized>(&mut self, key: &Q) -> &mut HashMap<K, V> {
        let index = self.part_of(key);
        Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[index])
    }

    #[allow(clippy::cast_possible_truncation, reason = "the remainder is below `PARTS`")]
    fn part_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        (self.hasher.hash_one(key) % PARTS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any series of changes gives what a plain map gives, and no copy taken on the way changes.
        #[test]
        fn it_is_a_map_and_copies_stay_as_they_were(
            changes in prop::collection::vec((0_u16..500, any::<Option<u8>>()), 0..400),
        ) {
            let (mut shards, mut plain) = (Shards::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (step, (key, value)) in changes.into_iter().enumerate() {
                let before = match value {
                    Some(value) => (shards.insert(key, value), plain.insert(key, value)),
                    None => (shards.remove(&key), plain.remove(&key)),
                };
                prop_assert_eq!(before.0, before.1);
                if step % 50 == 0 {
                    copies.push((shards.clone(), plain.clone()));
                }
            }
            copies.push((shards, plain));
            for (shards, plain) in copies {
                prop_assert_eq!(shards.len(), plain.len());
                prop_assert!((0..500).all(|key| shards.get(&key) == plain.get(&key)));
                let listed: BTreeMap<_, _> = shards.iter().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(listed, plain);
            }
        }
    }

    #[test]
    fn a_change_leaves_all_other_parts_shared() {
        let mut shards: Shards<u32, u32> = Shards::default();
        for key in 0..30_000 {
            shards.insert(key, key);
        }
        let copy = shards.clone();
        shards.insert(7, 8);
        let same = shards.parts.iter().zip(&*copy.parts).filter(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(same.count(), PARTS - 1);
        assert_eq!((copy.get(&7), shards.get(&7)), (Some(&7), Some(&8)));
    }
}
