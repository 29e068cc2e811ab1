//! The server's settings: flags over environment over the settings file over defaults, read once.

mod drains;
mod logs;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use model::size::SizeTable;
use model::{DynoSize, Step};
use serde::Deserialize;

use crate::{capacity, environment, programs};

pub use drains::{Drains, DrainsFile};
pub use logs::{LogsFile, LogsKept, MailFile};
pub use tls::{AcmeFile, TlsFiles, TlsSettings};

/// Flags of `hythe server`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// Where everything is kept [default: /var/lib/hythe]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address and port to listen on; may be given several times; with http:// or https:// before it,
    /// only that is spoken there, else both [default: 127.0.0.1:8300 and [::1]:8300]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<String>,
    /// Base domain: apps are at <app>.<domain>, the API at the domain itself and at api.<domain> [default: localhost]
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// E-mail of the account made on the first start [default: owner@<domain>]
    #[arg(long, value_name = "EMAIL")]
    pub owner: Option<String>,
    /// Also write the first account's API token to this file (mode 0600)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Settings file [default: hythe.toml in the data directory]
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Stop all dynos when the server is told to stop; without this they keep running
    #[arg(long)]
    pub stop_dynos: bool,
    /// Take over from the server at the other end of standard input
    #[arg(long, hide = true)]
    pub take_over: bool,
    /// Abort at this step of what the server does: for tests of what the next one makes of it
    #[arg(long, value_name = "STEP", hide = true)]
    pub crash_at: Option<Step>,
    /// Have the first shim that is started kill itself at this step of its life
    #[arg(long, value_name = "STEP", hide = true)]
    pub crash_shim_at: Option<sandbox::Step>,
}

/// `hythe.toml`. Everything is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Vec<String>,
    domain: Option<String>,
    public_url: Option<String>,
    runtime: Option<PathBuf>,
    workers: Option<usize>,
    boot_timeout_seconds: Option<u64>,
    stop_grace_seconds: Option<u64>,
    drain_seconds: Option<u64>,
    metrics_seconds: Option<u64>,
    memory_mib: Option<u64>,
    memory_overcommit: Option<f64>,
    slugs_per_app: Option<u32>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    acme: AcmeFile,
    drains: DrainsFile,
    logs: LogsFile,
    mail: Option<MailFile>,
    sleep: SleepFile,
    build: BuildFile,
    /// By name, such as `standard-1x`.
    sizes: BTreeMap<String, SizeFile>,
}

/// `[sleep]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SleepFile {
    after_seconds: Option<u64>,
    freeze_after_seconds: Option<u64>,
    reclaim_after_seconds: Option<u64>,
    stop_frozen_after_seconds: Option<u64>,
}

/// `[sizes.standard-1x]`. What is left out is as on Heroku.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SizeFile {
    memory_mib: Option<u64>,
    cpu_share: Option<u32>,
    pids: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BuildFile {
    timeout_seconds: Option<u64>,
    memory_mib: Option<u64>,
    cpu_millis: Option<u64>,
    pids: Option<u32>,
}

/// Everything the server is told, once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Volatile state: sockets, dynos' run directories. On a tmpfs, gone after a reboot.
    pub run_dir: PathBuf,
    /// Eight hex digits that tell this server from others on the machine.
    pub instance: String,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Where only HTTP or only HTTPS is spoken; elsewhere both are.
    pub schemes: BTreeMap<SocketAddr, control::Scheme>,
    /// Base domain.
    pub domain: String,
    /// How people reach the server when a proxy in front changes scheme or port.
    pub public_url: Option<String>,
    /// OCI runtime.
    pub runtime: PathBuf,
    /// Router threads.
    pub workers: usize,
    /// Seconds a web dyno has to listen (R10).
    pub boot_timeout_seconds: u64,
    /// Seconds from SIGTERM to SIGKILL (R12).
    pub stop_grace_seconds: u64,
    /// Seconds that requests in flight have to leave a dyno before SIGTERM.
    pub drain_seconds: u64,
    /// Seconds between two looks at what dynos use (R14, R15, runtime metrics).
    pub metrics_seconds: u64,
    /// MiB that dynos and builds may be promised together; none for what the machine has.
    pub memory_mib: Option<u64>,
    /// So many times the memory may be promised. More than 1 is a bet that dynos do not all use
    /// their quota.
    pub memory_overcommit: f64,
    /// How many old slugs of an app are kept to go back to.
    pub slugs_per_app: u32,
    /// Certificates.
    pub tls: TlsSettings,
    /// Where drains may lead.
    pub drains: Drains,
    /// How much is kept of logs.
    pub logs: LogsKept,
    /// The mail server for log alerts.
    pub mail: Option<logplex::rules::Mail>,
    /// When dynos without traffic rest.
    pub sleep: Sleep,
    /// What each dyno size grants.
    pub sizes: SizeTable,
    /// Limits of builds.
    pub build: BuildLimits,
    /// E-mail of the first account.
    pub owner: String,
    /// Where to write the first token.
    pub token_file: Option<PathBuf>,
    /// Whether stopping the server stops the dynos.
    pub stop_dynos: bool,
}

