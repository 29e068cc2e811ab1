//! The addresses of one server's dynos. Several servers on a machine never share any.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Attempt, Error, Result};
use crate::protocol::Network;

/// Subnets there are: 172.16.0.0/12 in pieces of 4096 dynos.
const SUBNETS: u8 = 64;

/// Dynos per subnet, four addresses each.
const SLOTS: u32 = 4096;

/// First address of all.
const FIRST: u32 = u32::from_be_bytes([172, 16, 0, 0]);

/// A piece of 172.16.0.0/12, large enough for 4096 dynos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    index: u8,
}

/// A subnet that no other server on this machine uses as long as this value lives. Dynos that
/// outlive the server keep it from others, too: their routes are seen.
#[derive(Debug)]
pub struct Claim {
    /// The subnet.
    pub subnet: Subnet,
    _lock: Flock<File>,
}

impl Subnet {
    /// How many dynos have a place here.
    pub const SLOTS: u32 = SLOTS;

    /// The network of the `number`th dyno, from 0; none beyond [`Subnet::SLOTS`].
    #[must_use]
    pub fn slot(self, number: u32) -> Option<Network> {
        if number >= SLOTS {
            return None;
        }
        let first = self.first() + number * 4;
        Some(Network {
            gateway: Ipv4Addr::from(first + 1),
            address: Ipv4Addr::from(first + 2),
            interface: format!("{}{number}", self.interfaces()),
        })
    }

    /// The subnet as `172.16.0.0/18`.
    #[must_use]
    pub fn cidr(self) -> String {
        format!("{}/18", Ipv4Addr::from(self.first()))
    }

    /// What the names of this subnet's interfaces on the host begin with.
    #[must_use]
    pub fn interfaces(self) -> String {
        format!("hythe{}-", self.index)
    }

    /// Claims a subnet for the server called `instance`: the one it had before, else one that
    /// nobody had, else one whose owner has left nothing behind.
    ///
    /// # Errors
    /// When none is free, or the directory (such as `/run/hythe/net`) cannot be written.
    pub fn claim(directory: &Path, instance: &str) -> Result<Claim> {
        fs::create_dir_all(directory).attempt(|| format!("make {}", directory.display()))?;
        let routes = fs::read_to_string("/proc/net/route").attempt(|| "read the routes")?;
        let mut candidates = Vec::new();
        for index in 0..SUBNETS {
            let subnet = Self { index };
            let owner = fs::read_to_string(subnet.file(directory)).unwrap_or_default();
            let rank = match (owner == instance, subnet.is_routed(&routes)) {
                (true, _) => 0,
                (false, false) => 1 + u8::from(!owner.is_empty()),
                (false, true) => continue,
            };
            candidates.push((rank, subnet));
        }
        candidates.sort_by_key(|(rank, _)| *rank);
        for (_, subnet) in candidates {
            if let Some(claim) = subnet.try_claim(directory, instance)? {
                return Ok(claim);
            }
        }
        Err(Error::Spec("no private subnet is free on this machine".into()))
    }

    fn try_claim(self, directory: &Path, instance: &str) -> Result<Option<Claim>> {
        let path = self.file(directory);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.attempt(|| format!("open {}", path.display()))?;
        let Ok(mut lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            return Ok(None);
        };
        sign(&mut lock, instance).attempt(|| format!("sign {}", path.display()))?;
        Ok(Some(Claim { subnet: self, _lock: lock }))
    }

    fn file(self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.claim", self.index))
    }

    fn first(self) -> u32 {
        FIRST + u32::from(self.index) * SLOTS * 4
    }

    /// Whether the host already routes something here: another server's dynos, a virtual network.
    fn is_routed(self, routes: &str) -> bool {
        let (first, last) = (self.first(), self.first() + (SLOTS * 4 - 1));
        routes.lines().skip(1).filter_map(route).any(|(destination, mask)| {
            mask != 0 && destination <= last && destination | !mask >= first
        })
    }
}

/// Destination and mask of a line of `/proc/net/route`.
fn route(line: &str) -> Option<(u32, u32)> {
    let mut fields = line.split_whitespace();
    let destination = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
    let mask = u32::from_str_radix(fields.nth(5)?, 16).ok()?;
    Some((u32::from_be(destination), u32::from_be(mask)))
}

fn sign(file: &mut File, instance: &str) -> io::Result<()> {
    let mut owner = String::new();
    file.read_to_string(&mut owner)?;
    if owner != instance {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(instance.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ROUTES: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask\n";

    #[test]
    fn slots_are_pairs_of_addresses_that_never_meet() {
        let subnet = Subnet { index: 63 };
        let last = subnet.slot(SLOTS - 1).unwrap();
        assert_eq!(last.gateway, Ipv4Addr::new(172, 31, 255, 253));
        assert_eq!(last.address, Ipv4Addr::new(172, 31, 255, 254));
        assert_eq!(last.interface, "hythe63-4095");
        assert!(last.interface.len() <= 15);
        assert!(subnet.slot(SLOTS).is_none());
        assert_eq!(Subnet { index: 0 }.slot(1).unwrap().address, Ipv4Addr::new(172, 16, 0, 6));
        assert_eq!(Subnet { index: 1 }.cidr(), "172.16.64.0/18");
    }

    #[test]
    fn routes_of_others_are_seen() {
        let docker = format!("{NO_ROUTES}docker0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n");
        let taken: Vec<u8> =
            (0..SUBNETS).filter(|index| Subnet { index: *index }.is_routed(&docker)).collect();
        assert_eq!(taken, [4, 5, 6, 7]);
        let default = format!("{NO_ROUTES}eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n");
        assert!(!Subnet { index: 0 }.is_routed(&default));
    }

    #[test]
    fn two_servers_never_claim_the_same_subnet() {
        let directory = tempfile::tempdir().unwrap();
        let first = Subnet::claim(directory.path(), "one").unwrap();
        let second = Subnet::claim(directory.path(), "two").unwrap();
        assert_ne!(first.subnet, second.subnet);
        let kept = first.subnet;
        drop(first);
        assert_eq!(Subnet::claim(directory.path(), "one").unwrap().subnet, kept);
    }
}
