//! Whom a dyno asks for names.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// The resolver configuration for a dyno: the host's, without what a dyno cannot reach. A resolver
/// on the host's loopback (systemd-resolved's stub) is replaced by the ones it asks itself.
#[must_use]
pub fn configuration() -> String {
    let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let upstream = fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or_default();
    choose(&own, &upstream)
}

/// The resolvers in a configuration.
#[must_use]
pub fn addresses(configuration: &str) -> Vec<Ipv4Addr> {
    configuration.lines().filter_map(resolver).filter_map(reachable).collect()
}

fn choose(own: &str, upstream: &str) -> String {
    let source = if addresses(own).is_empty() { upstream } else { own };
    let kept = source.lines().filter(|line| {
        let line = line.trim();
        let usable = resolver(line).is_none_or(|address| reachable(address).is_some());
        usable && !line.is_empty() && !line.starts_with(['#', ';'])
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn resolver(line: &str) -> Option<IpAddr> {
    let address = line.trim().strip_prefix("nameserver")?.trim();
    address.parse().ok()
}

fn reachable(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_resolvers_are_kept_with_their_options() {
        let own = "# by hand\nsearch example.com\nnameserver 10.0.0.2\nnameserver fd00::1\n";
        assert_eq!(choose(own, ""), "search example.com\nnameserver 10.0.0.2\n");
    }

    #[test]
    fn a_stub_on_the_loopback_is_replaced_by_what_it_asks() {
        let own = "nameserver 127.0.0.53\noptions edns0\n";
        let upstream = "nameserver 192.168.1.1\n";
        assert_eq!(choose(own, upstream), upstream);
        assert_eq!(addresses(&choose(own, upstream)), [Ipv4Addr::new(192, 168, 1, 1)]);
    }
}
