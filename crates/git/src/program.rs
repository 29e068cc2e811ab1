//! The `git` program: the one place that says how it is run.
//!
//! Every run has a fixed environment and no configuration but ours: neither the machine's, nor the
//! account's of the server, nor anything a pushed repository contains.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::GitError;

/// The oldest git that is served with: Ubuntu 22.04's.
pub const MINIMUM_VERSION: Version = Version { major: 2, minor: 34 };

/// What every run may see of the environment.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/nonexistent"),
    ("LANG", "C.UTF-8"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // A pushed `refs/replace/…` must not change what is built.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
];

/// Settings of every run. Objects are checked as they arrive; old but harmless irregularities that
/// well-known repositories carry in their history are let through.
const SETTINGS: [&str; 15] = [
    "receive.fsckObjects=true",
    "receive.fsck.zeroPaddedFilemode=ignore",
    "receive.fsck.badTimezone=ignore",
    "receive.fsck.missingSpaceBeforeDate=ignore",
    "receive.autogc=false",
    "receive.denyCurrentBranch=ignore",
    "uploadpack.allowFilter=true",
    // Files above this are streamed, not held in memory.
    "core.bigFileThreshold=16m",
    "pack.threads=1",
    "pack.windowMemory=64m",
    "pack.deltaCacheSize=32m",
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    "protocol.allow=never",
    "advice.detachedHead=false",
];

/// The `git` program at a known path.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
}

impl Git {
    /// The program at `program`, such as `/usr/bin/git`. Nothing is run yet.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Asks for the version and refuses one that is too old.
    ///
    /// # Errors
    /// When git cannot be run, answers strangely, or is older than [`MINIMUM_VERSION`].
    pub fn check_version(&self) -> Result<Version, GitError> {
        let output = self
            .command(Path::new("/"))
            .arg("version")
            .output()
            .map_err(|source| GitError::Run { what: "version", source })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = Version::parse(&text)
            .ok_or_else(|| GitError::StrangeVersion(text.trim().chars().take(80).collect()))?;
        if version < MINIMUM_VERSION { Err(GitError::TooOld(version)) } else { Ok(version) }
    }

    /// A run in `directory`, with the fixed environment and settings; the caller adds the verb.
    #[must_use]
    pub fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(ENVIRONMENT).current_dir(directory);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
    }
}

/// A version of git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The 2 of 2.47.3.
    pub major: u32,
    /// The 47 of 2.47.3.
    pub minor: u32,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().strip_prefix("git version ")?.split('.');
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_number() {
        let version = |text| Version::parse(text);
        assert_eq!(version("git version 2.47.3\n"), Some(Version { major: 2, minor: 47 }));
        assert_eq!(version("git version 2.39.5 (Apple Git-154)").map(|v| v.minor), Some(39));
        assert!(version("git version 2.9.1") < Some(MINIMUM_VERSION));
        assert_eq!(version("hub version 2"), None);
    }
}
