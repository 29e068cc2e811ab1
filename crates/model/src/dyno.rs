//! Dynos: one life of one process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{AccountId, AppId, DynoId, DynoName, DynoSize, ReleaseId, Secret, Timestamp, VisitId};

/// What a person sees (`heroku ps`, log lines `State changed from A to B`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DynoState {
    /// Wanted, or being prepared or booting.
    Starting,
    /// Running; a web dyno also listens.
    Up,
    /// Sleeping: stopped until a request comes.
    Idle,
    /// Ended by itself although it should run.
    Crashed,
    /// Ended because it was told to.
    Down,
    /// A one-off that ended; seen in logs only.
    Complete,
}

impl DynoState {
    /// Heroku's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Idle => "idle",
            Self::Crashed => "crashed",
            Self::Down => "down",
            Self::Complete => "complete",
        }
    }
}

/// Why a dyno was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// A newer release, or a restart that a person asked for.
    Restart,
    /// Fewer dynos are wanted, or the app is gone.
    ScaledDown,
    /// A day has passed (24 h plus 0 to 216 min).
    Cycling,
    /// No traffic; it sleeps.
    Idling,
    /// A person or a time limit ended a one-off.
    Cancelled,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exit {
    /// Exit status as a shell reports it: 128 + signal when killed by one.
    pub status: i32,
    /// Whether the kernel killed it for memory.
    pub out_of_memory: bool,
}

/// How a one-off dyno's terminal is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// Output goes to the app's log; nothing is read.
    Detached,
    /// A pseudo-terminal of this size, joined by a client.
    Pty {
        /// Width in characters.
        columns: u16,
        /// Height in lines.
        rows: u16,
    },
    /// Plain pipes, joined by a client (`--no-tty`).
    Pipes,
}

impl Terminal {
    /// Whether a client joins it.
    #[must_use]
    pub const fn is_attached(self) -> bool {
        !matches!(self, Self::Detached)
    }
}

/// Why a dyno is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DynoKind {
    /// Part of the formation: kept running.
    Formation,
    /// `heroku run`: wanted once.
    Run,
    /// A release phase command: wanted once.
    Release,
    /// Compiles a slug: wanted once, never listed to users.
    Build,
}

/// A host path shown inside a dyno. Only build dynos have any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path on the host, made by the platform.
    pub source: PathBuf,
    /// Absolute path inside.
    pub target: PathBuf,
    /// Whether the dyno may write there.
    pub writable: bool,
}

/// A dyno that is wanted once: a one-off, a release command or a build.
#[derive(Clone, Debug)]
pub struct OneOff {
    /// The dyno's id.
    pub id: DynoId,
    /// Whose app.
    pub app: AppId,
    /// `run.4821`, `release.9768`, `build.1`.
    pub name: DynoName,
    /// Why it is wanted.
    pub kind: DynoKind,
    /// The release whose slug and config it sees (for a build: the current one).
    pub release: Option<ReleaseId>,
    /// Shell command.
    pub command: String,
    /// Variables on top of the config vars.
    pub env: BTreeMap<String, String>,
    /// Host paths shown inside; empty but for builds.
    pub mounts: Vec<Mount>,
    /// Size.
    pub size: DynoSize,
    /// Terminal.
    pub terminal: Terminal,
    /// It is stopped after so many seconds.
    pub time_to_live_seconds: u32,
    /// What a client must say to join it; present when `terminal` is attached.
    pub attach_secret: Option<Secret>,
    /// Who asked for it.
    pub actor: AccountId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When somebody asked for its end.
    pub cancelled_at: Option<Timestamp>,
}

/// A program that a person wants to run inside a running dyno (`heroku run:inside`).
#[derive(Clone, Debug)]
pub struct Visit {
    /// Its id.
    pub id: VisitId,
    /// Whose app.
    pub app: AppId,
    /// In which dyno.
    pub dyno: DynoId,
    /// Shell command.
    pub command: String,
    /// Variables on top of the dyno's own.
    pub env: BTreeMap<String, String>,
    /// Terminal; never detached.
    pub terminal: Terminal,
    /// Who asked for it.
    pub actor: AccountId,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// One life of one process, as the store remembers it.
#[derive(Clone, Debug)]
pub struct Dyno {
    /// Its id, unique for ever.
    pub id: DynoId,
    /// Whose app.
    pub app: AppId,
    /// `web.1`.
    pub name: DynoName,
    /// Why it is wanted.
    pub kind: DynoKind,
    /// Release it runs.
    pub release: Option<ReleaseId>,
    /// That release's version; 0 when there is none.
    pub release_version: u32,
    /// Shell command, unexpanded.
    pub command: String,
    /// Size.
    pub size: DynoSize,
    /// What people see.
    pub state: DynoState,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it came up; crashes more than ten minutes later do not count against it.
    pub up_at: Option<Timestamp>,
    /// When its state last changed.
    pub updated_at: Timestamp,
}
