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
//!   Without the feature `preboot` web dynos are replaced at once, too; but those that are merely a
//!   day old go one by one.
//! - A crashed dyno starts again when [`Limits::backoff`] allows.
//! - A one-off starts once.
//! - An app without web traffic sleeps, if it may: see [`sleep`].
//! - Nothing starts that the machine has no memory for: see [`room`].
//! - A dyno in an unknown state holds its slot: nothing starts or stops there until it is known.

mod once;
pub mod room;
mod sleep;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::dyno::{DynoKind, StopReason};
use crate::{
    AppId, DynoId, DynoName, DynoSize, DynoState, Features, ProcessType, ReleaseId, Timestamp,
};

use room::{Memory, Room, Short};
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
#[derive(Clone, Debug)]
pub struct WantedOnce {
    /// Its id.
    pub id: DynoId,
    /// Whose app.
    pub app: AppId,
    /// `run.4821`.
    pub name: DynoName,
    /// Why it is wanted.
    pub kind: DynoKind,
    /// Its size.
    pub size: DynoSize,
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
    /// Apps that a request has asked for since they fell asleep.
    pub woken: BTreeSet<AppId>,
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
    /// Why it was told to stop, if it was.
    pub told: Option<StopReason>,
    /// When a web dyno that is up was last visited; now, while it is.
    pub last_request: Option<Timestamp>,
    /// Whether it is frozen in place. It still is up: whoever asks for it thaws it.
    pub frozen: bool,
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
    /// It was told to, because nobody asked for it. It waits for a request.
    Slept,
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
    /// An app that may sleep does after so long without web traffic.
    pub sleep_after: Duration,
    /// With the feature `dyno-suspend` a web dyno is frozen after so long without traffic …
    pub freeze_after: Duration,
    /// … and its app sleeps after so long.
    pub stop_frozen_after: Duration,
    /// The memory that may be promised.
    pub memory: Memory,
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
            sleep_after: Duration::from_secs(30 * 60),
            freeze_after: Duration::from_secs(5 * 60),
            stop_frozen_after: Duration::from_secs(12 * 60 * 60),
            memory: Memory::default(),
        }
    }
}

/// What must be done now, and when to ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// Apps in transition: something is to be started or stopped, is starting or stopping, or is
    /// unknown. All others are as wanted, or wait for a crash's back-off or for memory.
    pub busy: BTreeSet<AppId>,
    /// Apps that a request has woken and that nothing could yet be started for. They stay woken.
    pub waking: BTreeSet<AppId>,
    /// What there is no memory for.
    pub short: Vec<Short>,
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
    /// Freeze a dyno in place.
    Freeze(DynoId),
    /// Let a frozen dyno run.
    Thaw(DynoId),
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
    /// When the web dyno that it replaces for its age was last visited: that is no traffic.
    pub last_request: Option<Timestamp>,
}

/// What a slot was before a dyno starts in it. Decides the words in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Empty.
    Nothing,
    /// A crash.
    Crash,
    /// A dyno that slept.
    Sleep,
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
    let room = Room::of(desired, observed, &limits.memory);
    let mut planner = Planner { now, limits, room, woken: &observed.woken, plan: Plan::default() };
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

    /// Takes out the slots of one process type.
    fn take<'w>(
        &mut self,
        app: &DesiredApp,
        wanted: &'w WantedType,
        planner: &Planner,
    ) -> Row<'a, 'w> {
        let mut slots = Vec::new();
        for number in 1..=wanted.quantity {
            let key = (app.app, DynoName { process_type: wanted.process_type.clone(), number });
            let dynos = self.0.remove(&key).unwrap_or_default();
            slots.push((key.1, Slot::sort(app, wanted, &dynos, planner)));
        }
        Row { wanted, slots }
    }
}

/// The slots of one process type.
struct Row<'a, 'w> {
    wanted: &'w WantedType,
    slots: Vec<(DynoName, Slot<'a>)>,
}

impl Row<'_, '_> {
    fn count(&self, is: impl Fn(&Slot) -> bool) -> u32 {
        let count = self.slots.iter().filter(|(_, slot)| is(slot)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// How many slots of a row may still be changed in this plan.
struct Allowance {
    /// New dynos may be started beside so many that serve.
    surge: u32,
    /// So many may be replaced at once only because they are old.
    cycling: u32,
    /// Whether a dyno that serves may be stopped before its successor starts, for want of memory.
    gap: Gap,
}

/// Whether a slot of a row may be without a serving dyno for a while.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// All others serve or have no memory, and no memory is about to become free.
    Allowed,
    /// One is on the way.
    Taken,
}

struct Planner<'a> {
    now: Timestamp,
    limits: &'a Limits,
    room: Room,
    woken: &'a BTreeSet<AppId>,
    plan: Plan,
}

impl Planner<'_> {
    fn app(&mut self, app: &DesiredApp, slots: &mut Slots) {
        let Some(release) = app.release else { return };
        let rows: Vec<Row> =
            app.formation.iter().map(|wanted| slots.take(app, wanted, self)).collect();
        let rest = self.rest(app, &rows);
        for row in &rows {
            if rest.stills(row.wanted) {
                self.still(app, row, rest);
            } else {
                self.row(app, release, row);
            }
        }
    }

    /// All slots of one process type. Which may start beside a serving dyno is decided over all.
    fn row(&mut self, app: &DesiredApp, release: CurrentRelease, row: &Row) {
        let mut allowance = self.allowance(row);
        for (name, slot) in &row.slots {
            let spec = FormationDyno {
                app: app.app,
                name: name.clone(),
                release,
                command: row.wanted.command.clone(),
                size: row.wanted.size,
                crashes: 0,
                follows: Follows::Nothing,
                last_request: None,
            };
            self.slot(spec, slot, &mut allowance);
            if let Some(&keep) = slot.fresh() {
                self.frost(app, keep);
            }
        }
    }

    fn allowance(&self, row: &Row) -> Allowance {
        let rolling = row.count(|slot| slot.is_rolling());
        let moving = row.count(|slot| slot.is_moving());
        let settled =
            rolling + moving + row.count(|slot| slot.is_down(&self.room, row.wanted.size)) == 0;
        Allowance {
            surge: self.limits.surge.max(1).saturating_sub(rolling),
            cycling: 1u32.saturating_sub(moving),
            gap: if settled { Gap::Allowed } else { Gap::Taken },
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

    fn start(&mut self, spec: FormationDyno) {
        self.act(spec.app, Action::Start(DynoSpec::Formation(spec)));
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
