//! Whom a dyno reaches, and who reaches it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use sandbox::protocol::{Request, Spec};

use crate::house::{Dyno, House};

#[test]
fn the_server_reaches_a_dyno_at_its_address() {
    let house = House::build();
    let (dyno, spec) = serving(&house);
    assert_eq!(get(SocketAddr::from((spec.network.address, 5000))).unwrap(), "hello");
    end(dyno);
}

#[test]
fn a_dyno_does_not_reach_another() {
    let house = House::build();
    let (dyno, spec) = serving(&house);
    let other = format!("{}:5000", spec.network.address);
    let (_, text) = house.output(&house.probe(&["connect", &other]));
    assert_eq!(text, format!("{other}: TimedOut\n"));
    end(dyno);
}

#[test]
fn a_dyno_of_another_server_is_not_reached_either() {
    let house = House::build();
    let neighbour = House::beside();
    let (dyno, spec) = serving(&neighbour);
    let other = format!("{}:5000", spec.network.address);
    let (_, text) = house.output(&house.probe(&["connect", &other]));
    assert_eq!(text, format!("{other}: TimedOut\n"));
    end(dyno);
}

#[test]
fn services_of_the_host_are_not_reached() {
    let house = House::build();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let spec = house.probe(&[]);
    let mut addresses =
        vec![format!("127.0.0.1:{port}"), format!("{}:{port}", spec.network.gateway)];
    addresses.extend(host_addresses().iter().map(|address| format!("{address}:{port}")));
    let mut arguments = vec!["connect"];
    arguments.extend(addresses.iter().map(String::as_str));
    let mut probe = house.probe(&arguments);
    probe.network = spec.network;
    let (_, text) = house.output(&probe);
    assert_eq!(text.lines().count(), addresses.len());
    assert!(addresses.len() > 2, "the host has an address of its own");
    assert!(!text.contains("connected"), "{text}");
}

#[test]
fn private_networks_and_the_metadata_service_are_not_reached() {
    let house = House::build();
    let outside =
        Outside::build(&house, &["10.211.0.1", "192.168.211.1", "169.254.169.254", "198.18.7.1"]);
    // To reach an address without a fence is what shows that the fence is what stops the others.
    let all = outside.addresses.iter().map(|address| format!("{address}:7000")).collect::<Vec<_>>();
    let mut arguments = vec!["connect"];
    arguments.extend(all.iter().map(String::as_str));
    let (_, text) = house.output(&house.probe(&arguments));
    let expected = "10.211.0.1:7000: TimedOut\n192.168.211.1:7000: TimedOut\n\
                    169.254.169.254:7000: TimedOut\n198.18.7.1:7000: connected outside\n";
    assert_eq!(text, expected);
}

#[test]
fn an_operator_can_open_a_private_network() {
    let house = House::build();
    let _outside = Outside::build(&house, &["10.212.0.1", "10.213.0.1"]);
    let mut reach = sandbox::network::Reach::resolvers_only();
    reach.private.push(([10, 212, 0, 0].into(), 16));
    sandbox::network::ensure_host_with(&house.subnet, &reach).unwrap();
    let (_, text) = house.output(&house.probe(&["connect", "10.212.0.1:7000", "10.213.0.1:7000"]));
    assert_eq!(text, "10.212.0.1:7000: connected outside\n10.213.0.1:7000: TimedOut\n");
}

#[test]
fn nobody_outside_reaches_a_dyno() {
    let house = House::build();
    let outside = Outside::build(&house, &["198.18.8.1"]);
    let (dyno, spec) = serving(&house);
    let target = format!("{}:5000", spec.network.address);
    let text = outside.connect(&target);
    assert_eq!(text, format!("{target}: TimedOut\n"));
    end(dyno);
}

#[test]
fn mail_leaves_by_no_port_25() {
    let house = House::build();
    let outside = Outside::build(&house, &["198.18.9.1"]);
    let target = format!("{}:25", outside.addresses[0]);
    let (_, text) = house.output(&house.probe(&["connect", &target]));
    assert_eq!(text, format!("{target}: ConnectionRefused\n"));
}

