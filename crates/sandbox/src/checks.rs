//! Whether this machine can run dynos, and how to mend it where it cannot.

use std::fs::{self, OpenOptions};
use std::path::Path;

use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use crate::cgroup::{self, Version};
use crate::error::{Attempt, Result, chain};
use crate::network::resolvers;
use crate::program;
use crate::sys;

/// Oldest kernel that can show a mount under other ids.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// Docker and ufw refuse to forward what they do not know. Our own rules fence the dynos in all the
/// same.
const OPEN_FORWARDING: &str = "iptables -I FORWARD -i hythe+ -j ACCEPT; iptables -I FORWARD -o \
                               hythe+ -j ACCEPT (with Docker, DOCKER-USER instead of FORWARD)";

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it will do.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do when it will not do.
    pub mend: String,
}

/// Looks at everything a dyno needs; `runtime` is the OCI runtime program.
#[must_use]
pub fn all(runtime: &Path) -> Vec<Check> {
    vec![
        check("root rights", root(), "run the server as root"),
        check("kernel", kernel(), "use Linux 5.12 or later"),
        check("OCI runtime", version_of(runtime), &install(runtime)),
        check("namespaces", namespaces(), "set sysctl user.max_user_namespaces above 0"),
        check("control groups", control_groups(), "boot with the cpu, memory and pids controllers"),
        check("file systems", file_systems(), "install the kernel's overlay, squashfs and ext4"),
        check("loop devices", loop_devices(), "modprobe loop"),
        check("mkfs.ext4", version_of_mkfs(), "apt-get install e2fsprogs"),
        check("nftables", nftables(), "apt-get install nftables"),
        check("forwarding", forwarding(), OPEN_FORWARDING),
        check("name resolution", resolution(), "name a resolver in /etc/resolv.conf by IPv4"),
    ]
}

fn check(name: &str, looked: Result<Found>, mend: &str) -> Check {
    let (ok, found) = match looked {
        Ok(Found::Enough(found)) => (true, found),
        Ok(Found::Lacking(found)) => (false, found),
        Err(error) => (false, chain(&error)),
    };
    Check { name: name.to_owned(), ok, found, mend: mend.to_owned() }
}

/// What was found, and whether it will do.
enum Found {
    Enough(String),
    Lacking(String),
}

fn root() -> Result<Found> {
    let found = format!("user {}", geteuid());
    Ok(if geteuid().is_root() { Found::Enough(found) } else { Found::Lacking(found) })
}

fn kernel() -> Result<Found> {
    let names = uname().attempt(|| "ask for the kernel's version")?;
    let release = names.release().to_string_lossy().into_owned();
    let enough = version(&release).is_some_and(|version| version >= OLDEST_KERNEL);
    Ok(if enough { Found::Enough(release) } else { Found::Lacking(release) })
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn version_of(runtime: &Path) -> Result<Found> {
    let text = program::output(program::command(runtime).arg("--version"), "")?;
    Ok(Found::Enough(text.lines().next().unwrap_or_default().to_owned()))
}

/// How to get a runtime that is not there.
fn install(runtime: &Path) -> String {
    let name = runtime.file_name().unwrap_or_default().to_string_lossy();
    format!("apt-get install {name}, or name another one as runtime in hythe.toml")
}

fn namespaces() -> Result<Found> {
    let mut all = program::command("unshare");
    all.args(["--user", "--pid", "--mount", "--net", "--ipc", "--uts", "--cgroup"]);
    program::output(all.args(["--fork", "true"]), "")?;
    Ok(Found::Enough("user, pid, mount, net, ipc, uts, cgroup".into()))
}

fn control_groups() -> Result<Found> {
    let found = match (cgroup::version()?, cgroup::hybrid()) {
        (Version::V2, _) => "version 2",
        (Version::V1, None) => "version 1",
        (Version::V1, Some(_)) => "version 1 beside version 2",
    };
    let missing = cgroup::missing_controllers();
    Ok(match missing.as_slice() {
        [] => Found::Enough(found.to_owned()),
        missing => Found::Lacking(format!("{found} without {}", missing.join(", "))),
    })
}

fn file_systems() -> Result<Found> {
    let wanted = ["overlay", "squashfs", "ext4", "tmpfs"];
    let known = known_file_systems()?;
    let absent: Vec<&str> = wanted.into_iter().filter(|name| !known.contains(*name)).collect();
    for name in &absent {
        // A module that is not loaded yet is as good; whether it came is seen below.
        let _ = program::output(program::command("modprobe").arg(name), "");
    }
    let known = known_file_systems()?;
    let missing: Vec<&str> = absent.into_iter().filter(|name| !known.contains(*name)).collect();
    Ok(match missing.as_slice() {
        [] => Found::Enough(wanted.join(", ")),
        missing => Found::Lacking(format!("{} missing", missing.join(", "))),
    })
}

fn known_file_systems() -> Result<String> {
    fs::read_to_string("/proc/filesystems").attempt(|| "read /proc/filesystems")
}

fn loop_devices() -> Result<Found> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control");
    let control = control.attempt(|| "open /dev/loop-control")?;
    let number = sys::free_loop_device(&control).attempt(|| "find a free loop device")?;
    let path = format!("/dev/loop{number}");
    // In a container a new device may have no node.
    let there = Path::new(&path).exists();
    let found = format!("{path} is free");
    Ok(if there { Found::Enough(found) } else { Found::Lacking(format!("{path} is missing")) })
}

