//! A server with one small app, and all that must be true of both when nothing goes on: in the
//! books, and on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use testkit::http::{ask, get};
use testkit::{Person, Server, wait};

use crate::binary;
use crate::small_app::{self, PATIENCE};

/// Short graces, for what is stopped half-way must be over before a round ends.
const SETTINGS: &str = "stop_grace_seconds = 3\ndrain_seconds = 3\n";

/// Where dynos' directories are, per server.
const RUN: &str = "/run/hythe";

/// Which server has which addresses and interfaces.
const CLAIMS: &str = "/run/hythe/net";

/// A dyno has at most so many loop devices: its slug's and its disk's.
const DEVICES: usize = 2;

/// Asks the API; errors are answers too, for the server may be dead.
#[derive(Clone)]
pub struct Api {
    address: SocketAddr,
    token: String,
}

impl Api {
    /// The answer's JSON.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
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

    /// A list.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, String> {
        let list = self.ask("GET", path, &Value::Null)?;
        list.as_array().cloned().ok_or_else(|| format!("{path} is no list: {list}"))
    }
}

/// A server with the app `demo`.
pub struct Bed {
    /// The server.
    pub server: Server,
    /// Who owns the app.
    pub person: Person,
    /// The app's source.
    pub dir: PathBuf,
    /// The owner's way to ask.
    pub api: Api,
    /// The directory of this server's dynos.
    pub run_dir: PathBuf,
    /// The machine's interfaces before there was a server: others may have left some.
    interfaces: BTreeSet<String>,
}

impl Bed {
    /// A server whose app `demo` has this Procfile, and is up.
    pub fn new(procfile: &str) -> Self {
        Self::of(binary(), procfile)
    }

    /// As [`Bed::new`], with this binary.
    pub fn of(binary: PathBuf, procfile: &str) -> Self {
        Self::with(binary, "", procfile)
    }

    /// As [`Bed::of`], with these settings besides the usual.
    pub fn with(binary: PathBuf, settings: &str, procfile: &str) -> Self {
        let interfaces = names(Path::new("/sys/class/net"));
        let server = Server::start_with(binary, &format!("{SETTINGS}{settings}"));
        let person = server.person();
        let dir = small_app::created(&person, procfile);
        small_app::push(&server, &person, &dir);
        small_app::answer(&server);
        let api = Api { address: server.address(), token: server.token().to_owned() };
        let dynos = api.list("/apps/demo/dynos").expect("dynos");
        let run_dir = run_dir(dynos[0]["id"].as_str().expect("an id"));
        Self { server, person, dir, api, run_dir, interfaces }
    }

    /// Begins a push of something new.
    pub fn push(&self) -> Child {
        self.person.commit_all(&self.dir);
        let remote = format!("https://localhost:{}/demo.git", self.server.address().port());
        let mut git = self.person.command(&self.dir, "git");
        git.args(["push", "-q", &remote, "main"]).stderr(Stdio::null());
        git.spawn().expect("git")
    }

    /// The books are right at once, and everything is soon as wanted.
    #[track_caller]
    pub fn check(&self) {
        self.check_books();
        wait::until("everything as wanted", PATIENCE, || self.settled());
    }