/// When dynos without web traffic rest.
#[derive(Debug, Clone, Copy)]
pub struct Sleep {
    /// Seconds until an app of Eco dynos sleeps.
    pub after_seconds: u64,
    /// With the feature `dyno-suspend`: seconds until a web dyno is frozen,
    pub freeze_after_seconds: u64,
    /// from then until its memory is taken back,
    pub reclaim_after_seconds: u64,
    /// and from the last request until it is stopped.
    pub stop_frozen_after_seconds: u64,
}

/// Limits of builds.
#[derive(Debug, Clone, Copy)]
pub struct BuildLimits {
    /// Seconds a build may take.
    pub timeout_seconds: u64,
    /// MiB of memory.
    pub memory_mib: u64,
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Processes and threads.
    pub pids: u32,
}

/// Twice as much must be a number for the kernel: 1 PiB.
/// So many deploys an app can go back.
const SLUGS_PER_APP: u32 = 20;

const MOST_MEMORY: u64 = 1 << 50;

/// The port of the quick start.
pub const DEFAULT_PORT: u16 = 8300;

impl Settings {
    /// Reads flags, environment and file.
    ///
    /// # Errors
    /// Names the setting and what would be right.
    pub fn read(flags: Flags) -> anyhow::Result<Self> {
        let data_dir = data_dir(flags.data_dir.clone())?;
        let path = flags.settings.clone().unwrap_or_else(|| data_dir.join("hythe.toml"));
        let file = read_file(&path, flags.settings.is_some())?;
        let domain = flags
            .domain
            .or_else(|| environment::DOMAIN.get())
            .or(file.domain)
            .unwrap_or_else(|| "localhost".to_owned())
            .to_ascii_lowercase();
        let instance = instance(&data_dir);
        let (listen, schemes) = listen(flags.listen, file.listen)?;
        Ok(Self {
            run_dir: Path::new("/run/hythe").join(&instance),
            listen,
            schemes,
            owner: flags.owner.unwrap_or_else(|| format!("owner@{domain}")),
            token_file: flags.token_file,
            stop_dynos: flags.stop_dynos,
            public_url: file.public_url,
            runtime: file.runtime.unwrap_or_else(programs::runtime),
            workers: file.workers.unwrap_or_else(cores),
            boot_timeout_seconds: file.boot_timeout_seconds.unwrap_or(60),
            stop_grace_seconds: file.stop_grace_seconds.unwrap_or(30),
            drain_seconds: file.drain_seconds.unwrap_or(30),
            metrics_seconds: file.metrics_seconds.unwrap_or(20),
            memory_mib: file.memory_mib,
            memory_overcommit: overcommit(file.memory_overcommit)?,
            drains: file.drains.read()?,
            logs: file.logs.read()?,
            mail: file.mail.map(|mail| mail.read(&domain)).transpose()?,
            tls: TlsSettings::read(file.tls_certificate, file.tls_key, file.acme, &domain)?,
            slugs_per_app: slugs_per_app(file.slugs_per_app)?,
            sleep: Sleep {
                after_seconds: file.sleep.after_seconds.unwrap_or(30 * 60),
                freeze_after_seconds: file.sleep.freeze_after_seconds.unwrap_or(5 * 60),
                reclaim_after_seconds: file.sleep.reclaim_after_seconds.unwrap_or(60),
                stop_frozen_after_seconds: file
                    .sleep
                    .stop_frozen_after_seconds
                    .unwrap_or(12 * 60 * 60),
            },
            sizes: sizes(&file.sizes)?,
            build: BuildLimits {
                timeout_seconds: file.build.timeout_seconds.unwrap_or(900),
                memory_mib: file
                    .build
                    .memory_mib
                    .unwrap_or_else(capacity::default_build_memory_mib),
                cpu_millis: file.build.cpu_millis,
                pids: file.build.pids.unwrap_or(4096),
            },
            data_dir,
            instance,
            domain,
        })
    }
}