fn version_of_mkfs() -> Result<Found> {
    // It prints its version among the errors.
    program::output(program::command("mkfs.ext4").arg("-V"), "")?;
    Ok(Found::Enough("mkfs.ext4 is installed".into()))
}

fn nftables() -> Result<Found> {
    program::output(program::command("nft").args(["list", "tables"]), "")?;
    let version = program::output(program::command("nft").arg("--version"), "")?;
    Ok(Found::Enough(version.trim().to_owned()))
}

fn forwarding() -> Result<Found> {
    let rules = program::output(program::command("nft").args(["-s", "list", "ruleset"]), "")?;
    Ok(match refusing_table(&rules) {
        None => Found::Enough("no table refuses it".into()),
        Some(table) => Found::Lacking(format!("{table} refuses it")),
    })
}

/// A table that drops what it does not know on its way through the host, and does not know dynos.
fn refusing_table(rules: &str) -> Option<String> {
    let mut tables = rules.split("\n}").map(str::trim_start);
    let refuses = |table: &&str| {
        let drops = |line: &str| line.contains("hook forward") && line.contains("policy drop");
        table.lines().any(drops) && !table.contains("\"hythe*\"")
    };
    let table = tables.find(refuses)?.lines().find(|line| line.starts_with("table "))?;
    Some(table.trim_end_matches([' ', '{']).to_owned())
}

fn resolution() -> Result<Found> {
    let addresses = resolvers::addresses(&resolvers::configuration());
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Ok(match list.as_slice() {
        [] => Found::Lacking("no resolver that a dyno could reach".into()),
        list => Found::Enough(list.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_compared_by_their_numbers() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert!(version("5.4.0").unwrap() < OLDEST_KERNEL);
        assert!(version("5.12").unwrap() >= OLDEST_KERNEL);
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn a_firewall_that_forwards_nothing_unknown_is_found_out() {
        let open = "table ip nat {\n\tchain FORWARD {\n\t\ttype filter hook forward priority \
                    filter; policy accept;\n\t}\n}\n";
        let closed = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority \
                      filter; policy drop;\n\t\tjump DOCKER-USER\n\t}\n}\n";
        let mended = closed.replace("jump", "iifname \"hythe*\" accept\n\t\tjump");
        assert_eq!(refusing_table(open), None);
        let both = format!("{open}{closed}");
        assert_eq!(refusing_table(&both).as_deref(), Some("table ip filter"));
        assert_eq!(refusing_table(&mended), None);
    }

    #[test]
    fn a_missing_runtime_is_found_out() {
        let checks = all(Path::new("/nonexistent/runtime"));
        let runtime = checks.iter().find(|check| check.name == "OCI runtime").unwrap();
        assert!(!runtime.ok);
        assert!(runtime.found.contains("No such file"), "{}", runtime.found);
        assert!(runtime.mend.contains("install runtime"), "{}", runtime.mend);
    }
}
