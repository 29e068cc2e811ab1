//! Following one output.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use super::Progress;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// An output from its start to its end, also while it grows.
pub struct Follow {
    file: File,
    position: u64,
    // None: nobody writes it; what is in the file is all there is.
    progress: Option<watch::Receiver<Progress>>,
}

impl Follow {
    pub(super) fn new(file: File, progress: Option<watch::Receiver<Progress>>) -> Self {
        Self { file, position: 0, progress }
    }

    /// The next bytes; `None` at the end. Waits while the output is unfinished. Dropping the future
    /// while it waits loses nothing.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(progress) = &mut self.progress {
            let position = self.position;
            // An error means that the writer's side was dropped with the whole store: the end.
            let _ = progress.wait_for(|now| now.finished || now.bytes > position).await;
        }
        let mut chunk = BytesMut::with_capacity(CHUNK);
        self.file.read_buf(&mut chunk).await?;
        self.position += chunk.len() as u64;
        Ok(if chunk.is_empty() { None } else { Some(chunk.freeze()) })
    }

    /// The same as a stream, such as a response's body takes.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        futures_util::stream::unfold(Some(self), |state| async move {
            let mut follow = state?;
            match follow.next().await {
                Ok(chunk) => chunk.map(|chunk| (Ok(chunk), Some(follow))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}