/// The data directory, absolute: flag, environment, default.
///
/// # Errors
/// When the working directory cannot be read.
pub fn data_dir(flag: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let chosen = flag
        .or_else(|| environment::DATA_DIR.get().map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/var/lib/hythe"));
    std::path::absolute(&chosen).with_context(|| format!("resolve {}", chosen.display()))
}

/// FNV-1a over the path: a stable short name, not a secret.
fn instance(data_dir: &Path) -> String {
    let bytes = data_dir.as_os_str().as_encoded_bytes();
    let hash = bytes
        .iter()
        .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

fn slugs_per_app(count: Option<u32>) -> anyhow::Result<u32> {
    match count.unwrap_or(SLUGS_PER_APP) {
        0 => bail!("slugs_per_app must be at least 1: the slug that an app runs is always kept"),
        count => Ok(count),
    }
}

fn overcommit(factor: Option<f64>) -> anyhow::Result<f64> {
    let factor = factor.unwrap_or(1.0);
    if !(0.1..=100.0).contains(&factor) {
        bail!("memory_overcommit must be a number from 0.1 to 100, such as 1.5, not {factor}");
    }
    Ok(factor)
}

/// Heroku's table with the file's numbers over it.
fn sizes(file: &BTreeMap<String, SizeFile>) -> anyhow::Result<SizeTable> {
    /// Less would not hold a shell.
    const LEAST_MIB: u64 = 16;
    /// Less would not hold a shell and its pipe.
    const LEAST_PIDS: u32 = 8;
    let mut table = SizeTable::default();
    for (name, wanted) in file {
        let size: DynoSize = name.parse().with_context(|| format!("read [sizes.{name}]"))?;
        let mut limits = table.limits(size);
        if let Some(mib) = wanted.memory_mib {
            limits.memory_bytes = mib.saturating_mul(1024 * 1024);
        }
        limits.cpu_share = wanted.cpu_share.unwrap_or(limits.cpu_share);
        limits.pids = wanted.pids.unwrap_or(limits.pids);
        let small = limits.memory_bytes < LEAST_MIB * 1024 * 1024 || limits.pids < LEAST_PIDS;
        if small || limits.cpu_share == 0 || limits.memory_bytes > MOST_MEMORY {
            bail!(
                "[sizes.{name}] must grant at least {LEAST_MIB} MiB, {LEAST_PIDS} processes and a \
                 CPU share of 1"
            );
        }
        table.set(size, limits);
    }
    Ok(table)
}

fn read_file(path: &Path, must_exist: bool) -> anyhow::Result<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
            Ok(File::default())
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Where to listen, and what is spoken there if not both.
type Listening = (Vec<SocketAddr>, BTreeMap<SocketAddr, control::Scheme>);

fn listen(flags: Vec<String>, file: Vec<String>) -> anyhow::Result<Listening> {
    let environment = environment::LISTEN.get();
    let chosen: Vec<String> = if !flags.is_empty() {
        flags
    } else if let Some(list) = environment {
        list.split(',').map(|part| part.trim().to_owned()).collect()
    } else {
        file
    };
    if chosen.is_empty() {
        let both = vec![
            SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)),
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], DEFAULT_PORT)),
        ];
        return Ok((both, BTreeMap::new()));
    }
    let (mut listen, mut schemes) = (Vec::new(), BTreeMap::new());
    for text in &chosen {
        let (scheme, rest) = scheme(text);
        let address = address(rest)?;
        if let Some(scheme) = scheme {
            if address.port() == 0 {
                bail!("`{text}` has a scheme, so it needs a port of its own as well");
            }
            schemes.insert(address, scheme);
        }
        listen.push(address);
    }
    Ok((listen, schemes))
}

/// Splits `https://` off.
fn scheme(text: &str) -> (Option<control::Scheme>, &str) {
    match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (Some(control::Scheme::Http), rest),
        (_, Some(rest)) => (Some(control::Scheme::Https), rest),
        (None, None) => (None, text),
    }
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => bail!("`{text}` is not an address to listen on; write it like 0.0.0.0:8300"),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_say_what_is_spoken_there() {
        let read =
            |list: &[&str]| listen(list.iter().map(|&text| text.to_owned()).collect(), Vec::new());
        let (listen, schemes) =
            read(&["127.0.0.1:8300", "http://0.0.0.0:80", "https://[::]:443"]).expect("good");
        let addresses: Vec<String> = listen.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["127.0.0.1:8300", "0.0.0.0:80", "[::]:443"]);
        let spoken: Vec<_> = listen.iter().map(|address| schemes.get(address).copied()).collect();
        assert_eq!(spoken, [None, Some(control::Scheme::Http), Some(control::Scheme::Https)]);
        for odd in ["ftp://0.0.0.0:80", "https://example.com", "https://0.0.0.0:0", "80"] {
            assert!(read(&[odd]).is_err(), "{odd}");
        }
    }
}