    /// What heals itself with a fault on the way is no going on.
    #[track_caller]
    pub fn check_log(&self) {
        let log = self.server.log();
        let faults: Vec<_> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// Stops the server and its dynos for good, and sees that the machine is as it was before.
    #[track_caller]
    pub fn tear_down(mut self) {
        let prefix = interface_prefix(&self.run_dir);
        self.server.stop();
        let mut stop = Command::new(self.server.binary());
        stop.args(["admin", "stop-dynos", "--data-dir"]).arg(self.server.data_dir());
        let stopped = stop.output().expect("the binary");
        assert!(stopped.status.success(), "{stopped:?}");
        wait::until("nothing of the server", PATIENCE, || {
            same("shims", &BTreeSet::new(), &shims(&self.run_dir))?;
            same("dynos", &BTreeSet::new(), &names(&self.run_dir))?;
            same("mounts", &BTreeSet::new(), &self.mounts())?;
            let mut interfaces = names(Path::new("/sys/class/net"));
            interfaces.retain(|name| name.starts_with(&prefix) && !self.interfaces.contains(name));
            same("interfaces", &BTreeSet::new(), &interfaces)?;
            same("control groups", &BTreeSet::new(), &all_groups(&self.run_dir))?;
            let loops = self.loops();
            if loops == 0 { Ok(()) } else { Err(format!("{loops} loop devices")) }
        });
    }

    /// What must be true from the first moment.
    #[track_caller]
    pub fn check_books(&self) {
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
    pub fn settled(&self) -> Result<(), String> {
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
        let given = given_interfaces(&self.run_dir);
        same("interfaces", &given, &self.interfaces(&given))?;
        same("mounts", &BTreeSet::new(), &self.mounts())?;
        same("builds", &BTreeSet::new(), &names(&self.server.data_dir().join("builds")))?;
        same("repositories of destroyed apps", &BTreeSet::new(), &self.strays()?)?;
        let loops = self.loops();
        if loops > DEVICES * ids.len() {
            return Err(format!("{loops} loop devices for {} dynos", ids.len()));
        }
        let answer = get(self.server.address(), "demo.localhost", "/");
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    }
}

impl Bed {
    /// What this server has mounted where the whole machine sees it; dynos' mounts are their own.
    fn mounts(&self) -> BTreeSet<String> {
        let places = [self.server.data_dir(), self.run_dir.clone()];
        let table = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        let ours = |line: &&str| places.iter().any(|dir| line.contains(&*dir.to_string_lossy()));
        table.lines().filter(ours).map(str::to_owned).collect()
    }

    /// The machine's interfaces that are this server's, among them those that are `given` to dynos.
    fn interfaces(&self, given: &BTreeSet<String>) -> BTreeSet<String> {
        let prefix = interface_prefix(&self.run_dir);
        let mut all = names(Path::new("/sys/class/net"));
        all.retain(|name| name.starts_with(&prefix));
        all.retain(|name| given.contains(name) || !self.interfaces.contains(name));
        all
    }

    /// Repositories that no app has (any more).
    fn strays(&self) -> Result<BTreeSet<String>, String> {
        let apps = self.api.list("/apps")?;
        let kept = apps.iter().filter_map(|app| app["id"].as_str()).map(|id| format!("{id}.git"));
        let kept: BTreeSet<_> = kept.collect();
        Ok(names(&self.server.data_dir().join("repos")).difference(&kept).cloned().collect())
    }

    /// How many loop devices show a file of this server, removed ones included.
    fn loops(&self) -> usize {
        let data_dir = self.server.data_dir();
        let devices = names(Path::new("/sys/block"));
        let backing = devices.iter().filter_map(|name| {
            fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok()
        });
        backing.filter(|file| Path::new(file).starts_with(&data_dir)).count()
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
    shim_pids(run_dir).into_keys().collect()
}

/// The shims that run: of which dyno, in which process.
pub fn shim_pids(run_dir: &Path) -> BTreeMap<String, String> {
    let of_ours = |pid: String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let dir = PathBuf::from(line.split('\0').nth(2)?);
        let name = dir.file_name()?.to_string_lossy().into_owned();
        (dir.parent() == Some(run_dir)).then_some((name, pid))
    };
    names(Path::new("/proc")).into_iter().filter_map(of_ours).collect()
}

/// Ids of the dynos with a control group, on either version of control groups.
fn groups(run_dir: &Path) -> BTreeSet<String> {
    let server = run_dir.parent().and_then(Path::file_name).expect("the server's directory");
    let parent = format!("hythe-{}", server.to_string_lossy());
    let roots = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(PathBuf::from);
    let found = roots.into_iter().map(|root| root.join(&parent)).find(|dir| dir.exists());
    names(&found.expect("the server's control group"))
}

/// Every control group below that of this server's dynos, in any hierarchy.
fn all_groups(run_dir: &Path) -> BTreeSet<String> {
    let server = run_dir.parent().and_then(Path::file_name).expect("the server's directory");
    let parent = format!("hythe-{}", server.to_string_lossy());
    let root = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = names(&root).into_iter().map(|name| root.join(name));
    let parents = hierarchies.chain([root.clone()]).map(|place| place.join(&parent));
    parents.flat_map(|parent| names(&parent)).collect()
}

/// The interfaces that dynos' directories speak of.
fn given_interfaces(run_dir: &Path) -> BTreeSet<String> {
    let prefix = interface_prefix(run_dir);
    let slots = names(run_dir)
        .into_iter()
        .filter_map(|dyno| fs::read_to_string(run_dir.join(dyno).join("slot")).ok());
    slots.map(|slot| format!("{prefix}{}", slot.trim())).collect()
}

/// What the names of this server's interfaces begin with.
fn interface_prefix(run_dir: &Path) -> String {
    let number = claim(run_dir).file_stem().expect("a number").to_string_lossy().into_owned();
    format!("hythe{number}-")
}

/// The file that says which addresses are this server's.
pub fn claim(run_dir: &Path) -> PathBuf {
    let owner = run_dir.parent().expect("the server's directory").to_string_lossy().into_owned();
    let claims = fs::read_dir(CLAIMS).expect("claims").flatten();
    let mut claims = claims.map(|claim| claim.path());
    let mine = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text == owner);
    claims.find(mine).expect("the server has a subnet")
}
