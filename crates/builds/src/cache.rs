//! What buildpacks keep from one build of an app to the next.
//!
//! `<caches>/<app id>/files` is the directory that they see; beside it, `stack` names the stack it
//! was filled on. A cache is dropped when the stack changes, when it is too large, and, oldest
//! first, when all together are. A failed build leaves it as it is.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use control::apps::CACHE_STAMP;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::archive::own;
use crate::config::Config;
use crate::program::{self, ProgramError};
use crate::workspace::remove_tree;

/// Why a cache could not be made ready or measured.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The disk failed.
    #[error("could not use the build cache {0}")]
    Disk(PathBuf, #[source] io::Error),
    /// It could not be measured or removed.
    #[error("could not measure or remove a build cache")]
    Program(#[from] ProgramError),
}

/// The cache of one app.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache in `dir`, made ready for a build on `stack`.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn open(config: &Config, dir: PathBuf, stack: &str) -> Result<Self, CacheError> {
        let cache = Self { dir };
        let failed = |source| CacheError::Disk(cache.dir.clone(), source);
        if fs::read(cache.stamp()).is_ok_and(|stamp| stamp != stack.as_bytes()) {
            remove_tree(config, &cache.dir).await?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&cache.dir).map_err(failed)?;
        DirBuilder::new().recursive(true).create(cache.files()).map_err(failed)?;
        own(&cache.files()).map_err(failed)?;
        // Written each time: its age is how long ago the app was built.
        fs::write(cache.stamp(), stack).map_err(failed)?;
        Ok(cache)
    }

    /// What buildpacks see as CACHE_DIR.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.dir.join("files")
    }

    fn stamp(&self) -> PathBuf {
        self.dir.join(CACHE_STAMP)
    }
}

/// Drops the cache in `dir` if it has grown beyond the limit of one app.
///
/// # Errors
/// When it cannot be measured or removed.
pub async fn bound(config: &Config, dir: &Path) -> Result<(), CacheError> {
    if !dir.exists() {
        return Ok(());
    }
    let bytes = measure(config, dir).await?;
    if bytes > config.bounds.app_cache_bytes {
        tracing::info!(bytes, cache = %dir.display(), "a build cache was too large and is dropped");
        remove_tree(config, dir).await?;
    }
    Ok(())
}

/// Drops caches, those of the apps that were not built for longest first, until all are within their
/// limit. `in_use` says which must stay.
///
/// # Errors
/// When one cannot be measured or removed.
pub async fn trim(
    config: &Config,
    caches: &Path,
    in_use: impl Fn(&Path) -> bool,
) -> Result<(), CacheError> {
    let limit = config.bounds.all_caches_bytes;
    if !caches.exists() {
        return Ok(());
    }
    let mut total = measure(config, caches).await?;
    for dir in oldest_first(caches).map_err(|source| CacheError::Disk(caches.to_owned(), source))? {
        if total <= limit {
            break;
        }
        if in_use(&dir) {
            continue;
        }
        let bytes = measure(config, &dir).await?;
        remove_tree(config, &dir).await?;
        total = total.saturating_sub(bytes);
        tracing::info!(bytes, cache = %dir.display(), "an old build cache was dropped for room");
    }
    Ok(())
}

fn oldest_first(caches: &Path) -> io::Result<Vec<PathBuf>> {
    let mut dirs = Vec::new();
    for entry in fs::read_dir(caches)? {
        let path = entry?.path();
        let built_at = fs::metadata(path.join(CACHE_STAMP)).and_then(|found| found.modified());
        dirs.push((built_at.unwrap_or(SystemTime::UNIX_EPOCH), path));
    }
    dirs.sort();
    Ok(dirs.into_iter().map(|(_, path)| path).collect())
}

async fn measure(config: &Config, dir: &Path) -> Result<u64, CacheError> {
    let arguments = ["-sk".as_ref(), "--".as_ref(), dir.as_os_str()];
    let said = program::run(&config.programs.du, arguments).await?;
    let kilobytes: u64 =
        said.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok(kilobytes.saturating_mul(1024))
}

