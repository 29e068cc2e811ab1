//! The server is killed at random moments of everything it does. Whatever it was at, the next one
//! goes on from there: nothing is half done, nothing runs that nobody wants, nothing is missing.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::http::{ask, get};
use testkit::{Person, Server, wait};

use crate::binary;
use crate::small_app::{self, PATIENCE};

/// Short graces, for what is stopped half-way must be over before a round ends.
const SETTINGS: &str = "stop_grace_seconds = 3\ndrain_seconds = 3\n";

/// Set it to repeat a run; the test prints it.
const SEED: &str = "HYTHE_TEST_SEED";

/// Where dynos' directories are, per server.
const RUN: &str = "/run/hythe";

/// How often the server is killed: at each of the deeds three times.
const ROUNDS: usize = 3 * DEEDS.len();

/// What the server is at when it is killed, and the time within which it is. Short times, for most
/// that can be cut in half happens in the first tenth of a second: rows, processes, addresses.
const DEEDS: [(Deed, u64); 10] = [
    (Deed::Push, 2500),
    (Deed::Configure, 120),
    (Deed::Scale, 200),
    (Deed::Restart, 120),
    (Deed::Run, 300),
    (Deed::ConfigureOften, 200),
    (Deed::Push, 1500),
    (Deed::Rollback, 120),
    (Deed::Destroy, 300),
    (Deed::Configure, 800),
];

#[derive(Clone, Copy, Debug)]
enum Deed {
    Push,
    Configure,
    ConfigureOften,
    Scale,
    Restart,
    Rollback,
    Run,
    Destroy,
}

/// Numbers that look random and can be had again (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Asks the API; errors are answers too, for the server may be dead.
#[derive(Clone)]
struct Api {
    address: SocketAddr,
    token: String,
}

impl Api {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("Accept", "application/vnd.heroku+json; version=3"),
            ("Content-Type", "application/json"),
            ("Authorization", bearer.as_str()),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = ask(self.address, method, "localhost", path, &headers, body.as_bytes());
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        if answer.status >= 300 {
            return Err(format!("{method} {path}: {answer:?}"));
        }
        serde_json::from_str(&answer.body).map_err(|error| error.to_string())
    }

    fn list(&self, path: &str) -> Result<Vec<Value>, String> {
        let list = self.ask("GET", path, &Value::Null)?;
        list.as_array().cloned().ok_or_else(|| format!("{path} is no list: {list}"))
    }

    /// Begins what the server is to be killed in. What comes of it is seen afterwards.
    fn begin(&self, deed: Deed, dice: &mut Dice) -> Result<(), String> {
        let set = |number: u64| json!({ "GREETING": number.to_string() });
        let web = |quantity: u64| json!({"updates": [{"type": "web", "quantity": quantity}]});
        let nothing = Value::Null;
        let vars = "/apps/demo/config-vars";
        match deed {
            Deed::Push => {}
            Deed::Configure => drop(self.ask("PATCH", vars, &set(dice.below(1000)))?),
            Deed::ConfigureOften => {
                for number in 0..6 {
                    self.ask("PATCH", vars, &set(number))?;
                }
            }
            Deed::Scale => {
                self.ask("PATCH", "/apps/demo/formation", &web(1 + dice.below(3)))?;
            }
            Deed::Restart => drop(self.ask("DELETE", "/apps/demo/dynos", &nothing)?),
            Deed::Rollback => {
                let releases = self.list("/apps/demo/releases")?;
                let target = releases.iter().find(|release| !release["slug"].is_null());
                let target = target.ok_or("no release has a slug")?["id"].clone();
                self.ask("POST", "/apps/demo/releases", &json!({ "release": target }))?;
            }
            Deed::Run => {
                for _dyno in 0..2 {
                    self.ask("POST", "/apps/demo/dynos", &json!({"command": "sleep 1"}))?;
                }
            }
            Deed::Destroy => {
                self.ask("POST", "/apps", &json!({"name": "doomed"}))?;
                self.ask("DELETE", "/apps/doomed", &nothing)?;
            }
        }
        Ok(())
    }
}

struct Bed {
    server: Server,
    person: Person,
    dir: PathBuf,
    api: Api,
    run_dir: PathBuf,
}

impl Bed {
    fn new() -> Self {
        let server = Server::start_with(binary(), SETTINGS);
        let person = server.person();
        let dir = small_app::created(&person, "web: node server.js\n");
        small_app::push(&server, &person, &dir);
        small_app::answer(&server);
        let api = Api { address: server.address(), token: server.token().to_owned() };
        let dynos = api.list("/apps/demo/dynos").expect("dynos");
        let run_dir = run_dir(dynos[0]["id"].as_str().expect("an id"));
        Self { server, person, dir, api, run_dir }
    }

    /// Kills the server `after` having begun something, and starts it again.
    fn round(&mut self, deed: Deed, after: Duration, dice: &mut Dice) {
        let push = matches!(deed, Deed::Push).then(|| self.push());
        let (api, mut its) = (self.api.clone(), Dice(dice.below(u64::MAX)));
        let begun = thread::spawn(move || api.begin(deed, &mut its));
        thread::sleep(after);
        self.server.kill();
        let _cut_off = begun.join().expect("no panic");
        if let Some(mut push) = push {
            push.wait().expect("git ends");
        }
        self.server.start_again();
        self.check_books();
        wait::until("everything as wanted", PATIENCE, || self.settled());
    }

