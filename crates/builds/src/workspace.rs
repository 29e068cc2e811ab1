//! The directory of one running build: source tree, config vars as files, results.
//!
//! Parents belong to root and are closed to everybody, so modes below matter only inside the build's
//! container, where the pieces are mounted one by one.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{BuildId, ConfigVars};
use tokio::time::sleep;

use crate::archive::own;
use crate::config::Config;
use crate::program::{self, ProgramError};

/// What runs inside: our part of every build dyno.
const DRIVER: &str = include_str!("driver.sh");

/// How often a directory that an earlier run left is tried to be removed, and the time between.
const CLEAR_ATTEMPTS: u32 = 10;
const CLEAR_PAUSE: Duration = Duration::from_secs(1);

/// The directory of one running build.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    secrets: PathBuf,
}

impl Workspace {
    /// Where the directory of `build` is, or will be.
    #[must_use]
    pub fn of(config: &Config, build: BuildId) -> Self {
        let name = build.to_string();
        Self { root: config.work_dir.join(&name), secrets: config.secrets_dir.join(&name) }
    }

    /// Makes it, with an empty tree, the driver's list of buildpacks, and `vars` as files: name and content of
    /// a file are name and value, to the byte.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn create(&self, vars: &ConfigVars, packs: &str) -> io::Result<()> {
        for dir in [&self.root, &self.secrets] {
            DirBuilder::new().mode(0o700).create(dir)?;
        }
        for dir in [self.tree(), self.results()] {
            make_dir(&dir)?;
            own(&dir)?;
        }
        write_new(&self.driver(), DRIVER.as_bytes(), 0o755)?;
        // An address of a buildpack may hold a password.
        write_new(&self.packs(), packs.as_bytes(), 0o444)?;
        make_dir(&self.env())?;
        for (name, value) in &vars.0 {
            // `ConfigVars` admits only names that are letters, digits and underscores.
            write_new(&self.env().join(name), value.as_bytes(), 0o444)?;
        }
        Ok(())
    }

    /// The source, then the compiled app.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// Where the driver answers.
    #[must_use]
    pub fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// The script that runs inside.
    #[must_use]
    pub fn driver(&self) -> PathBuf {
        self.root.join("driver.sh")
    }

    /// The packed slug, before it is stored.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.root.join("slug.squashfs")
    }

    /// Which buildpacks are to be used, one a line.
    #[must_use]
    pub fn packs(&self) -> PathBuf {
        self.secrets.join("packs")
    }

    /// Config vars, one file each.
    #[must_use]
    pub fn env(&self) -> PathBuf {
        self.secrets.join("env")
    }

    /// Removes it with everything that the build left there.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove(&self, config: &Config) -> Result<(), ProgramError> {
        remove_tree(config, &self.secrets).await?;
        remove_tree(config, &self.root).await
    }
}

/// Makes the directories for workspaces; answers what an earlier run left in them.
///
/// # Errors
/// When the disk fails.
pub fn prepare(config: &Config) -> Result<Vec<PathBuf>, Unprepared> {
    let mut left = Vec::new();
    for dir in [&config.work_dir, &config.secrets_dir] {
        let failed = |source| Unprepared(dir.clone(), source);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        for entry in fs::read_dir(dir).map_err(failed)? {
            left.push(entry.map_err(failed)?.path());
        }
    }
    Ok(left)
}

/// Why the directories for workspaces could not be prepared.
#[derive(Debug, thiserror::Error)]
#[error("could not prepare {0}")]
pub struct Unprepared(PathBuf, #[source] io::Error);

/// Removes what an earlier run left. The dyno of an interrupted build may still write there for a
/// moment, so a failure is tried again, and in the end left to the next start.
pub async fn clear(config: &Config, left: Vec<PathBuf>) {
    for path in left {
        for attempt in 1..=CLEAR_ATTEMPTS {
            let Err(error) = remove_tree(config, &path).await else { break };
            complain(attempt, &error);
            sleep(CLEAR_PAUSE).await;
        }
    }
}

fn complain(attempt: u32, error: &ProgramError) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(attempt, error, "could not remove the directory of an earlier build");
}

/// Removes `path` and everything below. Not with the standard library, which goes as deep in its
/// stack as a hostile build went in its directories.
pub(crate) async fn remove_tree(config: &Config, path: &Path) -> Result<(), ProgramError> {
    let arguments = ["-rf".as_ref(), "--one-file-system".as_ref(), "--".as_ref(), path.as_os_str()];
    program::run(&config.programs.rm, arguments).await.map(drop)
}

fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))
}

#[cfg(test)]
pub(crate) mod tests;
