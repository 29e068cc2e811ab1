//! The named steps of a shim's life, so that a test can kill it right behind each.
//!
//! The shim's part of what `model::steps` is for the server. A server that is told a step
//! (`hythe server --crash-shim-at NAME`) passes it to the first shim that it starts, and that one
//! kills itself there, as `kill -9` would have it. Nothing is armed where people use it: then a step
//! costs one relaxed load.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The armed step, as its number plus one; zero when none is.
static ARMED: AtomicU8 = AtomicU8::new(0);

macro_rules! steps {
    ($($(#[$meaning:meta])+ $step:ident = $name:literal,)+) => {
        /// A moment in a shim's life at which something has just been made, or taken away.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step {
            $($(#[$meaning])+ $step,)+
        }

        impl Step {
            /// All of them, in the order in which a dyno that is started, stopped and forgotten
            /// reaches them.
            pub const ALL: &[Self] = &[$(Self::$step,)+];

            /// What a command line calls it.
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
    /// It is on its own, and nothing says so yet.
    Detached = "detached",
    /// Its record is locked and says who it is.
    Recorded = "recorded",
    /// Its socket listens; nobody was told.
    Listening = "listening",
    /// The server knows that it listens; it does not know what for.
    Announced = "announced",
    /// It knows what to run.
    Instructed = "instructed",
    /// The record names the control group that is to be.
    GroupRecorded = "group-recorded",
    /// It has a mount namespace and its stage.
    StageEntered = "stage-entered",
    /// The dyno's network is up.
    NetworkJoined = "network-joined",
    /// The first part of the control group is there.
    GroupMade = "group-made",
    /// The slug's image is mounted.
    SlugMounted = "slug-mounted",
    /// The dyno's users and what is shown to them are there.
    UsersMade = "users-made",
    /// The dyno's disk is mounted.
    DiskMounted = "disk-mounted",
    /// The dyno's root is complete.
    RootAssembled = "root-assembled",
    /// Process 1 runs.
    InitStarted = "init-started",
    /// The OCI runtime was started and is at it.
    RuntimeSpawned = "runtime-spawned",
    /// The runtime has started the program and is gone.
    ProgramStarted = "program-started",
    /// The server was told that the program runs, or will be.
    Serving = "serving",
    /// What was frozen was thawed, for a signal to be sent.
    Thawed = "thawed",
    /// A signal was sent.
    Signalled = "signalled",
    /// The program is over; nobody knows.
    ExitSeen = "exit-seen",
    /// The rest of its processes are over, too.
    ProcessesEnded = "processes-ended",
    /// How it ended is written down; nobody was told.
    EndingWritten = "ending-written",
    /// The server knows how it ended.
    EndingTold = "ending-told",
    /// The server has told it to leave.
    Dismissed = "dismissed",
    /// The runtime has forgotten the container.
    ContainerDeleted = "container-deleted",
    /// The control group is gone.
    GroupRemoved = "group-removed",
    /// Socket and record are gone.
    RecordRemoved = "record-removed",
}

/// No step has this name.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownStep(String);

impl fmt::Display for UnknownStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no step {:?} in a shim's life", self.0)
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

/// Arms a step: of this shim, or in a server, of the first shim that it starts.
pub fn arm(step: Step) {
    ARMED.store(step as u8 + 1, Ordering::Relaxed);
}

/// The step that is armed, which is not any more: a server passes it on once.
pub fn take() -> Option<Step> {
    let armed = ARMED.swap(0, Ordering::Relaxed);
    Step::ALL.get(usize::from(armed).checked_sub(1)?).copied()
}

/// This step is reached: the end of the shim, if it is armed.
pub(crate) fn reached(step: Step) {
    if ARMED.load(Ordering::Relaxed) == step as u8 + 1 {
        // Cannot fail, nor be survived.
        let _ = kill(Pid::this(), Signal::SIGKILL);
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
    fn a_step_is_passed_on_once() {
        arm(Step::DiskMounted);
        // Another one is passed.
        reached(Step::Recorded);
        assert_eq!(take(), Some(Step::DiskMounted));
        assert_eq!(take(), None);
        reached(Step::DiskMounted);
    }
}
