//! The planner: from what is wanted and what is known to what must be done now.
//!
//! Pure: the same input always gives the same plan. All policy on starting, replacing and stopping
//! dynos is here and nowhere else; whoever executes a plan has no rule of its own.
//!
//! - A formation of `quantity` has the slots `type.1` to `type.quantity`; scaling down empties the
//!   highest.
//! - A dyno is *stale* when it runs another release or size than wanted, was made before a restart
//!   that a person asked for, or is older than a day. Web dynos are replaced without a gap: the old
//!   one stops only when the new one of its slot is up, at most [`Limits::surge`] slots at a time.
//!   So a release that never comes up leaves the old one serving, in all but `surge` slots untried.
//!   Other types are replaced at once.
//! - A crashed dyno starts again when [`Limits::backoff`] allows.
//! - A one-off starts once.
//! - A dyno in an unknown state holds its slot: nothing starts or stops there until it is known.

mod once;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::dyno::{DynoKind, StopReason};
use crate::{
    AppId, DynoId, DynoName, DynoSize, DynoState, Features, ProcessType, ReleaseId, Timestamp,
};

use slot::Slot;

/// What is wanted of all apps, read in one go.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// Every app; one that is being destroyed wants nothing.
    pub apps: Vec<DesiredApp>,
    /// Dynos that are wanted once and not yet over.
    pub one_offs: Vec<WantedOnce>,
}

/// What is wanted of one app.
#[derive(Clone, Debug)]
pub struct DesiredApp {
    /// The app.
    pub app: AppId,
    /// Its generation when this was read.
    pub generation: u64,
    /// The generation already reported as made true.
    pub observed_generation: u64,
    /// The current release, if it has something to run.
    pub release: Option<CurrentRelease>,
    /// Its formation.
    pub formation: Vec<WantedType>,
    /// Restarts that people asked for.
    pub restarts: Vec<Restart>,
    /// The features that the app has.
    pub features: Features,
}

/// The release that formation dynos run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentRelease {
    /// Its id.
    pub id: ReleaseId,
    /// Its version.
    pub version: u32,
}

/// One process type of a formation.
#[derive(Clone, Debug)]
pub struct WantedType {
    /// The process type.
    pub process_type: ProcessType,
    /// Its command.
    pub command: String,
    /// Wanted number of dynos.
    pub quantity: u32,
    /// Their size.
    pub size: DynoSize,
}

/// Dynos of `target` made before `not_before` are to be replaced.
#[derive(Clone, Debug)]
pub struct Restart {
    /// Which ones.
    pub target: RestartTarget,
    /// When it was asked for.
    pub not_before: Timestamp,
}

/// Which dynos a restart means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartTarget {
    /// The whole formation.
    All,
    /// One process type.
    Type(ProcessType),
    /// One dyno.
    Dyno(DynoName),
}

impl RestartTarget {
    /// Whether the dyno of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &DynoName) -> bool {
        match self {
            Self::All => true,
            Self::Type(process_type) => *process_type == name.process_type,
            Self::Dyno(dyno) => dyno == name,
        }
    }
}

/// A dyno that is wanted once.
#[derive(Clone, Copy, Debug)]
pub struct WantedOnce {
    /// Its id.
    pub id: DynoId,
    /// When its time is over.
    pub expires_at: Timestamp,
    /// Whether somebody asked for its end, or its app is gone.
    pub cancelled: bool,
}

/// What is known of dynos.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Every dyno that is, and those gone ones that are not yet forgotten.
    pub dynos: BTreeMap<DynoId, ObservedDyno>,
}

/// What is known of one dyno.
#[derive(Clone, Debug)]
pub struct ObservedDyno {
    /// Whose app.
    pub app: AppId,
    /// `web.1`.
    pub name: DynoName,
    /// Why it was wanted.
    pub kind: DynoKind,
    /// Release it runs.
    pub release: Option<ReleaseId>,
    /// Its size.
    pub size: DynoSize,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it came up.
    pub up_at: Option<Timestamp>,
    /// Crashes in a row before this life.
    pub crashes: u32,
    /// How it is.
    pub condition: Condition,
}

/// How a dyno is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has not answered yet. Neither up nor down.
    Unknown,
    /// Being prepared or booting.
    Starting,
    /// Running; a web dyno also listens.
    Up,
    /// Told to stop, not yet gone.
    Stopping,
    /// Over.
    Gone {
        /// When it ended.
        at: Timestamp,
        /// How.
        end: End,
    },
}

/// How a dyno's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Crashed,
    /// It was told to, or it was lost with its machine.
    Stopped,
}

/// Numbers that policy depends on.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Waiting time after the first, second … crash in a row; the last one repeats. Kinder than
    /// Heroku's, which is counted in minutes and grows to hours.
    pub backoff: Vec<Duration>,
    /// A crash so long after the dyno came up does not count, and clears the count.
    pub steady_after: Duration,
    /// So many web dynos of one type may be started beside the ones they replace.
    pub surge: u32,
    /// Dynos are replaced after this time …
    pub cycle_after: Duration,
    /// … plus a part of this, different for every dyno.
    pub cycle_spread: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = [0, 10, 20, 40, 80, 160, 320, 640, 1200];
        Self {
            backoff: seconds.into_iter().map(Duration::from_secs).collect(),
            steady_after: Duration::from_secs(10 * 60),
            surge: 4,
            cycle_after: Duration::from_secs(24 * 60 * 60),
            cycle_spread: Duration::from_secs(216 * 60),
        }
    }
}

