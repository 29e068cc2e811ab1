//! What the first start makes, and every later start finds: the data directory, the secrets key,
//! the lock.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use model::Secret;

use crate::private_files;

const KEY_FILE: &str = "secrets.key";
const STREAM_KEY_FILE: &str = "streams.key";
const METRICS_TOKEN_FILE: &str = "metrics.token";
const LOCK_FILE: &str = "lock";

/// Holds the data directory: no second server may use it. Gone when dropped, or when the process
/// dies.
pub struct Lock(#[allow(dead_code, reason = "the lock is held by the open file")] File);

/// Makes the data directory (mode 0700) if it is missing, and locks it.
///
/// # Errors
/// When another server holds it, or it cannot be made.
pub fn lock(data_dir: &Path) -> anyhow::Result<Lock> {
    private_files::directory(data_dir)?;
    let path = data_dir.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => {
            bail!("another server is using {}; stop it first", data_dir.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("lock {}", path.display()))
        }
    }
}

/// The same once the server that still holds it has let go of it. Blocks.
///
/// # Errors
/// When it cannot be made or locked.
pub fn wait_for_lock(data_dir: &Path) -> anyhow::Result<Lock> {
    private_files::directory(data_dir)?;
    let path = data_dir.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    file.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(Lock(file))
}

/// Whether a server is using the data directory now.
pub fn is_locked(data_dir: &Path) -> bool {
    let Ok(file) = File::open(data_dir.join(LOCK_FILE)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The key that seals secrets in the database: outside the database, so that a copy of one is
/// worth nothing without the other.
///
/// # Errors
/// When it cannot be read or made, or is not a key.
pub fn secrets_key(data_dir: &Path) -> anyhow::Result<[u8; 32]> {
    let path = data_dir.join(KEY_FILE);
    // A new key beside an old database would make its secrets unreadable for ever.
    if !path.exists() && data_dir.join("hythe.db").exists() {
        bail!("{} is missing but there is a database; restore it from a backup", path.display());
    }
    key(&path)
}

/// The key that signs the URLs of streams. If it is lost, old URLs are void and nothing else.
///
/// # Errors
/// When it cannot be read or made, or is not a key.
pub fn stream_key(data_dir: &Path) -> anyhow::Result<[u8; 32]> {
    key(&data_dir.join(STREAM_KEY_FILE))
}

/// The token that the operator's Prometheus shows: 64 hex digits, for its `credentials_file`.
///
/// # Errors
/// When it cannot be read or made.
pub fn metrics_token(data_dir: &Path) -> anyhow::Result<Secret> {
    let path = data_dir.join(METRICS_TOKEN_FILE);
    if !path.exists() {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("get random bytes: {error}"))?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        private_files::write(&path, hex.as_bytes())?;
    }
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    match text.trim() {
        token if token.len() < 16 => bail!("{} is too short for a token", path.display()),
        token => Ok(Secret::new(token)),
    }
}

fn key(path: &Path) -> anyhow::Result<[u8; 32]> {
    match fs::read(path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(key) => Ok(key),
            Err(_) => {
                bail!("{} is not a key of 32 bytes; restore it from a backup", path.display())
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_key(path),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn make_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow!("get random bytes: {error}"))?;
    private_files::write(path, &key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_refused_and_the_key_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = lock(dir.path()).expect("the first");
        assert!(lock(dir.path()).is_err() && is_locked(dir.path()));
        let key = secrets_key(dir.path()).expect("made");
        assert_eq!(secrets_key(dir.path()).expect("read"), key);
        drop(held);
        assert!(!is_locked(dir.path()));
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("hythe.db"), "").expect("written");
        assert!(secrets_key(dir.path()).is_err());
    }
}