    fn push(&self) -> Child {
        self.person.commit_all(&self.dir);
        let remote = format!("https://localhost:{}/demo.git", self.server.address().port());
        let mut git = self.person.command(&self.dir, "git");
        git.args(["push", "-q", &remote, "main"]).stderr(Stdio::null());
        git.spawn().expect("git")
    }

    /// What must be true from the first moment.
    fn check_books(&self) {
        let mut verify = Command::new(self.server.binary());
        verify.args(["admin", "releases:verify", "--data-dir"]).arg(self.server.data_dir());
        let verified = verify.output().expect("the binary");
        assert!(verified.status.success(), "{verified:?}");
        let releases = self.api.list("/apps/demo/releases").expect("releases");
        let mut versions: Vec<_> =
            releases.iter().filter_map(|one| one["version"].as_u64()).collect();
        versions.sort_unstable();
        let gapless: Vec<_> = (1..).take(versions.len()).collect();
        assert_eq!(versions, gapless);
        let builds = self.api.list("/apps/demo/builds").expect("builds");
        assert!(builds.iter().all(|build| build["status"] != "pending"), "{builds:?}");
    }

    /// Every wanted dyno is up with the current release, no other is there or on the machine, and
    /// the app answers.
    fn settled(&self) -> Result<(), String> {
        let formation = self.api.list("/apps/demo/formation")?;
        let wanted: u64 = formation.iter().filter_map(|one| one["quantity"].as_u64()).sum();
        let releases = self.api.list("/apps/demo/releases")?;
        let current = releases.iter().find(|one| one["current"] == true);
        let current = &current.ok_or("no release is current")?["version"];
        let dynos = self.api.list("/apps/demo/dynos")?;
        let good = |dyno: &Value| dyno["state"] == "up" && dyno["release"]["version"] == *current;
        if dynos.len() as u64 != wanted || !dynos.iter().all(good) {
            return Err(format!("{wanted} of v{current} are wanted: {dynos:?}"));
        }
        let ids = dynos.iter().filter_map(|dyno| dyno["id"].as_str()).map(str::to_owned).collect();
        same("directories", &ids, &names(&self.run_dir))?;
        same("shims", &ids, &shims(&self.run_dir))?;
        same("control groups", &ids, &groups(&self.run_dir))?;
        let answer = get(self.server.address(), "demo.localhost", "/");
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    }
}

fn same(what: &str, wanted: &BTreeSet<String>, found: &BTreeSet<String>) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("{what}: {found:?} for {wanted:?}")) }
}

/// The directory of dynos that holds this one: it tells the server under test from others.
fn run_dir(dyno: &str) -> PathBuf {
    let servers = fs::read_dir(RUN).expect("the run directory");
    let mut dirs = servers.flatten().map(|server| server.path().join("dynos"));
    dirs.find(|dir| dir.join(dyno).exists()).expect("the dyno's directory")
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.path().is_dir());
    dirs.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Ids of the dynos whose shims run.
fn shims(run_dir: &Path) -> BTreeSet<String> {
    let lines = names(Path::new("/proc"));
    let lines = lines.iter().filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
    let of_ours = |line: Vec<u8>| {
        let line = String::from_utf8_lossy(&line).into_owned();
        let dir = PathBuf::from(line.split('\0').nth(2)?);
        let name = dir.file_name()?.to_string_lossy().into_owned();
        (dir.parent() == Some(run_dir)).then_some(name)
    };
    lines.filter_map(of_ours).collect()
}

/// Ids of the dynos with a control group, on either version of control groups.
fn groups(run_dir: &Path) -> BTreeSet<String> {
    let server = run_dir.parent().and_then(Path::file_name).expect("the server's directory");
    let parent = format!("hythe-{}", server.to_string_lossy());
    let roots = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(PathBuf::from);
    let found = roots.into_iter().map(|root| root.join(&parent)).find(|dir| dir.exists());
    names(&found.expect("the server's control group"))
}

#[allow(clippy::disallowed_methods, reason = "whoever repeats a run gives its seed so")]
fn seed() -> u64 {
    let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| std::process::id().into())
}

#[test]
fn a_server_killed_at_any_moment_goes_on_where_it_was() {
    let seed = seed();
    #[allow(clippy::print_stdout, reason = "a failure is repeated with it")]
    {
        println!("{SEED}={seed}");
    }
    let mut dice = Dice(seed);
    let mut bed = Bed::new();
    for (deed, within) in DEEDS.into_iter().cycle().take(ROUNDS) {
        let after = Duration::from_millis(dice.below(within));
        #[allow(clippy::print_stdout, reason = "a failure is told apart by it")]
        {
            println!("{deed:?}, killed after {after:?}");
        }
        bed.round(deed, after, &mut dice);
    }
    // What heals itself with a fault on the way is no going on.
    let log = bed.server.log();
    let faults: Vec<_> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