/// One key for each app's cache: two builds of one app never share it. (The second would be one whose
/// predecessor was cancelled and still stops.)
#[derive(Debug, Default)]
pub struct Keys(Mutex<HashMap<PathBuf, Arc<AsyncMutex<()>>>>);

impl Keys {
    /// Waits for the key of the cache in `dir`, and holds it.
    pub async fn take(&self, dir: &Path) -> OwnedMutexGuard<()> {
        let key = self.lock().entry(dir.to_owned()).or_default().clone();
        key.lock_owned().await
    }

    /// Whether somebody holds that key.
    #[must_use]
    pub fn is_taken(&self, dir: &Path) -> bool {
        self.lock().get(dir).is_some_and(|key| key.try_lock().is_err())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<AsyncMutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::workspace::tests::config;

    async fn cache(config: &Config, caches: &Path, name: &str, stack: &str) -> Cache {
        Cache::open(config, caches.join(name), stack).await.expect("opened")
    }

    #[tokio::test]
    async fn a_cache_is_kept_until_the_stack_changes() {
        let root = tempfile::tempdir().expect("a directory");
        let config = config(root.path());
        let first = cache(&config, root.path(), "app", "heroku-24").await;
        fs::write(first.files().join("x"), "kept").expect("written");
        let again = cache(&config, root.path(), "app", "heroku-24").await;
        assert!(again.files().join("x").exists());
        let other = cache(&config, root.path(), "app", "heroku-26").await;
        assert!(!other.files().join("x").exists());
    }

    #[tokio::test]
    async fn a_cache_whose_stamp_was_emptied_is_begun_anew() {
        let root = tempfile::tempdir().expect("a directory");
        let config = config(root.path());
        let first = cache(&config, root.path(), "app", "heroku-24").await;
        fs::write(first.files().join("x"), "kept").expect("written");
        fs::write(root.path().join("app").join(CACHE_STAMP), "").expect("purged");
        let again = cache(&config, root.path(), "app", "heroku-24").await;
        assert!(!again.files().join("x").exists());
    }

    #[tokio::test]
    async fn a_cache_beyond_its_limit_is_dropped() {
        let root = tempfile::tempdir().expect("a directory");
        let mut config = config(root.path());
        let cache = cache(&config, root.path(), "app", "heroku-24").await;
        fs::write(cache.files().join("x"), vec![1; 100_000]).expect("written");
        config.bounds.app_cache_bytes = 1_000_000;
        bound(&config, &cache.dir).await.expect("measured");
        assert!(cache.files().exists());
        config.bounds.app_cache_bytes = 50_000;
        bound(&config, &cache.dir).await.expect("measured");
        assert!(!cache.files().exists());
    }

    #[tokio::test]
    async fn the_caches_not_built_for_longest_go_first_and_those_in_use_stay() {
        let root = tempfile::tempdir().expect("a directory");
        let mut config = config(root.path());
        for (name, age) in [("oldest", 300), ("older", 200), ("newest", 100)] {
            let cache = cache(&config, root.path(), name, "heroku-24").await;
            fs::write(cache.files().join("x"), vec![1; 100_000]).expect("written");
            let stamp = fs::File::options().write(true).open(cache.stamp()).expect("there");
            let now = stamp.metadata().and_then(|found| found.modified()).expect("a time");
            stamp.set_modified(now - Duration::from_secs(age)).expect("set");
        }
        config.bounds.all_caches_bytes = 250_000;
        let oldest = root.path().join("oldest");
        trim(&config, root.path(), |dir| dir == oldest).await.expect("trimmed");
        let left = ["oldest", "older", "newest"].map(|name| root.path().join(name).exists());
        assert_eq!(left, [true, false, true]);
    }

    #[tokio::test]
    async fn a_key_is_held_by_one_at_a_time() {
        let keys = Keys::default();
        let dir = Path::new("/cache");
        assert!(!keys.is_taken(dir));
        let held = keys.take(dir).await;
        assert!(keys.is_taken(dir));
        drop(held);
        let _again = keys.take(dir).await;
    }
}
