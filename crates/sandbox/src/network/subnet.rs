//! The addresses and ids of one server's dynos. Several servers on a machine never share any.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Attempt, Error, Result};
use crate::ids::COUNT;
use crate::protocol::Network;

/// Where the servers of this machine say which subnet is whose.
const CLAIMS: &str = "/run/hythe/net";

/// Subnets there are, all in 172.16.0.0/12, where Heroku's dynos live too.
const SUBNETS: u32 = 32;

/// Addresses from one subnet to the next.
const STRIDE: u32 = 32 * 1024;

/// Dynos of a server at one time: as many as there are ids for.
const SLOTS: u32 = 1000;

/// Length of a subnet's prefix: room for four addresses for each of its dynos.
const PREFIX: u8 = 20;

/// What this process has claimed. The process itself holds it, so that no value has to be carried
/// around for it.
static HELD: Mutex<Vec<Flock<File>>> = Mutex::new(Vec::new());

/// First address of all.
const FIRST: u32 = u32::from_be_bytes([172, 16, 0, 0]);

/// First host id of all: above those that distributions hand out to people and their containers. The
/// last is below 2^31, because parts of the kernel read ids as signed numbers.
const FIRST_ID: u32 = 256 * COUNT;

/// A server's share of what a machine has. Dyno `n` has the four addresses from `first + 4 n`: the
/// second is the host's end, the third the dyno's; and the 65536 ids from `id_base + 65536 n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// First address.
    pub first: Ipv4Addr,
    /// How many dynos have a place.
    pub slots: u32,
    /// What the names of the host's ends begin with; a dyno's number follows.
    pub interface_prefix: String,
    /// First host id.
    pub id_base: u32,
}

impl Subnet {
    fn of(index: u32) -> Self {
        Self {
            first: Ipv4Addr::from(FIRST + index * STRIDE),
            slots: SLOTS,
            interface_prefix: format!("hythe{index}-"),
            id_base: FIRST_ID + index * SLOTS * COUNT,
        }
    }

    /// The network of the `number`th dyno, from 0; none beyond [`Subnet::slots`].
    #[must_use]
    pub fn slot(&self, number: u32) -> Option<Network> {
        let first = u32::from(self.first) + number.checked_mul(4)?;
        (number < self.slots).then(|| Network {
            gateway: Ipv4Addr::from(first + 1),
            address: Ipv4Addr::from(first + 2),
            interface: format!("{}{number}", self.interface_prefix),
        })
    }

    /// The subnet as `172.16.0.0/20`.
    #[must_use]
    pub fn cidr(&self) -> String {
        format!("{}/{PREFIX}", self.first)
    }

    /// Whether the host already routes something here: another server's dynos, which may outlive
    /// their server, or a virtual network.
    fn is_routed(&self, routes: &str) -> bool {
        let first = u32::from(self.first);
        let last = first + (1 << (32 - PREFIX)) - 1;
        routes.lines().skip(1).filter_map(route).any(|(destination, mask)| {
            mask != 0 && destination <= last && destination | !mask >= first
        })
    }
}

/// Claims a subnet for the server of `run_dir`, until [`release`] or this process's end: the one it had before,
/// else one that nobody has, else one whose owner has left nothing behind.
///
/// # Errors
/// When none is free, or the claims cannot be written.
pub fn claim(run_dir: &Path) -> Result<Subnet> {
    let (subnet, lock) = claim_among(Path::new(CLAIMS), run_dir)?;
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
    Ok(subnet)
}

