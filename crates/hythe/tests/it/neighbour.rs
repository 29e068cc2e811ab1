//! One app serves while another on the same machine attacks: what the one answers does not suffer, and
//! the other reaches nothing but the internet.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::http::get;
use testkit::{Person, Server, wait};

use crate::server;
use crate::small_app::{self, PATIENCE};

/// Process types of the attacker, each an attack.
const ATTACKS: &str = "\
bomb: bomb() { bomb | bomb & }; bomb; sleep 1000
hog: tail /dev/zero
filler: while :; do cat /dev/zero > /tmp/big; done
burn: for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait
flood: yes a line of many
";

/// So many clients ask at one time, each so often.
const CLIENTS: usize = 4;
const PACE: Duration = Duration::from_millis(100);

/// As long as requests are counted.
const WHILE: Duration = Duration::from_secs(4);

/// An answer that takes longer is none.
const SLOW: Duration = Duration::from_secs(1);

/// A name that the machine's resolver may know.
const PUBLIC: &str = "registry.npmjs.org";

/// `demo` serves, and `attacker` is deployed but does nothing yet.
fn two_apps() -> (Server, Person) {
    let server = server();
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\n");
    let _said = small_app::push(&server, &person, &dir);
    let _answer = small_app::answer(&server);
    let package = r#"{"name":"attacker","version":"1.0.0"}"#;
    let dir = person.app("attacker", &[("package.json", package), ("Procfile", ATTACKS)]);
    let _created = person.heroku(&["create", "attacker"]);
    let remote = format!("https://localhost:{}/attacker.git", server.address().port());
    let pushed = person.run(&dir, "git", &["push", "-q", remote.as_str(), "main"]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    (server, person)
}

/// How many requests are answered well and in time, of those that are due.
fn answered(address: SocketAddr) -> usize {
    let good = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for _client in 0..CLIENTS {
            scope.spawn(|| {
                for tick in 0.. {
                    let due = began + PACE * tick;
                    if due > began + WHILE {
                        return;
                    }
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let asked = Instant::now();
                    let answer = get(address, "demo.localhost", "/");
                    let well = answer.is_ok_and(|answer| answer.status == 200);
                    if well && asked.elapsed() < SLOW && asked < began + WHILE {
                        good.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    good.into_inner()
}

#[test]
fn a_neighbour_is_served_while_another_app_attacks() {
    let (server, person) = two_apps();
    let quiet = answered(server.address());
    for line in ATTACKS.lines() {
        let (attack, _) = line.split_once(':').expect("a process type");
        let _scaled = person.heroku(&["ps:scale", &format!("{attack}=1"), "-a", "attacker"]);
        wait::until(attack, PATIENCE, || {
            // Not by the log, which a flood drowns.
            let list = person.heroku(&["ps", "-a", "attacker"]);
            let begun = ["up", "crashed"].map(|state| format!("{attack}.1: {state}"));
            begun.iter().any(|state| list.contains(state)).then_some(()).ok_or(list)
        });
        let attacked = answered(server.address());
        assert!(attacked * 10 >= quiet * 9, "{attack}: {attacked} answers, {quiet} without it");
        let _scaled = person.heroku(&["ps:scale", &format!("{attack}=0"), "-a", "attacker"]);
    }
    let after = answered(server.address());
    assert!(after * 10 >= quiet * 9, "{after} answers after all of it, {quiet} before");
}

#[test]
fn a_dyno_reaches_the_internet_and_nothing_of_the_platform() {
    let (server, person) = two_apps();
    let port = server.address().port();
    let neighbour = address_of(&person, "demo");
    assert!(TcpStream::connect(neighbour).is_ok(), "the machine itself reaches {neighbour}");
    let own = Command::new("ip").args(["-o", "-4", "route", "get", "192.0.2.1"]).output();
    let own = String::from_utf8(own.expect("ip runs").stdout).expect("text");
    let host = own.split_whitespace().skip_while(|word| *word != "src").nth(1).expect("an address");
    let gateway = "$(awk '$2 == \"00000000\" { print $3 }' /proc/net/route)";
    let targets = [
        format!("{}/{}", neighbour.ip(), neighbour.port()),
        format!("127.0.0.1/{port}"),
        format!("{host}/{port}"),
        format!("$gateway/{port}"),
        "$gateway/22".to_owned(),
        "169.254.169.254/80".to_owned(),
    ];
    let script = format!(
        "hex={gateway}; gateway=$((16#${{hex:6:2}})).$((16#${{hex:4:2}})).$((16#${{hex:2:2}})).$((16#${{hex:0:2}})); \
         for target in {}; do \
             timeout 1 bash -c \"< /dev/tcp/$target\" 2>/dev/null && echo reached $target; done; \
         echo tried from $gateway",
        targets.join(" ")
    );
    let said = person.heroku(&["run", "-a", "attacker", "--no-tty", "--", &script]);
    assert!(said.contains("tried from 172."), "{said}");
    assert!(!said.contains("reached"), "{said}");
}

#[test]
fn a_dyno_resolves_names_and_connects_to_the_internet_where_its_machine_does() {
    let (_server, person) = two_apps();
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    thread::spawn(move || tell.send((PUBLIC, 443).to_socket_addrs().map(Vec::from_iter)));
    let resolved = told.recv_timeout(Duration::from_secs(3));
    let Ok(Ok(addresses)) = resolved else { return resolver_is_reached(&person) };
    let connects = |address: &SocketAddr| TcpStream::connect_timeout(address, SLOW * 3).is_ok();
    let connects = addresses.iter().filter(|address| address.is_ipv4()).any(connects);
    let script = format!(
        "getent hosts {PUBLIC} > /dev/null && echo resolved; \
         timeout 5 bash -c '< /dev/tcp/{PUBLIC}/443' && echo connected; true"
    );
    let said = person.heroku(&["run", "-a", "attacker", "--no-tty", "--", &script]);
    assert!(said.contains("resolved"), "{said}");
    assert_eq!(said.contains("connected"), connects, "{said}");
}

/// That it is let through to the resolver's port is all that can be shown without a resolver that
/// answers.
fn resolver_is_reached(person: &Person) {
    let script = "server=$(awk '/^nameserver/ { print $2; exit }' /etc/resolv.conf); \
                  timeout 3 bash -c \"< /dev/tcp/$server/53\" && echo reached; echo $server";
    let said = person.heroku(&["run", "-a", "attacker", "--no-tty", "--", script]);
    let resolver = said.lines().last().expect("an address").trim();
    let address = format!("{resolver}:53").parse().expect("an address");
    let from_here = TcpStream::connect_timeout(&address, SLOW * 3).is_ok();
    assert_eq!(said.contains("reached"), from_here, "{said}");
}

/// Where an app's web dyno listens, as the dyno itself sees it.
fn address_of(person: &Person, app: &str) -> SocketAddr {
    let look = "tail -n 1 /etc/hosts; awk '$4 == \"0A\" { print \"port\", $2 }' /proc/net/tcp*";
    let said = person.heroku(&["run:inside", "web.1", "-a", app, "--", look]);
    let line = |start| said.lines().rfind(|line| line.starts_with(start)).expect("both are said");
    let address = line("172.").split_whitespace().next().expect("an address");
    let port = line("port ").rsplit(':').next().expect("a port").trim();
    let port = u16::from_str_radix(port, 16).expect("a port in hexadecimal");
    SocketAddr::new(address.parse().expect("an address"), port)
}
