//! The named steps of what the platform does, so that a test can end the server right behind each.
//!
//! A step is a moment at which something has just been made to last: a row, a process, a file. At
//! most one is armed, once, before the server begins (`hythe server --crash-at NAME`); when it is
//! reached the process aborts there, without unwinding and without flushing, as a power cut would
//! have it. Nothing is armed in a server that people use: then a step costs one relaxed load.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// The step at which the process aborts, as its number plus one; zero when none is armed.
static ARMED: AtomicU8 = AtomicU8::new(0);

macro_rules! steps {
    ($($(#[$meaning:meta])+ $step:ident = $name:literal,)+) => {
        /// A moment in what the server does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step {
            $($(#[$meaning])+ $step,)+
        }

        impl Step {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$step,)+];

            /// What an operator's command line calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }
    };
}

steps! {
    /// A build waits in the queue.
    BuildQueued = "build-queued",
    /// The builder has taken it.
    BuildClaimed = "build-claimed",
    /// Its dyno is asked for.
    BuildDynoAsked = "build-dyno-asked",
    /// The source is compiled.
    BuildCompiled = "build-compiled",
    /// The slug's image is made.
    BuildPacked = "build-packed",
    /// The image is among the blobs; no row knows it.
    SlugStored = "slug-stored",
    /// The slug's release is written, but not yet committed.
    ReleaseAppended = "release-appended",
    /// The build has its release.
    BuildReleased = "build-released",
    /// The build has ended; its directory is there.
    BuildEnded = "build-ended",
    /// The release command's dyno is asked for.
    ReleaseCommandAsked = "release-command-asked",
    /// The release command has succeeded, and its release is current.
    ReleaseSettled = "release-settled",
    /// A formation has other quantities.
    ScaleWritten = "scale-written",
    /// A restart is asked for.
    RestartWritten = "restart-written",
    /// A one-off is asked for.
    OneOffAsked = "one-off-asked",
    /// A one-off's end is written.
    OneOffFinished = "one-off-finished",
    /// A dyno has a row, and nothing else.
    DynoRowWritten = "dyno-row-written",
    /// A dyno has a directory and its place in the network.
    DynoDirectoryMade = "dyno-directory-made",
    /// A shim runs, but does not know what for.
    ShimSpawned = "shim-spawned",
    /// A shim listens and makes its dyno.
    ShimListens = "shim-listens",
    /// A dyno's address is in its row.
    AddressWritten = "address-written",
    /// A dyno's process was seen to run.
    RunningSeen = "running-seen",
    /// A dyno is up in its row, but not yet offered to the router.
    UpWritten = "up-written",
    /// A dyno is frozen; its row does not say so.
    DynoFrozen = "dyno-frozen",
    /// A dyno's row says that it rests.
    RestWritten = "rest-written",
    /// A frozen dyno's memory was taken back.
    MemoryReclaimed = "memory-reclaimed",
    /// A frozen dyno runs again; its row does not say so.
    DynoThawed = "dyno-thawed",
    /// A dyno that is to stop has left the routes; its row does not say so.
    LeftRoutes = "left-routes",
    /// A dyno's row says that it was told to stop.
    StopWritten = "stop-written",
    /// A dyno has got SIGTERM.
    TermSent = "term-sent",
    /// A dyno's exit is known, and not written.
    ExitSeen = "exit-seen",
    /// A dyno's end is in its row.
    EndWritten = "end-written",
    /// A dyno's shim has left; its directory is there.
    ShimLeft = "shim-left",
    /// A dyno's directory is gone.
    DirectoryRemoved = "directory-removed",
    /// The row of a dyno that is over is gone.
    DynoForgotten = "dyno-forgotten",
    /// An app's dynos are noted to be as they are wanted.
    MadeTrue = "made-true",
    /// An app is destroyed as far as people see.
    AppMarked = "app-marked",
    /// A destroyed app's files are gone.
    AppFilesRemoved = "app-files-removed",
    /// A destroyed app's rows are gone.
    AppRowsRemoved = "app-rows-removed",
    /// An order for a certificate is placed at the authority, and written down.
    CertificateOrdered = "certificate-ordered",
    /// What the authority must find is written down.
    ChallengeWritten = "challenge-written",
    /// The authority has issued a certificate; no row knows it.
    CertificateIssued = "certificate-issued",
    /// The certificate is where it belongs.
    CertificateWritten = "certificate-written",
}

/// No step has this name.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownStep(String);

impl Step {
    /// Those on the way to an automatic certificate, which needs an authority.
    pub const OF_CERTIFICATES: &[Self] = &[
        Self::CertificateOrdered,
        Self::ChallengeWritten,
        Self::CertificateIssued,
        Self::CertificateWritten,
    ];

    /// Those of a dyno that is frozen, has its memory taken back, and is thawed.
    pub const OF_REST: &[Self] =
        &[Self::DynoFrozen, Self::RestWritten, Self::MemoryReclaimed, Self::DynoThawed];
}

impl fmt::Display for UnknownStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no step {:?}", self.0)
    }
}

impl std::error::Error for UnknownStep {}

impl FromStr for Step {
    type Err = UnknownStep;
    fn from_str(name: &str) -> Result<Self, UnknownStep> {
        let step = Self::ALL.iter().find(|step| step.name() == name);
        step.copied().ok_or_else(|| UnknownStep(name.to_owned()))
    }
}

/// Has the process abort at this step.
pub fn arm(step: Step) {
    ARMED.store(step as u8 + 1, Ordering::Relaxed);
}

/// This step is reached: the end of the process, if it is armed.
#[inline]
pub fn reached(step: Step) {
    if ARMED.load(Ordering::Relaxed) == step as u8 + 1 {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_found_by_its_name_alone() {
        for &step in Step::ALL {
            assert_eq!(step.name().parse(), Ok(step));
        }
        assert_eq!("".parse::<Step>(), Err(UnknownStep(String::new())));
    }

    #[test]
    fn a_step_that_is_not_armed_is_passed() {
        for &step in Step::ALL {
            reached(step);
        }
    }
}
