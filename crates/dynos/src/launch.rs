//! What a dyno is started with: program, environment, limits, files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::dyno::{DynoKind, OneOff, Terminal};
use model::{Dyno, DynoId, Metadata};
use sandbox::protocol::{self, Limits, Mount};
use store::blobs::BlobStore;
use store::desired::Given;

use crate::Config;

pub(crate) use guest::guest;
pub(crate) use recorded::Recorded;

mod guest;
mod recorded;

/// Environment that a dyno has before config vars (Heroku, "Dynos").
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const HOME: &str = "/app";
const PROMPT: &str = r"\[\033[01;34m\]\w\[\033[00m\] \[\033[01;32m\]$ \[\033[00m\]";

/// Sources the profiles, then becomes the command's shell. The command is an argument and never a
/// part of the script. Names with two underscores cannot be config vars.
const START: &str = r#"__hythe_command=$1
shift
for __hythe_file in /app/.profile.d/*.sh; do
  if [ -r "$__hythe_file" ]; then . "$__hythe_file"; fi
done
unset __hythe_file
if [ -r "$HOME/.profile" ]; then . "$HOME/.profile"; fi
exec /bin/bash -c "$__hythe_command"
"#;

/// What a dyno is started with.
#[derive(Clone)]
pub(crate) struct Launch {
    pub(crate) id: DynoId,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    pub(crate) slug: Option<PathBuf>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) limits: Limits,
    pub(crate) terminal: protocol::Terminal,
    /// The port that it is told to listen on.
    pub(crate) port: u16,
    /// The command with the platform's own variables filled in, as the log shows it.
    pub(crate) shown_command: String,
    /// Until then its program must not begin.
    pub(crate) recorded: Recorded,
}

/// What `dyno` is to be started with. `once` is there for all kinds but the formation's.
///
/// # Errors
/// When the slug's name is not one of a blob.
pub(crate) fn prepare(
    config: &Config,
    blobs: &BlobStore,
    dyno: &Dyno,
    given: Option<&Given>,
    once: Option<&OneOff>,
) -> store::Result<Launch> {
    let build = dyno.kind == DynoKind::Build;
    let port = port(dyno.id);
    let slug = given.filter(|_| !build).and_then(|given| given.slug.as_ref());
    let given = given.filter(|_| !build);
    let platform = platform_env(dyno, given, port);
    let argv = match build {
        true => ["/bin/bash", "-c", &dyno.command].map(str::to_owned).to_vec(),
        false => start(&dyno.command),
    };
    let mounts = once.map(|once| once.mounts.iter().map(mount).collect());
    Ok(Launch {
        id: dyno.id,
        argv,
        env: environment(dyno.kind, given, once.map(|once| (once.terminal, &once.env)), &platform),
        cwd: PathBuf::from(if build { "/" } else { HOME }),
        slug: slug.map(|slug| blobs.path(&slug.blob)).transpose()?,
        mounts: mounts.unwrap_or_default(),
        limits: if build { config.build_limits } else { limits(config, dyno) },
        terminal: wired(once.map_or(Terminal::Detached, |once| once.terminal)),
        port,
        shown_command: expand(&dyno.command, &platform),
        recorded: Recorded::seen(),
    })
}

/// A high port, different from dyno to dyno as Heroku's, and the same for one dyno's whole life.
pub(crate) fn port(dyno: DynoId) -> u16 {
    let part = dyno.uuid().as_u128() % 40_000;
    20_000 + u16::try_from(part).unwrap_or(0)
}

/// What the platform sets whatever the app's config says.
fn platform_env(dyno: &Dyno, given: Option<&Given>, port: u16) -> BTreeMap<String, String> {
    let metadata = given.and_then(|given| given.metadata.as_ref());
    let mut env = metadata.map(Metadata::variables).unwrap_or_default();
    if metadata.is_some() {
        env.insert("HEROKU_DYNO_ID".to_owned(), dyno.id.to_string());
    }
    env.insert("DYNO".to_owned(), dyno.name.to_string());
    if dyno.name.process_type.is_web() || dyno.kind == DynoKind::Release {
        env.insert("PORT".to_owned(), port.to_string());
    }
    env
}

/// A shell that sources the profiles and then runs this command.
fn start(command: &str) -> Vec<String> {
    ["/bin/bash", "-c", START, "bash", command].map(str::to_owned).to_vec()
}

/// Defaults, then config vars, then what a person brings beside a terminal, then what the platform
/// sets. A build has only what it brings.
fn environment(
    kind: DynoKind,
    given: Option<&Given>,
    brought: Option<(Terminal, &BTreeMap<String, String>)>,
    platform: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("PATH", PATH), ("HOME", HOME)].map(owned));
    if let Some((Terminal::Pty { columns, rows }, _)) = brought {
        env.extend([("TERM", "xterm"), ("PS1", PROMPT)].map(owned));
        env.insert("COLUMNS".to_owned(), columns.to_string());
        env.insert("LINES".to_owned(), rows.to_string());
    }
    env.extend(given.map(|given| given.config.0.clone()).unwrap_or_default());
    env.extend(brought.map(|(_, env)| env.clone()).unwrap_or_default());
    if kind != DynoKind::Build {
        env.extend(platform.clone());
    }
    env
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn mount(mount: &model::dyno::Mount) -> Mount {
    let model::dyno::Mount { source, target, writable } = mount.clone();
    Mount { source, target, writable }
}

/// The kernel kills a little above twice the quota, where the platform does it before (R15).
fn limits(config: &Config, dyno: &Dyno) -> Limits {
    let size = config.sizes.limits(dyno.size);
    Limits {
        memory_bytes: size.memory_bytes * 2 + size.memory_bytes / 8,
        memory_quota_bytes: size.memory_bytes,
        cpu_shares: u64::from(size.cpu_share) * 1024,
        cpu_millis: None,
        pids: size.pids,
        open_files: config.open_files,
        disk_bytes: config.disk_bytes,
    }
}

fn wired(terminal: Terminal) -> protocol::Terminal {
    match terminal {
        Terminal::Detached => protocol::Terminal::Output,
        Terminal::Pipes => protocol::Terminal::Pipes,
        Terminal::Pty { columns, rows } => protocol::Terminal::Pty { columns, rows },
    }
}

/// Fills in `$NAME` and `${NAME}` for the names in `env`. Others stay as they are: config vars are
/// secrets, and a log is no place for them.
fn expand(command: &str, env: &BTreeMap<String, String>) -> String {
    let mut shown = String::with_capacity(command.len());
    let mut rest = command;
    while let Some(at) = rest.find('$') {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, length) = variable(rest);
        match env.get(name) {
            Some(value) => shown.push_str(value),
            None => shown.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    shown + rest
}

/// The variable's name at the beginning of `text`, which is a dollar sign, and the length of the
/// whole reference.
fn variable(text: &str) -> (&str, usize) {
    let named = |text: &str| {
        text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
    };
    let (open, name) = match text[1..].strip_prefix('{') {
        Some(inner) => (2, &inner[..named(inner)]),
        None => (1, &text[1..1 + named(&text[1..])]),
    };
    let end = open + name.len();
    match (open, text[end..].starts_with('}')) {
        (1, _) => (name, end),
        (_, true) => (name, end + 1),
        (_, false) => ("", end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_platforms_variables_are_shown() {
        let env = BTreeMap::from([("PORT", "35216"), ("DYNO", "web.1")].map(owned));
        let shown = |command| expand(command, &env);
        assert_eq!(shown("puma -p $PORT"), "puma -p 35216");
        assert_eq!(shown("a ${PORT}0 $PORTS $$ ${PORT:-1} $"), "a 352160 $PORTS $$ ${PORT:-1} $");
        assert_eq!(shown("é$SECRET\"$DYNO\"${"), "é$SECRET\"web.1\"${");
    }
}
