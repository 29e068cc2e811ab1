//! What a dyno's life says in the app's log, in Heroku's words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::dyno::{DynoKind, StopReason};
use model::log::Source;
use model::plan::Follows;
use model::{AppId, DynoName, DynoState, LogSink};

/// Speaks as `heroku[web.1]`. A build says nothing here: its output tells all.
#[derive(Clone)]
pub(crate) struct Voice {
    logs: LogSink,
    app: AppId,
    process: Arc<str>,
    silent: bool,
}

/// Whether a process that ended has printed anything.
pub(crate) enum LastWords {
    /// It has.
    Some,
    /// It has not.
    None,
}

impl From<bool> for LastWords {
    fn from(printed: bool) -> Self {
        if printed { Self::Some } else { Self::None }
    }
}

impl Voice {
    pub(crate) fn new(logs: LogSink, app: AppId, name: &DynoName, kind: DynoKind) -> Self {
        let silent = kind == DynoKind::Build;
        Self { logs, app, process: name.to_string().into(), silent }
    }

    fn say(&self, text: impl Into<String>) {
        if !self.silent {
            self.logs.say(self.app, Source::Heroku, &self.process, text);
        }
    }

    /// The words that announce a dyno which takes the place of another.
    pub(crate) fn follows(&self, follows: Follows) {
        match follows {
            Follows::Nothing => {}
            Follows::Sleep => {
                self.unidling();
                self.changed(DynoState::Down, DynoState::Starting);
            }
            Follows::Crash => self.changed(DynoState::Crashed, DynoState::Starting),
            Follows::Replaced { why, state } => {
                match why {
                    StopReason::Cycling => self.say("Cycling"),
                    StopReason::Restart => self.say("Restarting"),
                    StopReason::ScaledDown | StopReason::Idling | StopReason::Cancelled => {}
                }
                self.changed(state, DynoState::Starting);
            }
        }
    }

    pub(crate) fn awaiting_client(&self) {
        self.say("Awaiting client");
    }

    pub(crate) fn starting(&self, command: &str) {
        self.say(format!("Starting process with command `{command}`"));
    }

    /// A state that did not change is not worth a line.
    pub(crate) fn changed(&self, from: DynoState, to: DynoState) {
        if from != to {
            self.say(format!("State changed from {} to {}", from.as_str(), to.as_str()));
        }
    }

    pub(crate) fn idling(&self) {
        self.say("Idling");
    }

    pub(crate) fn unidling(&self) {
        self.say("Unidling");
    }

    /// The machine has no memory for it.
    pub(crate) fn short_of_memory(&self, needs_bytes: u64, free_bytes: u64, then: &str) {
        self.say(short_of_memory(needs_bytes, free_bytes, then));
    }

    pub(crate) fn terminating(&self) {
        self.say("Stopping all processes with SIGTERM");
    }

    pub(crate) fn exited(&self, status: i32) {
        self.say(format!("Process exited with status {status}"));
    }

    /// Who speaks, such as `web.1`.
    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    /// A line of runtime metrics.
    pub(crate) fn metrics(&self, line: String) {
        self.say(line);
    }

    /// What a process uses, and what part of its quota that is.
    pub(crate) fn memory(&self, bytes: u64, quota: u64) {
        let tenths = bytes.saturating_mul(1000) / quota.max(1);
        let (percent, tenth) = (tenths / 10, tenths % 10);
        self.say(format!("Process running mem={}M({percent}.{tenth}%)", bytes / (1024 * 1024)));
    }

    /// R14.
    pub(crate) fn over_quota(&self) {
        self.say("Error R14 (Memory quota exceeded)");
    }

    /// R15.
    pub(crate) fn outgrown(&self, bytes: u64, quota: u64) {
        self.memory(bytes, quota);
        self.say("Error R15 (Memory quota vastly exceeded)");
        self.say("Stopping process with SIGKILL");
    }

    /// R17. The missing word is Heroku's.
    pub(crate) fn checksum(&self, expected: &str, actual: &str) {
        self.say(format!(
            "Error R17 (Checksum error) -> Checksum does match expected value. Expected: \
             SHA256:{expected} Actual: SHA256:{actual}"
        ));
    }

    /// Why the start of a web process failed.
    pub(crate) fn ended_too_soon(&self, probed: SocketAddr, heard: &str, words: LastWords) {
        let words = match words {
            LastWords::Some => "its last words are the lines of `app` above",
            LastWords::None => "it printed nothing",
        };
        self.say(format!("Web process ended before it listened on {probed} ({heard}); {words}"));
    }

    /// R10. `probed` says where the platform knocked, and what it heard.
    pub(crate) fn boot_timeout(&self, limit: Duration, probed: &str) {
        let seconds = limit.as_secs();
        self.say(format!(
            "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within {seconds} \
             seconds of launch"
        ));
        self.say(probed);
        self.say("Stopping process with SIGKILL");
    }

    /// R12.
    pub(crate) fn exit_timeout(&self, grace: Duration) {
        let seconds = grace.as_secs();
        self.say(format!(
            "Error R12 (Exit timeout) -> At least one process failed to exit within {seconds} \
             seconds of SIGTERM"
        ));
        self.say("Stopping remaining processes with SIGKILL");
    }

    /// R13.
    pub(crate) fn nobody_attached(&self) {
        self.say("Error R13 (Attach error) -> Failed to attach to process");
    }

    pub(crate) fn hanging_up(&self) {
        self.say("Client connection closed. Sending SIGHUP to all processes");
    }

    /// R16.
    pub(crate) fn detached(&self) {
        self.say(
            "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its \
             external connection was closed.",
        );
    }

    /// R99, with what the platform failed to do.
    pub(crate) fn platform_error(&self, reason: &str) {
        self.say(format!("Error R99 (Platform error) -> {reason}"));
    }
}

const MIB: u64 = 1024 * 1024;

/// What a dyno needs, what there is, and what is done about it.
pub(crate) fn short_of_memory(needs_bytes: u64, free_bytes: u64, then: &str) -> String {
    let (needs, free) = (needs_bytes / MIB, free_bytes / MIB);
    format!("Not enough memory on this server: {needs}M needed, {free}M free. {then}")
}

/// What the client of a one-off waits for.
pub(crate) fn waiting_for_memory(needs_bytes: u64, free_bytes: u64) -> String {
    let (needs, free) = (needs_bytes / MIB, free_bytes / MIB);
    format!("Waiting for memory: {needs}M needed, {free}M free on this server")
}
