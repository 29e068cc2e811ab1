//! `hythe doctor`: what this machine lacks for running the platform, and how to mend it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sandbox::checks::Check;

use crate::settings::Settings;
use crate::{certificates, programs, settings};

/// Below this a server cannot work; builds alone write more.
const MIN_FREE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Flags of `hythe doctor`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// The server's data directory [default: /var/lib/hythe]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Settings file of the server [default: hythe.toml in the data directory]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Address and port the server is to listen on; checked if no server of this data directory runs
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// Prints one line per check; the exit status says whether all are well.
pub fn run(flags: &Flags) -> ExitCode {
    let data_dir = settings::data_dir(flags.data_dir.clone());
    let data_dir = data_dir.unwrap_or_else(|_| PathBuf::from("/var/lib/hythe"));
    let (runtime, settings) = configured(flags);
    let mut checks = sandbox::checks::all(&runtime);
    checks.extend(settings);
    checks.push(git());
    checks.push(packer());
    checks.push(disk(&data_dir));
    checks.extend(certificates::report::check(&data_dir));
    checks.push(port(
        flags.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], settings::DEFAULT_PORT))),
        &data_dir,
    ));
    for check in &checks {
        say(check);
    }
    if checks.iter().all(|check| check.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The OCI runtime that the settings name. With settings that the server would refuse it is the
/// default one, beside what is wrong with them.
fn configured(flags: &Flags) -> (PathBuf, Option<Check>) {
    let given = settings::Flags {
        data_dir: flags.data_dir.clone(),
        settings: flags.settings.clone(),
        ..settings::Flags::default()
    };
    match Settings::read(given) {
        Ok(settings) => (settings.runtime, None),
        Err(error) => {
            let mend = "correct the settings file; until then the server does not start".into();
            let found = format!("{error:#}");
            (programs::runtime(), Some(Check { name: "settings".into(), ok: false, found, mend }))
        }
    }
}

fn git() -> Check {
    let found = git::Git::at(programs::git()).check_version();
    let (ok, found) = match found {
        Ok(version) => (true, format!("git {version}")),
        Err(error) => (false, error.to_string()),
    };
    let mend = format!("apt-get install git (at least {})", git::MINIMUM_VERSION);
    Check { name: "git".into(), ok, found, mend }
}

fn packer() -> Check {
    let path = programs::mksquashfs();
    let ok = path.is_file();
    let found = if ok { path.display().to_string() } else { "mksquashfs is missing".to_owned() };
    Check { name: "slug packer".into(), ok, found, mend: "apt-get install squashfs-tools".into() }
}

fn disk(data_dir: &Path) -> Check {
    let existing = data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let (ok, found) = match nix::sys::statvfs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            let gib = free / (1024 * 1024 * 1024);
            (free >= MIN_FREE_BYTES, format!("{gib} GiB free at {}", existing.display()))
        }
        Err(error) => (false, format!("{}: {error}", existing.display())),
    };
    let mend = "free some space, or put the data directory elsewhere (--data-dir)".into();
    Check { name: "disk".into(), ok, found, mend }
}

fn port(address: SocketAddr, data_dir: &Path) -> Check {
    let check = |ok, found| Check {
        name: "port".into(),
        ok,
        found,
        mend: "stop what listens there, or choose another port (--listen)".into(),
    };
    if server_runs(data_dir) {
        return check(true, "the server of this data directory is running".to_owned());
    }
    match TcpListener::bind(address) {
        Ok(_) => check(true, format!("{address} is free")),
        Err(error) => check(false, format!("{address}: {error}")),
    }
}

/// Whether a server holds the lock of this data directory.
fn server_runs(data_dir: &Path) -> bool {
    crate::first_start::is_locked(data_dir)
}

#[allow(clippy::print_stdout, reason = "the doctor's findings are its output")]
fn say(check: &Check) {
    let verdict = if check.ok { "ok  " } else { "LACK" };
    println!("{verdict}  {:<18} {}", check.name, check.found);
    if !check.ok {
        println!("      {:<18} mend: {}", "", check.mend);
    }
}
