//! What a build's container sees: where things are, its environment, the command that it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::BuildId;
use model::build::Build;
use model::dyno::Mount;

use crate::buildpacks::Buildpack;
use crate::config::Config;
use crate::workspace::Workspace;

const CACHE: &str = "/tmp/codon/cache";
const ENV: &str = "/tmp/codon/env";
const RESULTS: &str = "/tmp/codon/results";
const BUILDPACKS: &str = "/tmp/codon/buildpacks";
const DRIVER: &str = "/tmp/codon/driver.sh";
const PACKS: &str = "/tmp/codon/packs";

/// Debian's list of authorities, kept by ca-certificates. A machine's own authority is in it.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How each kind of program is told where to find the authorities.
const TRUST: [&str; 6] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
];

/// Which buildpacks a build uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packs {
    /// The first of these that knows the app.
    Detect(Vec<Buildpack>),
    /// All of these, in order.
    Set(Vec<Buildpack>),
}

/// Host paths and where the build sees them.
pub fn mounts(build: BuildId, place: &Workspace, cache: PathBuf, buildpacks: &Path) -> Vec<Mount> {
    vec![
        writable(place.tree(), &build_dir(build)),
        writable(cache, CACHE),
        writable(place.results(), RESULTS),
        readable(place.env(), ENV),
        readable(buildpacks.to_owned(), BUILDPACKS),
        readable(place.driver(), DRIVER),
        readable(place.packs(), PACKS),
    ]
}

/// What a dyno sees that fetches a source.
pub fn source_mounts(place: &Workspace) -> Vec<Mount> {
    vec![
        writable(place.results(), RESULTS),
        readable(place.driver(), DRIVER),
        readable(place.packs(), PACKS),
    ]
}

/// The driver, to fetch a source.
pub fn source_command() -> String {
    format!("exec {DRIVER} source")
}

/// The whole environment of the build. Config vars are not in it: they are files.
pub fn env(config: &Config, build: &Build) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = TRUST
        .iter()
        .map(|&name| (name.to_owned(), AUTHORITIES.to_owned()))
        .chain(config.env.clone())
        .collect();
    let own = [
        ("BUILD_DIR", build_dir(build.id)),
        ("CACHE_DIR", CACHE.to_owned()),
        ("ENV_DIR", ENV.to_owned()),
        ("RESULTS", RESULTS.to_owned()),
        ("PACKS", PACKS.to_owned()),
        ("BUILT_IN", BUILDPACKS.to_owned()),
        ("STACK", build.stack.clone()),
        ("SOURCE_VERSION", build.source_version.clone().unwrap_or_default()),
        ("REQUEST_ID", build.id.to_string()),
        ("HOME", "/app".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    env
}

impl Packs {
    /// What the driver is told of them.
    #[must_use]
    pub fn lines(&self) -> String {
        match self {
            Self::Detect(packs) | Self::Set(packs) => packs.iter().map(Buildpack::line).collect(),
        }
    }
}

/// The driver with its mode.
pub fn command(packs: &Packs) -> String {
    let mode = match packs {
        Packs::Detect(_) => "auto",
        Packs::Set(_) => "set",
    };
    format!("exec {DRIVER} {mode}")
}

fn readable(source: PathBuf, target: &str) -> Mount {
    Mount { source, target: target.into(), writable: false }
}

fn writable(source: PathBuf, target: &str) -> Mount {
    Mount { writable: true, ..readable(source, target) }
}

/// `/tmp/build_<hex>`, as Heroku's builds see it.
fn build_dir(build: BuildId) -> String {
    let id = build.uuid().simple().to_string();
    format!("/tmp/build_{}", &id[..8])
}
