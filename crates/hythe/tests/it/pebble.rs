//! Pebble, Let's Encrypt's own ACME server for tests, with a DNS server that says what it is told.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::wait;

use crate::secure::{Authority, Secure};

const PATIENCE: Duration = Duration::from_secs(20);

/// An ACME server. Dropped, it is gone with all that it knew.
pub struct Pebble {
    dir: tempfile::TempDir,
    /// Of its own HTTPS server, not of what it issues.
    own: Authority,
    ports: [u16; 4],
    children: Vec<Child>,
}

/// How Pebble behaves.
#[derive(Clone, Copy)]
pub struct Habits {
    /// Seconds that what it issues is valid.
    pub validity: u32,
    /// Seconds at most that it takes to look at a challenge.
    pub sleep: u32,
}

impl Habits {
    /// Issues at once, for years.
    pub const QUICK: Self = Self { validity: 157_766_400, sleep: 0 };
}

impl Pebble {
    /// Chooses where it will be, for a server's settings. It does not run yet.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("hythe-pebble-").tempdir().expect("a directory");
        let own = Authority::new("Pebble's own");
        own.sign_in_order(dir.path(), "own", &["localhost"]);
        fs::write(dir.path().join("root.pem"), &own.root).expect("written");
        Self { dir, own, ports: free_ports(), children: Vec::new() }
    }

    /// What a server's `hythe.toml` says of it.
    pub fn settings(&self, more: &str) -> String {
        let root = self.dir.path().join("root.pem").display().to_string();
        let directory = format!("https://localhost:{}/dir", self.ports[0]);
        format!(
            "[acme]\ndirectory = {directory:?}\ncontact = \"ops@example.com\"\n\
             ca_file = {root:?}\n{more}\n"
        )
    }

    /// Starts it. It looks at challenges on this port of whatever address a name has.
    pub fn start(&mut self, http_port: u16, habits: Habits) {
        let [acme, management, dns, names] = self.ports;
        let dir = self.dir.path().to_owned();
        let at = |name: &str| dir.join(name);
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": at("own.crt"),
            "privateKey": at("own.key"),
            "httpPort": http_port,
            "tlsPort": http_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": habits.validity,
        }});
        fs::write(at("config.json"), config.to_string()).expect("written");
        self.run(
            "pebble-challtestsrv",
            &[
                "-dns01",
                &format!("127.0.0.1:{dns}"),
                "-management",
                &format!("127.0.0.1:{names}"),
                "-defaultIPv4",
                "",
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ],
            habits,
        );
        let config = at("config.json").display().to_string();
        let dns = format!("127.0.0.1:{dns}");
        self.run("pebble", &["-config", &config, "-dnsserver", &dns], habits);
        wait::until("pebble", PATIENCE, || {
            self.root().map(drop).map_err(|error| format!("{error}\n{}", self.log()))
        });
    }

    fn run(&mut self, program: &str, args: &[&str], habits: Habits) {
        let log = File::create(self.dir.path().join(format!("{program}.log"))).expect("a log");
        let mut command = Command::new(program);
        command.args(args).env("PEBBLE_AUTHZREUSE", "0");
        if habits.sleep == 0 {
            command.env("PEBBLE_VA_NOSLEEP", "1");
        } else {
            command.env("PEBBLE_VA_SLEEPTIME", habits.sleep.to_string());
        }
        let copy = log.try_clone().expect("a copy");
        let child = command.stdin(Stdio::null()).stdout(copy).stderr(log).spawn();
        self.children.push(child.unwrap_or_else(|error| panic!("run {program}: {error}")));
    }

    /// The name leads to this machine from now on.
    pub fn resolve(&self, name: &str) {
        let body = json!({"host": format!("{name}."), "addresses": ["127.0.0.1"]}).to_string();
        wait::until("the name server", PATIENCE, || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[3]));
            let answer =
                testkit::http::ask(address, "POST", "localhost", "/add-a", &[], body.as_bytes());
            match answer {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// The root of what it issues, in PEM.
    pub fn root(&self) -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[1]));
        let answer =
            Secure::connect(address, "localhost", &self.own.root)?.ask("localhost", "/roots/0")?;
        let start = answer.find("-----BEGIN").ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(answer[start..].to_owned())
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("pebble.log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _gone_already = child.kill();
            let _gone_already = child.wait();
        }
    }
}

/// Ports that nobody used a moment ago.
fn free_ports() -> [u16; 4] {
    let listeners: [TcpListener; 4] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
