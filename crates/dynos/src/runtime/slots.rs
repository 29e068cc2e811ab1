//! Slots: each dyno of this machine has a number, and from it addresses and user ids of its own.
//!
//! A slot is taken as long as the dyno's directory holds the file that says so; the set here is only
//! a copy of that.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sandbox::protocol::Network;

use crate::Addresses;

use super::Error;

/// Name of the file in a dyno's directory that holds the number of its slot.
pub(super) const FILE: &str = "slot";

/// The slots of this machine.
pub(super) struct Slots {
    block: Addresses,
    taken: Mutex<Taken>,
}

/// Slots in use, and where to look next: a slot that was just left is taken again last, so that
/// packets of a connection to the old dyno do not find a new one.
#[derive(Default)]
struct Taken {
    numbers: BTreeSet<u32>,
    next: u32,
}

/// One dyno's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u32);

impl Slots {
    pub(super) fn new(block: Addresses) -> Self {
        Self { block, taken: Mutex::default() }
    }

    /// A free slot.
    pub(super) fn take(&self) -> Result<Slot, Error> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let next = taken.next;
        let free = (next..self.block.slots).chain(0..next).find(|n| !taken.numbers.contains(n));
        let number = free.ok_or(Error::Full(self.block.slots))?;
        taken.numbers.insert(number);
        taken.next = (number + 1) % self.block.slots.max(1);
        Ok(Slot(number))
    }

    /// Marks the slot that a dyno's directory speaks of as taken.
    pub(super) fn remember(&self, dir: &Path) {
        if let Some(Slot(number)) = read(dir) {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.numbers.insert(number);
        }
    }

    /// Gives a slot back.
    pub(super) fn free(&self, slot: Slot) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.numbers.remove(&slot.0);
    }

    /// The network of a slot.
    pub(super) fn network(&self, slot: Slot) -> Network {
        let first = u32::from(self.block.first) + slot.0 * 4;
        Network {
            address: Ipv4Addr::from(first + 2),
            gateway: Ipv4Addr::from(first + 1),
            interface: format!("{}{}", self.block.interface_prefix, slot.0),
        }
    }

    /// First host id of a slot.
    pub(super) fn id_base(&self, slot: Slot) -> u32 {
        self.block.id_base + slot.0 * 65_536
    }
}

/// The slot that a dyno's directory speaks of.
pub(super) fn read(dir: &Path) -> Option<Slot> {
    std::fs::read_to_string(dir.join(FILE)).ok()?.trim().parse().ok().map(Slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(count: u32) -> Slots {
        Slots::new(Addresses {
            first: Ipv4Addr::new(172, 20, 0, 0),
            slots: count,
            interface_prefix: "hy1-".into(),
            id_base: 65_536 * 100,
        })
    }

    #[test]
    fn a_slot_is_given_to_one_dyno_at_a_time_and_again_last() {
        let slots = slots(3);
        let take = || slots.take().map(|slot| slot.0).ok();
        assert_eq!([take(), take()], [Some(0), Some(1)]);
        slots.free(Slot(0));
        assert_eq!([take(), take(), take()], [Some(2), Some(0), None]);
    }

    #[test]
    fn slots_share_neither_addresses_nor_ids() {
        let slots = slots(100);
        let network = slots.network(Slot(70));
        assert_eq!(network.address, Ipv4Addr::new(172, 20, 1, 26));
        assert_eq!(network.gateway, Ipv4Addr::new(172, 20, 1, 25));
        assert_eq!(network.interface, "hy1-70");
        assert_eq!(slots.id_base(Slot(70)), 65_536 * 170);
    }

    #[test]
    fn what_a_directory_says_is_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join(FILE), "0\n").expect("written");
        let slots = slots(2);
        slots.remember(dir.path());
        assert_eq!(slots.take().map(|slot| slot.0).ok(), Some(1));
    }
}