#[test]
fn it_cannot_send_from_an_address_that_is_not_its_own() {
    let house = House::build();
    let outside = Outside::build(&house, &["198.18.10.1"]);
    let target = format!("{}:7000", outside.addresses[0]);
    let (_, text) = house.output(&house.probe(&["spoof", &target]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1..3], ["option 19: EPERM", "bind: done"], "{text}");
    assert!(lines[3].starts_with("send: Err"), "{text}");
    // Even if it could: whoever is in its network with every right is heard from its address only.
    let mut dyno = house.start(&house.spec("sleep 1000"));
    let pid = dyno.expect_running().to_string();
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("nsenter");
        let output = command.args(["-t", &pid, "-n"]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let probe = env!("CARGO_BIN_EXE_probe-for-tests");
    assert_eq!(inside(&[probe, "connect", &target]), format!("{target}: connected outside\n"));
    inside(&["ip", "addr", "add", "198.18.10.7/32", "dev", "eth0"]);
    inside(&["ip", "route", "change", "default", "dev", "eth0", "src", "198.18.10.7"]);
    assert_eq!(inside(&[probe, "connect", &target]), format!("{target}: TimedOut\n"));
    end(dyno);
}

#[test]
fn connections_that_the_host_keeps_track_of_are_limited() {
    let house = House::build();
    let outside = Outside::build(&house, &["198.18.11.1"]);
    let count = || -> usize {
        let text = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap();
        text.trim().parse().unwrap()
    };
    let before = count();
    let (_, text) =
        house.output(&house.probe(&["bomb", "datagrams", &outside.addresses[0], "60000"]));
    let after = count();
    assert_eq!(text, "60000\n");
    let limit = sandbox::network::tracked_connections();
    assert!(after - before < limit + 2000, "{} of {limit}", after - before);
}

#[test]
fn an_address_that_is_used_again_inherits_nothing() {
    let house = House::build();
    let (dyno, spec) = serving(&house);
    let address = SocketAddr::from((spec.network.address, 5000));
    // A connection that is still open when the dyno ends.
    let mut open = TcpStream::connect(address).unwrap();
    open.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    end(dyno);
    // Its gateway is the one neighbour it ever has.
    let mut next = house.spec(&format!(
        "tail -qn +2 /proc/net/tcp /proc/net/udp /proc/net/arp | grep -v '^{} '; \
         ls -A /app /tmp /var/tmp /dev/shm; echo said; sleep 1000",
        spec.network.gateway
    ));
    next.network = spec.network.clone();
    next.id_base = spec.id_base;
    let mut dyno = house.start(&next);
    dyno.expect_running();
    let mut said = BufReader::new(dyno.streams().remove(0)).lines().map(Result::unwrap);
    let said: Vec<String> = said.by_ref().take_while(|line| line != "said").collect();
    assert_eq!(said, ["/app:", "", "/dev/shm:", "", "/tmp:", "", "/var/tmp:"]);
    assert_eq!(get(address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let mut rest = Vec::new();
    let _ = open.write(b"for whom?").and_then(|_| open.read_to_end(&mut rest));
    assert!(rest.is_empty() || rest == b"hello", "what the first had said, and no more");
    end(dyno);
}

#[test]
fn it_has_one_interface_and_no_ipv6() {
    let house = House::build();
    let spec = house.spec("ls /proc/net/dev_snmp6 2>/dev/null; cat /proc/net/if_inet6; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort; cat /etc/hosts");
    let (status, text) = house.output(&spec);
    assert_eq!(status, 0);
    let hosts = format!("127.0.0.1 localhost\n{} {}\n", spec.network.address, spec.hostname);
    let interfaces = format!("eth0\nlo\n{hosts}");
    assert!(text.ends_with(&interfaces), "{text}");
    assert!(!text.contains("fe80"), "{text}");
}

#[test]
fn resolvers_are_reached_at_their_port_only() {
    let house = House::build();
    let resolvers =
        sandbox::network::resolvers::addresses(&sandbox::network::resolvers::configuration());
    let Some(resolver) = resolvers.first() else { panic!("this machine has no resolver") };
    // Whether it answers is not ours to say; whether the host lets it through is.
    let reached = |address: &str| {
        TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(3)).is_ok()
    };
    let at = |port: u16| format!("{resolver}:{port}");
    let (_, text) = house.output(&house.probe(&["connect", &at(53), &at(54)]));
    let answers: Vec<&str> = text.lines().collect();
    assert_eq!(answers[0].contains(": connected"), reached(&at(53)), "{text}");
    assert_eq!(answers[1], format!("{}: TimedOut", at(54)));
}

#[test]
fn names_are_asked_of_the_hosts_resolvers() {
    let house = House::build();
    let text = house.shell("cat /etc/resolv.conf; getent hosts localhost");
    assert!(text.contains("nameserver "), "{text}");
    assert!(!text.contains("nameserver 127."), "{text}");
    assert!(text.contains("127.0.0.1"), "{text}");
}

#[test]
fn abstract_sockets_of_the_host_are_not_reached() {
    let house = House::build();
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = format!("hythe-abstract-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let text = house.shell("cat /proc/net/unix");
    assert!(!text.contains(&name), "{text}");
}

/// A dyno that answers "hello" on port 5000.
fn serving(house: &House) -> (Dyno, Spec) {
    let spec = house.probe(&["serve", "5000", "hello"]);
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let mut line = String::new();
    BufReader::new(dyno.streams().remove(0)).read_line(&mut line).unwrap();
    assert_eq!(line, "listening\n");
    (dyno, spec)
}

fn end(mut dyno: Dyno) {
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.flush()?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn host_addresses() -> Vec<String> {
    let output = Command::new("ip").args(["-o", "-4", "addr", "show", "scope", "global"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let field =
        |line: &str| line.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned();
    text.lines().map(field).collect()
}

/// A machine on another network of the host, as far as the host can tell: it answers "outside" on
/// port 7000 of each of its addresses, and knows the way back to the host only.
struct Outside {
    name: String,
    interface: String,
    addresses: Vec<String>,
    server: std::process::Child,
}

impl Outside {
    fn build(house: &House, addresses: &[&str]) -> Self {
        let prefix = format!("ht{}x{}", std::process::id(), addresses.len());
        let name = format!("hythe-test-{prefix}");
        let octet = std::process::id() % 250;
        let ip = |arguments: &str| {
            let mut command = Command::new("ip");
            let status = command.args(arguments.split_whitespace()).status().unwrap();
            assert!(status.success(), "ip {arguments}");
        };
        ip(&format!("netns add {name}"));
        ip(&format!("link add {prefix}a type veth peer name {prefix}b netns {name}"));
        ip(&format!("addr add 198.19.{octet}.1/30 dev {prefix}a"));
        ip(&format!("link set {prefix}a up"));
        ip(&format!("-n {name} addr add 198.19.{octet}.2/30 dev {prefix}b"));
        ip(&format!("-n {name} link set {prefix}b up"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} route add {} via 198.19.{octet}.1", house.subnet.cidr()));
        for address in addresses {
            ip(&format!("-n {name} addr add {address}/32 dev lo"));
            ip(&format!("route add {address}/32 via 198.19.{octet}.2"));
        }
        let mut server = Command::new("ip")
            .args([
                "netns",
                "exec",
                &name,
                env!("CARGO_BIN_EXE_probe-for-tests"),
                "serve",
                "7000",
                "outside",
            ])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        for address in addresses {
            let address = format!("{address}:7000").parse().unwrap();
            assert_eq!(get(address).unwrap(), "outside", "the host itself reaches it");
        }
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        Self { name, interface: format!("{prefix}a"), addresses, server }
    }

    /// What the probe says of an address, tried from there.
    fn connect(&self, target: &str) -> String {
        let probe = env!("CARGO_BIN_EXE_probe-for-tests");
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name, probe, "connect", target])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        // At once, and with it the routes.
        let _ = Command::new("ip").args(["link", "del", &self.interface]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}
