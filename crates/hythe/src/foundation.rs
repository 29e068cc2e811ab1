//! What every room stands on: the data directory, the database, the verbs, the certificate; and the
//! rooms' configurations, made from the settings in this one place.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use control::{Control, Scheme};
use model::{DynoSize, LogSink, Secret};
use store::Store;
use store::blobs::BlobStore;
use store::outputs::Outputs;

use crate::certificates::Keeper;
use crate::settings::Settings;
use crate::{capacity, certificates, first_start, private_files, programs};

/// The stack's name. Its base is the machine's own `/usr`; the name is what buildpacks ask for.
const STACK: &str = "heroku-24";

/// What every room stands on.
pub struct Foundation {
    /// What the operator decided.
    pub settings: Settings,
    /// The verbs, with database, blobs, outputs and the way into the log.
    pub control: Control,
    /// The certificates that the router shows.
    pub certificates: Keeper,
    /// The first account and its token, when this start has made it.
    pub first_account: Option<(String, Secret)>,
    public: Public,
}

/// How people reach the platform.
#[derive(Clone, Debug)]
struct Public {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Foundation {
    /// Makes what is missing, opens what is there.
    ///
    /// # Errors
    /// Says what was attempted.
    pub async fn lay(settings: Settings, logs: LogSink) -> anyhow::Result<Self> {
        run_directory(&settings)?;
        let public = public(&settings)?;
        let authorities = certificates::authorities(&settings)?;
        let certificates = Keeper::open(&settings, &authorities)?;
        let control = open(&settings, &public, logs)?.with_authorities(authorities);
        let first = control::accounts::ensure_first(&control, &settings.owner)
            .await
            .context("make the first account")?;
        let first_account = first.map(|(account, token)| (account.email, token));
        if let (Some((_, token)), Some(path)) = (&first_account, &settings.token_file) {
            private_files::write(path, token.reveal().as_bytes())?;
        }
        Ok(Self { settings, control, certificates, first_account, public })
    }

    /// `http://localhost:8300`.
    pub fn public_url(&self) -> String {
        self.url(&self.public.host)
    }

    fn url(&self, host: &str) -> String {
        match (self.public.scheme, self.public.port) {
            (Scheme::Http, 80) => format!("http://{host}"),
            (Scheme::Https, 443) => format!("https://{host}"),
            (Scheme::Http, port) => format!("http://{host}:{port}"),
            (Scheme::Https, port) => format!("https://{host}:{port}"),
        }
    }

    /// Configuration of the API.
    ///
    /// # Errors
    /// When the key of streams cannot be read or made.
    pub fn api_config(&self) -> anyhow::Result<api::Config> {
        let key = first_start::stream_key(&self.settings.data_dir)?;
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let host = format!("{}:{}", self.public.host, self.public.port);
        Ok(api::Config {
            api_url: self.public_url(),
            git_host: host.clone(),
            attach_host: host,
            hosts: platform_hosts(&self.settings.domain).into_iter().map(Into::into).collect(),
            stream_key: Secret::new(hex),
        })
    }

    /// Configuration of git.
    ///
    /// # Errors
    /// When this program's own path cannot be known.
    pub fn git_config(&self) -> anyhow::Result<git::GitConfig> {
        let program = this_program()?;
        let (data_dir, run_dir) = (&self.settings.data_dir, &self.settings.run_dir);
        let mut config = git::GitConfig::below(data_dir, run_dir, program);
        config.git_program = programs::git();
        Ok(config)
    }

    /// Configuration of the builder.
    pub fn builds_config(&self) -> builds::Config {
        let limits = self.settings.build;
        builds::Config {
            work_dir: self.settings.data_dir.join("builds"),
            secrets_dir: self.settings.run_dir.join("builds"),
            buildpacks_dir: self.settings.data_dir.join("buildpacks"),
            programs: builds::config::Programs {
                mksquashfs: programs::mksquashfs(),
                ..builds::config::Programs::default()
            },
            bounds: builds::config::Bounds {
                time: Duration::from_secs(limits.timeout_seconds),
                memory_bytes: limits.memory_mib * 1024 * 1024,
                ..builds::config::Bounds::default()
            },
            env: std::collections::BTreeMap::new(),
        }
    }
}

fn run_directory(settings: &Settings) -> anyhow::Result<()> {
    private_files::directory(&settings.run_dir)
}

fn open(settings: &Settings, public: &Public, logs: LogSink) -> anyhow::Result<Control> {
    let data = &settings.data_dir;
    let key = first_start::secrets_key(data)?;
    let store = Store::open(&data.join("hythe.db"), key).context("open the database")?;
    let blobs = BlobStore::open(&data.join("blobs")).context("open the blob store")?;
    let outputs = Outputs::open(&data.join("outputs")).context("open the outputs")?;
    let decided = control::Settings {
        base_domain: settings.domain.clone(),
        scheme: public.scheme,
        port: public.port,
        git_host: public.host.clone(),
        platform_hosts: platform_hosts(&settings.domain),
        stacks: vec![STACK.to_owned()],
        default_size: DynoSize::Standard1X,
        repositories: data.join("repos"),
        caches: data.join("caches"),
        slugs_per_app: settings.slugs_per_app,
    };
    let reach = settings.drains.reach.clone();
    Ok(Control::new(store, blobs, outputs, logs, decided).with_reach(reach))
}

/// The verbs over a data directory that is there, for the operator's commands.
///
/// # Errors
/// Says what was attempted.
pub fn open_existing(settings: &Settings) -> anyhow::Result<Control> {
    if !settings.data_dir.join("hythe.db").exists() {
        bail!("there is no server in {}; start one first", settings.data_dir.display());
    }
    // The lines of an operator's command reach no stream: the queue's end is dropped.
    let (sink, _lines, _lost) = LogSink::channel(1);
    open(settings, &public(settings)?, sink)
}

/// Configuration of drains.
pub fn drains_config(settings: &Settings) -> logplex::drains::Config {
    let transit = |socket: std::os::fd::BorrowedFd<'_>| {
        let sandbox::tcp::Transit { unacknowledged, window } = sandbox::tcp::transit(socket)?;
        Ok(logplex::drains::Transit { unacknowledged, window })
    };
    logplex::drains::Config {
        directory: Some(settings.data_dir.join("drains")),
        reach: settings.drains.reach.clone(),
        authorities: settings.drains.authorities.clone(),
        ..logplex::drains::Config::new(transit)
    }
}