/// What must be done now, and when to ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// Apps in transition: something is to be started or stopped, is starting or stopping, or is
    /// unknown. All others are as wanted, or wait for a crash's back-off.
    pub busy: BTreeSet<AppId>,
    /// The earliest time at which the answer could change without anything else happening.
    pub wake_at: Option<Timestamp>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin a dyno's life.
    Start(DynoSpec),
    /// Tell a dyno to stop.
    Stop {
        /// Which.
        dyno: DynoId,
        /// Why.
        why: StopReason,
    },
    /// Close the books on a dyno that is over, or on a one-off that ended before it began.
    Forget(DynoId),
}

/// A dyno to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DynoSpec {
    /// One of the formation. Each life gets a new id.
    Formation(FormationDyno),
    /// The one-off of this id.
    Once(DynoId),
}

/// A dyno of the formation to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormationDyno {
    /// Whose app.
    pub app: AppId,
    /// Its slot.
    pub name: DynoName,
    /// Release it is to run.
    pub release: CurrentRelease,
    /// Its command.
    pub command: String,
    /// Its size.
    pub size: DynoSize,
    /// Crashes in a row before it.
    pub crashes: u32,
    /// What its slot was before.
    pub follows: Follows,
}

/// What a slot was before a dyno starts in it. Decides the words in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Empty.
    Nothing,
    /// A crash.
    Crash,
    /// A dyno that is replaced.
    Replaced {
        /// Why.
        why: StopReason,
        /// What that one was.
        state: DynoState,
    },
}

/// Decides what must be done now. See the module for the policy.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp, limits: &Limits) -> Plan {
    let mut planner = Planner { now, limits, plan: Plan::default() };
    let mut slots = Slots::of(observed);
    for app in &desired.apps {
        planner.app(app, &mut slots);
    }
    planner.unwanted(slots);
    planner.one_offs(desired, observed);
    planner.plan
}

/// Formation dynos by slot. What is left when all wanted slots were taken out is unwanted.
struct Slots<'a>(BTreeMap<(AppId, DynoName), Vec<Known<'a>>>);

/// A dyno and its id.
type Known<'a> = (DynoId, &'a ObservedDyno);

impl<'a> Slots<'a> {
    fn of(observed: &'a Observed) -> Self {
        let mut slots: BTreeMap<_, Vec<Known>> = BTreeMap::new();
        for (&id, dyno) in observed.dynos.iter().filter(|(_, d)| d.kind == DynoKind::Formation) {
            slots.entry((dyno.app, dyno.name.clone())).or_default().push((id, dyno));
        }
        Self(slots)
    }
}

struct Planner<'a> {
    now: Timestamp,
    limits: &'a Limits,
    plan: Plan,
}

impl Planner<'_> {
    fn app(&mut self, app: &DesiredApp, slots: &mut Slots) {
        let Some(release) = app.release else { return };
        for wanted in &app.formation {
            self.process_type(app, release, wanted, slots);
        }
    }

    /// All slots of one process type. Which may start beside a serving dyno is decided over all.
    fn process_type(
        &mut self,
        app: &DesiredApp,
        release: CurrentRelease,
        wanted: &WantedType,
        slots: &mut Slots,
    ) {
        let mut sorted = Vec::new();
        for number in 1..=wanted.quantity {
            let name = DynoName { process_type: wanted.process_type.clone(), number };
            let key = (app.app, name);
            let dynos = slots.0.remove(&key).unwrap_or_default();
            sorted.push((Slot::sort(app, wanted, &dynos, self), key.1));
        }
        let taken = sorted.iter().filter(|(slot, _)| slot.is_rolling()).count();
        let mut surge =
            self.limits.surge.max(1).saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        for (slot, name) in sorted {
            let spec = FormationDyno {
                app: app.app,
                name,
                release,
                command: wanted.command.clone(),
                size: wanted.size,
                crashes: 0,
                follows: Follows::Nothing,
            };
            self.slot(spec, &slot, &mut surge);
        }
    }

    /// Slots that nobody wants: numbers above the quantity, types and apps that are gone.
    fn unwanted(&mut self, slots: Slots) {
        for (id, dyno) in slots.0.into_values().flatten() {
            match dyno.condition {
                Condition::Unknown | Condition::Stopping => self.busy(dyno.app),
                Condition::Starting | Condition::Up => {
                    self.stop(dyno.app, id, StopReason::ScaledDown);
                }
                Condition::Gone { .. } => self.forget(id),
            }
        }
    }

    fn act(&mut self, app: AppId, action: Action) {
        self.busy(app);
        self.plan.actions.push(action);
    }

    fn stop(&mut self, app: AppId, dyno: DynoId, why: StopReason) {
        self.act(app, Action::Stop { dyno, why });
    }

    /// Books, and nothing that anybody waits for.
    fn forget(&mut self, dyno: DynoId) {
        self.plan.actions.push(Action::Forget(dyno));
    }

    fn busy(&mut self, app: AppId) {
        self.plan.busy.insert(app);
    }

    /// Asks to be called again at `at`, which is later than now.
    fn wake(&mut self, at: Timestamp) {
        self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

#[cfg(test)]
mod tests;
