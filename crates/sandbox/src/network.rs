//! A dyno's network: one routed address on a point-to-point pair, no bridge, no neighbours.
//!
//! The host's part ([`ensure_host`]) is done once by the server; the dyno's ([`join`]) by its shim,
//! which lives in the dyno's network namespace itself. No namespace has a name: when the shim and
//! the last process of the dyno are gone, the kernel takes the pair away.

mod firewall;
pub mod resolvers;
mod route_netlink;
mod subnet;

use std::fs;
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, unshare};

pub use self::firewall::{Reach, ensure_host, ensure_host_with, remove_host, tracked_connections};
use self::route_netlink::Links;
pub use self::subnet::{Subnet, claim, release};
use crate::error::{Attempt, Result};
use crate::protocol::Network;

/// The dyno's end of the pair.
const INSIDE: &str = "eth0";

/// Moves the calling process into a network namespace of its own that has this address.
///
/// # Errors
/// When the system refuses a step.
pub fn join(network: &Network) -> Result<()> {
    let mtu = host_mtu();
    let host = Links::open()?;
    let outside = fs::File::open("/proc/self/ns/net").attempt(|| "open the network namespace")?;
    unshare(CloneFlags::CLONE_NEWNET).attempt(|| "make a network namespace")?;
    drop(outside);
    switch_ipv6_off();
    let namespace =
        fs::File::open("/proc/self/ns/net").attempt(|| "open the new network namespace")?;
    host.add_pair(&network.interface, INSIDE, namespace.as_fd(), mtu)?;
    host.add_address(&network.interface, network.gateway)?;
    host.bring_up(&network.interface)?;
    let own = Links::open()?;
    own.bring_up("lo")?;
    own.add_address(INSIDE, network.address)?;
    own.bring_up(INSIDE)?;
    own.add_default_route(network.gateway)
}

/// Nothing routes IPv6 to a dyno; without it no program waits in vain for an answer. A kernel
/// without IPv6 has nothing to switch off.
fn switch_ipv6_off() {
    for scope in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1");
    }
}

/// The packet size of the interface that leads to the internet.
fn host_mtu() -> u32 {
    const USUAL: u32 = 1500;
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let Some(interface) = default_interface(&routes) else { return USUAL };
    let mtu = fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).unwrap_or_default();
    mtu.trim().parse().unwrap_or(USUAL)
}

fn default_interface(routes: &str) -> Option<&str> {
    let mut lines = routes.lines().skip(1).map(str::split_whitespace);
    lines.find_map(|mut fields| {
        let interface = fields.next()?;
        let destination = fields.next()?;
        (destination == "00000000").then_some(interface)
    })
}

#[cfg(test)]
mod tests {
    use super::default_interface;

    #[test]
    fn the_default_route_names_the_interface() {
        let routes = "Iface Destination Gateway Flags\n\
                      docker0 000011AC 00000000 0001\n\
                      ens5 00000000 010200C0 0003\n";
        assert_eq!(default_interface(routes), Some("ens5"));
        assert_eq!(default_interface("Iface Destination\n"), None);
    }
}
