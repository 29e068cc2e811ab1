//! The operator's own certificate for the platform's names: two files, read again when they change.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use control::authorities::Authorities;
use control::certificates::{self, Rejection, Upload};
use model::Secret;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use rustls::sign::CertifiedKey;
use tokio::net::unix::pipe;

use super::shelf::certified_key;
use crate::settings::TlsFiles;

/// Reads the files. `None` if the certificate has expired: a platform with a private certificate is
/// better than none.
///
/// # Errors
/// When a file cannot be read, or certificate and key are refused.
pub fn read(
    files: &TlsFiles,
    authorities: &Authorities,
) -> anyhow::Result<Option<Arc<CertifiedKey>>> {
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let upload = Upload { chain: read(&files.certificate)?, key: Secret::new(read(&files.key)?) };
    match certificates::read(&upload, authorities) {
        Ok(pair) => Ok(Some(certified_key(&pair).context("use tls_certificate")?)),
        Err(expired @ Rejection::Expired(_)) => {
            let file = files.certificate.display();
            tracing::error!(%file, "{expired} Showing the private certificate instead.");
            Ok(None)
        }
        Err(rejection) => Err(rejection).with_context(|| {
            format!("use {} with {}", files.certificate.display(), files.key.display())
        }),
    }
}

/// Changes in the files' directories, as the kernel tells them. Its stream of events is read like a
/// pipe.
pub struct Changes(pipe::Receiver);

impl Changes {
    /// Watches from now on; `None` if the kernel refuses. Directories are watched, not files: a
    /// certificate is renewed by putting another file, or link, in its place.
    pub fn watch(files: &TlsFiles) -> Option<Self> {
        let made = || -> io::Result<Self> {
            let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            let flags = AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_CREATE;
            for file in [&files.certificate, &files.key] {
                let directory = file.parent().unwrap_or(Path::new("/"));
                watch.add_watch(directory, flags)?;
            }
            let events = watch.as_fd().try_clone_to_owned()?;
            Ok(Self(pipe::Receiver::from_owned_fd_unchecked(events)?))
        };
        made().inspect_err(|error| tracing::warn!(%error, "cannot watch tls_certificate")).ok()
    }

    async fn next(&self) -> io::Result<()> {
        self.0.readable().await?;
        let mut events = [0; 4096];
        loop {
            // Whatever changed, both files are read again.
            match self.0.try_read(&mut events) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits for the next change; for ever where nothing is watched.
pub async fn next_change(changes: &mut Option<Option<Changes>>) {
    match changes {
        Some(Some(watched)) => {
            if let Err(error) = watched.next().await {
                tracing::warn!(%error, "cannot watch tls_certificate any more");
                *changes = None;
            }
        }
        _ => std::future::pending().await,
    }
}
