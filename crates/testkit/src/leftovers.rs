//! What a server has left on the machine: processes, control groups, network, mounts, devices.
//!
//! After a server and its dynos were stopped nothing may be left. Whose a thing is follows from the
//! server's directories, which nothing else on the machine has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where servers' directories are while they run.
const RUN: &str = "/run/hythe";

/// Which server has which addresses and interfaces.
const CLAIMS: &str = "/run/hythe/net";

/// Where to look for what is a server's.
#[derive(Clone, Debug)]
pub struct Traces {
    data_dir: PathBuf,
    run_dir: PathBuf,
    group: String,
}

impl Traces {
    /// Of the server that runs with this data directory.
    ///
    /// # Panics
    /// When it has no directory where servers that run have theirs: then nobody would know where to
    /// look.
    #[must_use]
    #[track_caller]
    pub fn of(data_dir: &Path) -> Self {
        let instance = instance(data_dir);
        let run_dir = Path::new(RUN).join(&instance);
        assert!(run_dir.exists(), "a server of {} runs without {run_dir:?}", data_dir.display());
        Self { data_dir: data_dir.to_owned(), run_dir, group: format!("hythe-{instance}") }
    }

    /// All that is left, each named so that a person finds it.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        if self.run_dir.exists() {
            left.push(format!("the directory {}", self.run_dir.display()));
        }
        left.extend(self.processes());
        left.extend(self.groups());
        left.extend(self.network());
        left.extend(self.mounts());
        left.extend(self.devices());
        left
    }

    fn is_ours(&self, text: &str) -> bool {
        [&self.data_dir, &self.run_dir].iter().any(|dir| text.contains(&*dir.to_string_lossy()))
    }

    /// Those that were started with one of the directories, or are in a control group of the
    /// server's: a container of which nothing else is left is one of these.
    fn processes(&self) -> Vec<String> {
        let ours = |pid: &String| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let inside = groups.contains(&format!("/{}", self.group));
            (self.is_ours(&line) || inside).then(|| format!("process {pid}: {line}"))
        };
        processes().iter().filter_map(ours).collect()
    }

    /// On either version of control groups.
    fn groups(&self) -> Vec<String> {
        let root = Path::new("/sys/fs/cgroup");
        let places = entries(root).into_iter().map(|name| root.join(name));
        let groups = places.chain([root.to_owned()]).map(|place| place.join(&self.group));
        let left = groups.filter(|group| group.exists());
        left.map(|group| format!("control group {}", group.display())).collect()
    }

    /// Interfaces and tables of packet filters. A network namespace that nobody is in any more goes
    /// with the last end of its pair.
    fn network(&self) -> Vec<String> {
        let numbers: Vec<String> = entries(Path::new(CLAIMS))
            .into_iter()
            .filter_map(|name| name.strip_suffix(".claim").map(str::to_owned))
            .collect();
        numbers.iter().flat_map(|number| self.network_of(number)).collect()
    }

    fn network_of(&self, number: &str) -> Vec<String> {
        let claim = Path::new(CLAIMS).join(format!("{number}.claim"));
        let ours = || {
            let owner = fs::read_to_string(&claim).unwrap_or_default();
            Path::new(&owner) == self.run_dir
        };
        if !ours() {
            return Vec::new();
        }
        let prefix = format!("hythe{number}-");
        let interfaces = entries(Path::new("/sys/class/net")).into_iter();
        let interfaces = interfaces.filter(|name| name.starts_with(&prefix));
        let mut left: Vec<_> = interfaces.map(|name| format!("interface {name}")).collect();
        let tables = Command::new("nft").args(["list", "tables", "inet"]).output();
        let tables = tables.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let table = format!("table inet hythe{number}");
        if tables.unwrap_or_default().lines().any(|line| line == table) {
            left.push(table);
        }
        // Another server may have taken the number over meanwhile: then these are its.
        if ours() { left } else { Vec::new() }
    }

    /// In the mount namespaces of all processes.
    fn mounts(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut left = Vec::new();
        for pid in processes() {
            let Ok(space) = fs::read_link(format!("/proc/{pid}/ns/mnt")) else { continue };
            if !seen.insert(space) {
                continue;
            }
            let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            let ours = table.lines().filter(|line| self.is_ours(line));
            left.extend(ours.map(|line| format!("mount of process {pid}: {line}")));
        }
        left
    }

    /// Loop devices that show a file of the server, removed ones included.
    fn devices(&self) -> Vec<String> {
        let backed = |name: &String| {
            let file = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok()?;
            self.is_ours(&file).then(|| format!("device {name} of {}", file.trim()))
        };
        entries(Path::new("/sys/block")).iter().filter_map(backed).collect()
    }
}

/// FNV-1a over the path, as the server names itself.
fn instance(data_dir: &Path) -> String {
    let bytes = data_dir.as_os_str().as_encoded_bytes().iter();
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    format!("{:08x}", bytes.fold(0x811c_9dc5, step))
}

fn processes() -> Vec<String> {
    let number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    entries(Path::new("/proc")).into_iter().filter(number).collect()
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
