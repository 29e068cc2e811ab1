//! Whether the disk knows that a dyno begins.
//!
//! A formation's dyno that the machine forgets in a power cut is started again, as it should be. A
//! one-off must not run twice, so its program waits until the disk knows of it; its shim need not.

use tokio::sync::watch;

/// What the disk knows of a dyno that begins.
#[derive(Clone, Debug)]
pub(crate) struct Recorded(watch::Receiver<Option<bool>>);

/// Tells it.
pub(crate) struct Recording(watch::Sender<Option<bool>>);

impl Recorded {
    /// Nobody needs to wait.
    pub(crate) fn seen() -> Self {
        Self(watch::channel(Some(true)).1)
    }

    /// The disk is at it.
    pub(crate) fn soon() -> (Recording, Self) {
        let (sender, receiver) = watch::channel(None);
        (Recording(sender), Self(receiver))
    }

    /// Waits for the disk; answers whether it took it.
    pub(crate) async fn settled(mut self) -> bool {
        // An error: whoever was at it has ended without a word.
        self.0.wait_for(Option::is_some).await.is_ok_and(|known| *known == Some(true))
    }
}

impl Recording {
    /// The disk has taken it, or has not.
    pub(crate) fn end(self, safe: bool) {
        self.0.send_replace(Some(safe));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_the_disk_has_taken_settled() {
        assert!(Recorded::seen().settled().await);
        for safe in [true, false] {
            let (recording, recorded) = Recorded::soon();
            let waiting = tokio::spawn(recorded.settled());
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            recording.end(safe);
            assert_eq!(waiting.await.expect("no panic"), safe);
        }
        let (recording, recorded) = Recorded::soon();
        drop(recording);
        assert!(!recorded.settled().await);
    }
}
