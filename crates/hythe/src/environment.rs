//! The environment variables Hythe reads: this registry, and nothing else in the project.

use std::ffi::OsString;
use std::path::PathBuf;

/// One variable.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does, for the reference page.
    pub help: &'static str,
}

/// Where the server keeps everything.
pub const DATA_DIR: Variable =
    Variable { name: "HYTHE_DATA_DIR", help: "The server's data directory (--data-dir)." };
/// Address and port.
pub const LISTEN: Variable = Variable {
    name: "HYTHE_LISTEN",
    help: "Addresses to listen on, separated by commas (--listen).",
};
/// Base domain.
pub const DOMAIN: Variable =
    Variable { name: "HYTHE_DOMAIN", help: "Base domain of apps and of the API (--domain)." };
/// Log filter.
pub const LOG: Variable = Variable {
    name: "HYTHE_LOG",
    help: "What the server logs about itself, such as info or debug,hyper=warn.",
};
/// API token for the client.
pub const API_KEY: Variable = Variable {
    name: "HYTHE_API_KEY",
    help: "The client's API token; wins over the one stored by `hythe login`.",
};
/// Server for the client.
pub const SERVER: Variable = Variable {
    name: "HYTHE_SERVER",
    help: "The client's server: a URL, or the name of a profile.",
};
/// App for the client.
pub const APP: Variable =
    Variable { name: "HYTHE_APP", help: "The client's app, when --app is not given." };

/// All variables, in the order of the reference page.
pub const ALL: [&Variable; 7] = [&DATA_DIR, &LISTEN, &DOMAIN, &LOG, &API_KEY, &SERVER, &APP];

impl Variable {
    /// Its value, if set and not empty.
    pub fn get(&self) -> Option<String> {
        named(self.name)
    }
}

/// A variable that is not ours: `HOME`, `PATH`, git's own in a hook.
#[allow(clippy::disallowed_methods, reason = "this file is the door to the environment")]
pub fn named(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that is not ours, as bytes.
#[allow(clippy::disallowed_methods, reason = "this file is the door to the environment")]
pub fn raw(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The person's home directory.
pub fn home() -> Option<PathBuf> {
    named("HOME").map(PathBuf::from)
}

/// This program's own file, also when a newer one has taken its place meanwhile.
///
/// # Errors
/// When the kernel does not say.
pub fn program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    // What the kernel says of a file that was replaced.
    let replaced = path.to_str().and_then(|path| path.strip_suffix(" (deleted)"));
    Ok(replaced.map_or_else(|| path.clone(), PathBuf::from))
}

/// The command line, program name first.
pub fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}
