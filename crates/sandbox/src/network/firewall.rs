//! What dynos may reach and who may reach them: one nftables table per server.
//!
//! Our chains only ever refuse: another table of the host that lets a packet through does not undo
//! a refusal here, and nothing here undoes the host's own.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::resolvers;
use super::subnet::{Subnet, claimed};
use crate::error::{Attempt, Result};
use crate::program;

/// What is not the internet: a dyno has no business there.
const NOT_PUBLIC: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, \
                          172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3";

/// What dynos may reach besides the internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Resolvers of names, on port 53.
    pub resolvers: Vec<Ipv4Addr>,
    /// Private networks, such as the one the databases are in: address and prefix length.
    pub private: Vec<(Ipv4Addr, u8)>,
}

impl Reach {
    /// The host's resolvers and no private network.
    #[must_use]
    pub fn resolvers_only() -> Self {
        let resolvers = resolvers::addresses(&resolvers::configuration());
        Self { resolvers, private: Vec::new() }
    }
}

/// Makes the host route for the dynos of `subnet`, and fences them in: they reach the internet and
/// the host's resolvers. May be called again at any time; the rules are replaced in one step.
///
/// # Errors
/// When `nft` refuses or the kernel does not route.
pub fn ensure_host(subnet: &Subnet) -> Result<()> {
    ensure_host_with(subnet, &Reach::resolvers_only())
}

/// As [`ensure_host`], and lets the dynos reach what `reach` says.
///
/// # Errors
/// As [`ensure_host`].
pub fn ensure_host_with(subnet: &Subnet, reach: &Reach) -> Result<()> {
    const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
    if fs::read_to_string(FORWARD).attempt(|| "read ip_forward")?.trim() != "1" {
        fs::write(FORWARD, "1").attempt(|| "switch on ip_forward")?;
    }
    program::output(program::command("nft").args(["-f", "-"]), &rules(subnet, reach)).map(drop)
}

/// Takes away the rules of the server of `run_dir`, if it has any.
///
/// # Errors
/// When `nft` refuses.
pub fn remove_host(run_dir: &Path) -> Result<()> {
    let Some(subnet) = claimed(run_dir) else { return Ok(()) };
    let table = table(&subnet);
    let script = format!("table inet {table} {{}}\ndelete table inet {table}\n");
    program::output(program::command("nft").args(["-f", "-"]), &script).map(drop)
}

/// So many connections of one dyno the host keeps track of at one time: an eighth of what it can. A
/// dyno that could take all would cut off everybody on the machine.
#[must_use]
pub fn tracked_connections() -> usize {
    const FEWEST: usize = 4096;
    let most = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").unwrap_or_default();
    FEWEST.max(most.trim().parse().unwrap_or(0) / 8)
}

fn table(subnet: &Subnet) -> String {
    subnet.interface_prefix.trim_end_matches('-').to_owned()
}

fn rules(subnet: &Subnet, reach: &Reach) -> String {
    let table = table(subnet);
    let dynos = format!("\"{}*\"", subnet.interface_prefix);
    let cidr = subnet.cidr();
    let resolvers = resolver_rules(&reach.resolvers);
    let private = private_rule(&reach.private);
    let connections = tracked_connections();
    format!(
        "table inet {table} {{}}
delete table inet {table}
table inet {table} {{
  set tracked {{
    type ipv4_addr
    size 65536
    flags dynamic
  }}
  chain arriving {{
    type filter hook prerouting priority raw; policy accept;
    iifname {dynos} fib saddr . iif oif missing drop
  }}
  chain forwarded {{
    type filter hook forward priority filter; policy accept;
    iifname {dynos} jump from_dyno
    oifname {dynos} jump to_dyno
  }}
  chain from_dyno {{
    meta nfproto ipv6 drop
    ct state established,related return
    add @tracked {{ ip saddr ct count over {connections} }} drop
{resolvers}{private}    ip daddr {{ {NOT_PUBLIC} }} drop
    tcp dport 25 reject with tcp reset
  }}
  chain to_dyno {{
    ct state established,related return
    drop
  }}
  chain to_host {{
    type filter hook input priority filter; policy accept;
    iifname != {dynos} return
    meta nfproto ipv6 drop
    ct state established,related return
    add @tracked {{ ip saddr ct count over {connections} }} drop
{resolvers}    drop
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {cidr} oifname != {dynos} masquerade
  }}
}}
"
    )
}

fn resolver_rules(resolvers: &[Ipv4Addr]) -> String {
    let mut rules = String::new();
    for resolver in resolvers {
        for protocol in ["udp", "tcp"] {
            let _ = writeln!(rules, "    ip daddr {resolver} {protocol} dport 53 return");
        }
    }
    rules
}

fn private_rule(networks: &[(Ipv4Addr, u8)]) -> String {
    let mut rules = String::new();
    for (address, prefix) in networks {
        let _ = writeln!(rules, "    ip daddr {address}/{prefix} return");
    }
    rules
}