/// Configuration of the dyno manager. Claims this server's block of addresses and ids for as long
/// as the process lives, and prepares the host's network for its dynos.
///
/// # Errors
/// When there is no block left, or the host refuses.
pub fn dynos_config(settings: &Settings) -> anyhow::Result<dynos::Config> {
    let subnet = sandbox::network::claim(&settings.run_dir).context("claim addresses for dynos")?;
    sandbox::network::ensure_host(&subnet).context("prepare the host's network for dynos")?;
    let addresses = dynos::Addresses {
        first: subnet.first,
        slots: subnet.slots,
        interface_prefix: subnet.interface_prefix,
        id_base: subnet.id_base,
    };
    let build = settings.build;
    let build_limits = sandbox::protocol::Limits {
        memory_bytes: build.memory_mib * 1024 * 1024,
        memory_quota_bytes: build.memory_mib * 1024 * 1024,
        cpu_shares: 512,
        cpu_millis: build.cpu_millis,
        pids: build.pids,
        open_files: OPEN_FILES,
        disk_bytes: DISK_BYTES,
    };
    Ok(dynos::Config {
        exe: this_program()?,
        run_dir: settings.run_dir.clone(),
        scratch: Some(scratch(&settings.data_dir)?),
        runtime: settings.runtime.clone(),
        cgroup_parent: cgroup_parent(settings),
        root: sandbox::protocol::Root::Host,
        addresses,
        sizes: settings.sizes.clone(),
        disk_bytes: DISK_BYTES,
        open_files: OPEN_FILES,
        build_limits,
        timing: dynos::Timing {
            boot: Duration::from_secs(settings.boot_timeout_seconds),
            stop_grace: Duration::from_secs(settings.stop_grace_seconds),
            drain: Duration::from_secs(settings.drain_seconds),
            reclaim: Duration::from_secs(settings.sleep.reclaim_after_seconds),
            measure: Duration::from_secs(settings.metrics_seconds.max(1)),
            ..dynos::Timing::default()
        },
        limits: planner_limits(settings),
    })
}

/// Name of the control group that holds all dynos of this server.
pub fn cgroup_parent(settings: &Settings) -> String {
    format!("hythe-{}", settings.instance)
}

fn planner_limits(settings: &Settings) -> model::plan::Limits {
    let sleep = settings.sleep;
    model::plan::Limits {
        sleep_after: Duration::from_secs(sleep.after_seconds),
        freeze_after: Duration::from_secs(sleep.freeze_after_seconds),
        stop_frozen_after: Duration::from_secs(sleep.stop_frozen_after_seconds),
        memory: capacity::memory(settings),
        ..model::plan::Limits::default()
    }
}

/// Open files per process, as Heroku's.
const OPEN_FILES: u64 = 10_000;
/// What a dyno may write to its own ephemeral file system.
const DISK_BYTES: u64 = 4 * 1024 * 1024 * 1024;

fn scratch(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = data_dir.join("scratch");
    private_files::directory(&path)?;
    Ok(path)
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("find this program's own file")
}

/// Host names that lead to the platform, not to an app.
fn platform_hosts(domain: &str) -> Vec<String> {
    let mut hosts: Vec<String> = ["", "api.", "git.", "dashboard."]
        .iter()
        .map(|prefix| format!("{prefix}{domain}"))
        .collect();
    hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
    hosts.sort();
    hosts.dedup();
    hosts
}

fn public(settings: &Settings) -> anyhow::Result<Public> {
    let port = settings.listen.first().map_or(80, SocketAddr::port);
    let Some(url) = &settings.public_url else {
        let first = settings.listen.first();
        let only = first.and_then(|first| settings.schemes.get(first));
        let scheme = only.copied().unwrap_or(Scheme::Http);
        return Ok(Public { scheme, host: settings.domain.clone(), port });
    };
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => bail!("public_url must begin with http:// or https://, not {url:?}"),
    };
    let authority = rest.trim_end_matches('/');
    let usual = if scheme == Scheme::Http { 80 } else { 443 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if host.parse::<IpAddr>().is_err() || !host.contains(':') => {
            (host, port.parse().with_context(|| format!("read the port of public_url {url:?}"))?)
        }
        _ => (authority, usual),
    };
    Ok(Public { scheme, host: host.to_ascii_lowercase(), port })
}