/// Lets another process claim what this one has, for the same dynos.
pub fn release() {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The subnet that the server of `run_dir` has or had.
pub fn claimed(run_dir: &Path) -> Option<Subnet> {
    let owned = |index: &u32| owner(Path::new(CLAIMS), *index).as_deref() == Some(run_dir);
    (0..SUBNETS).find(owned).map(Subnet::of)
}

fn claim_among(claims: &Path, run_dir: &Path) -> Result<(Subnet, Flock<File>)> {
    fs::create_dir_all(claims).attempt(|| format!("make {}", claims.display()))?;
    let routes = fs::read_to_string("/proc/net/route").attempt(|| "read the routes")?;
    let ranked = (0..SUBNETS).filter_map(|index| {
        let owner = owner(claims, index);
        let mine = owner.as_deref() == Some(run_dir);
        let free = mine || !Subnet::of(index).is_routed(&routes);
        let left = owner.is_some_and(|owner| owner.exists());
        free.then_some((!mine, left, index))
    });
    let mut ranked: Vec<(bool, bool, u32)> = ranked.collect();
    ranked.sort_unstable();
    for (_, _, index) in ranked {
        if let Some(lock) = try_claim(claims, index, run_dir)? {
            return Ok((Subnet::of(index), lock));
        }
    }
    Err(Error::Spec("no private subnet is free on this machine".into()))
}

fn try_claim(claims: &Path, index: u32, run_dir: &Path) -> Result<Option<Flock<File>>> {
    let path = file(claims, index);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.attempt(|| format!("open {}", path.display()))?;
    let Ok(mut lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
        return Ok(None);
    };
    sign(&mut lock, run_dir).attempt(|| format!("sign {}", path.display()))?;
    Ok(Some(lock))
}

fn file(claims: &Path, index: u32) -> PathBuf {
    claims.join(format!("{index}.claim"))
}

fn owner(claims: &Path, index: u32) -> Option<PathBuf> {
    let text = fs::read_to_string(file(claims, index)).ok()?;
    (!text.is_empty()).then(|| text.into())
}

/// Destination and mask of a line of `/proc/net/route`.
fn route(line: &str) -> Option<(u32, u32)> {
    let mut fields = line.split_whitespace();
    let destination = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
    let mask = u32::from_str_radix(fields.nth(5)?, 16).ok()?;
    Some((u32::from_be(destination), u32::from_be(mask)))
}

fn sign(file: &mut File, run_dir: &Path) -> io::Result<()> {
    let mut owner = String::new();
    file.read_to_string(&mut owner)?;
    if Path::new(&owner) != run_dir {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(run_dir.as_os_str().as_encoded_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ROUTES: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask\n";

    #[test]
    fn slots_are_pairs_of_addresses_within_the_subnet() {
        let subnet = Subnet::of(31);
        assert_eq!(subnet.cidr(), "172.31.128.0/20");
        let last = subnet.slot(SLOTS - 1).unwrap();
        assert_eq!(last.gateway, Ipv4Addr::new(172, 31, 143, 157));
        assert_eq!(last.address, Ipv4Addr::new(172, 31, 143, 158));
        assert_eq!(last.interface, "hythe31-999");
        assert!(subnet.slot(SLOTS).is_none());
        assert!(subnet.slot(u32::MAX).is_none());
        assert_eq!(Subnet::of(0).slot(1).unwrap().address, Ipv4Addr::new(172, 16, 0, 6));
    }

    #[test]
    fn every_dyno_of_every_server_has_ids_of_its_own() {
        let last = Subnet::of(SUBNETS - 1);
        let end = u64::from(last.id_base) + u64::from(SLOTS) * u64::from(COUNT);
        assert!(end <= 1 << 31);
        for index in 1..SUBNETS {
            assert_eq!(Subnet::of(index).id_base - Subnet::of(index - 1).id_base, SLOTS * COUNT);
        }
    }

    #[test]
    fn routes_of_others_are_seen() {
        let docker = format!("{NO_ROUTES}docker0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n");
        let taken: Vec<u32> =
            (0..SUBNETS).filter(|index| Subnet::of(*index).is_routed(&docker)).collect();
        assert_eq!(taken, [2, 3]);
        let default = format!("{NO_ROUTES}eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n");
        assert!(!Subnet::of(0).is_routed(&default));
    }

    #[test]
    fn two_servers_never_claim_the_same_subnet() {
        let claims = tempfile::tempdir().unwrap();
        let servers = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (first, lock) = claim_among(claims.path(), servers[0].path()).unwrap();
        let (second, _second_lock) = claim_among(claims.path(), servers[1].path()).unwrap();
        assert_ne!(first, second);
        drop(lock);
        let (again, _lock) = claim_among(claims.path(), servers[0].path()).unwrap();
        assert_eq!(again, first);
    }

    #[test]
    fn a_subnet_of_a_server_that_is_gone_is_free() {
        let claims = tempfile::tempdir().unwrap();
        let gone = tempfile::tempdir().unwrap();
        let (first, lock) = claim_among(claims.path(), gone.path()).unwrap();
        drop((lock, gone));
        let next = tempfile::tempdir().unwrap();
        let (second, _lock) = claim_among(claims.path(), next.path()).unwrap();
        assert_eq!(first, second);
    }
}
