//! One slot of a formation, such as `web.1`: who is in it, and what follows from that.

use std::time::Duration;

use crate::dyno::StopReason;
use crate::{AppId, DynoId, DynoSize, DynoState, Feature, Timestamp};

use super::room::{Remedy, Room};
use super::{
    Allowance, Condition, DesiredApp, End, Follows, FormationDyno, Gap, Known, ObservedDyno,
    Planner, WantedType,
};

/// The dynos of a slot, sorted by what they are to it.
pub(super) struct Slot<'a> {
    /// Running as wanted, the best first.
    fresh: Vec<Known<'a>>,
    /// To be replaced, those that are up first.
    stale: Vec<(Known<'a>, StopReason)>,
    /// The newest crash, if nobody runs as wanted.
    crash: Option<Crash<'a>>,
    /// Those that sleep, if nobody runs as wanted.
    slept: Vec<Known<'a>>,
    /// Somebody of what is wanted now sleeps, or is about to.
    asleep: bool,
    /// Over, and of no use.
    forgettable: Vec<DynoId>,
    /// Somebody in it has not answered.
    unknown: bool,
    /// Somebody in it is on the way in or out.
    moving: bool,
    /// Somebody in it is on the way out, and holds so much memory.
    leaving_bytes: u64,
    /// Nobody is in it, and so much memory is kept for who comes.
    kept_bytes: u64,
    /// Whether it takes requests and must not have a gap.
    gapless: bool,
}

/// The newest life of a slot ended by itself.
struct Crash<'a> {
    dyno: Known<'a>,
    ended: Timestamp,
    /// It ran what is wanted now; if not, its crashes count for nothing.
    relevance: Relevance,
}

#[derive(PartialEq, Eq)]
enum Relevance {
    Current,
    Past,
}

impl<'a> Slot<'a> {
    /// Sorts `dynos`, all of one slot.
    pub(super) fn sort(
        app: &DesiredApp,
        wanted: &WantedType,
        dynos: &[Known<'a>],
        planner: &Planner,
    ) -> Self {
        let gapless = wanted.process_type.is_web() && app.features.has(Feature::Preboot);
        let mut slot = Self {
            fresh: Vec::new(),
            stale: Vec::new(),
            crash: None,
            slept: Vec::new(),
            asleep: false,
            forgettable: Vec::new(),
            unknown: false,
            moving: false,
            leaving_bytes: 0,
            kept_bytes: 0,
            gapless,
        };
        for &(id, dyno) in dynos {
            let outdated = is_outdated(app, wanted, dyno);
            match dyno.condition {
                Condition::Unknown => slot.unknown = true,
                Condition::Stopping => slot.leaving(dyno, planner.room.quota(dyno.size), outdated),
                Condition::Gone { at, end } => {
                    slot.kept_bytes = slot.kept_bytes.max(planner.room.kept(dyno, wanted.size));
                    slot.gone((id, dyno), (at, end), outdated);
                }
                Condition::Starting | Condition::Up if outdated => {
                    slot.stale.push(((id, dyno), StopReason::Restart));
                }
                Condition::Up if planner.cycle_at(id, dyno) <= planner.now => {
                    slot.stale.push(((id, dyno), StopReason::Cycling));
                }
                Condition::Starting | Condition::Up => slot.fresh.push((id, dyno)),
            }
        }
        slot.rank();
        slot
    }

    /// Who runs as wanted.
    pub(super) fn fresh(&self) -> Option<&Known<'a>> {
        self.fresh.first()
    }

    /// Everybody who runs, as wanted or not.
    pub(super) fn live(&self) -> impl Iterator<Item = Known<'a>> {
        self.fresh.iter().copied().chain(self.stale.iter().map(|&(dyno, _)| dyno))
    }

    /// Who is over and of no use.
    pub(super) fn forgettable(&self) -> &[DynoId] {
        &self.forgettable
    }

    /// Whether nobody in it runs or is to run: its dyno sleeps or is about to, or has crashed.
    pub(super) fn is_still(&self) -> bool {
        let empty = self.fresh.is_empty() && self.stale.is_empty() && !self.unknown;
        empty && (self.asleep || self.current_crash().is_some())
    }

    /// Whether its dyno sleeps or is about to.
    pub(super) fn is_asleep(&self) -> bool {
        self.is_still() && self.asleep
    }

    /// Since when nobody has asked for its dyno. `None`: it does not run as wanted, and nothing else.
    pub(super) fn quiet_since(&self) -> Option<Timestamp> {
        let (_, dyno) = self.fresh.first()?;
        let steady = !self.unknown && !self.moving && self.stale.is_empty();
        let up = steady && dyno.condition == Condition::Up;
        up.then(|| dyno.last_request.or(dyno.up_at).unwrap_or(dyno.created_at))
    }

    /// Whether a crash is all there is in it.
    pub(super) fn is_crashed(&self) -> bool {
        self.fresh.is_empty() && self.stale.is_empty() && self.current_crash().is_some()
    }

    /// Whether somebody in it is on the way in or out, or not known.
    pub(super) fn is_moving(&self) -> bool {
        let relieved = !self.fresh.is_empty() && !self.stale.is_empty();
        self.moving || self.unknown || relieved
    }

    /// Whether nobody serves in it, and somebody is to soon: who comes has the memory, or keeps it
    /// through a back-off.
    pub(super) fn is_down(&self, room: &Room, size: DynoSize) -> bool {
        let up = self.live().any(|(_, dyno)| dyno.condition == Condition::Up);
        let expected = self.current_crash().is_some() || self.kept_bytes > 0;
        !up && (self.is_moving() || expected && room.fits(size, self.kept_bytes))
    }

    /// Whether it uses one unit of surge: an old dyno serves while a new one is being tried.
    pub(super) fn is_rolling(&self) -> bool {
        let tried = match self.fresh.first() {
            Some((_, dyno)) => dyno.condition != Condition::Up,
            None => self.current_crash().is_some(),
        };
        tried && self.is_serving()
    }

    /// Whether a dyno that is to be replaced still takes requests.
    fn is_serving(&self) -> bool {
        self.gapless && self.stale.iter().any(|((_, dyno), _)| dyno.condition == Condition::Up)
    }

    /// Whether its dynos are to be replaced for no other reason than their age.
    fn is_merely_old(&self) -> bool {
        let old = |&(_, why): &(Known, StopReason)| why == StopReason::Cycling;
        !self.stale.is_empty() && self.stale.iter().all(old)
    }

    fn current_crash(&self) -> Option<&Crash<'a>> {
        self.crash.as_ref().filter(|crash| crash.relevance == Relevance::Current)
    }

    fn leaving(&mut self, dyno: &ObservedDyno, bytes: u64, outdated: bool) {
        self.moving = true;
        self.leaving_bytes += bytes;
        self.asleep |= dyno.told == Some(StopReason::Idling) && !outdated;
    }

    fn gone(&mut self, dyno: Known<'a>, (ended, end): (Timestamp, End), outdated: bool) {
        match end {
            End::Slept => {
                self.asleep |= !outdated;
                self.slept.push(dyno);
                return;
            }
            End::Stopped => {
                self.forgettable.push(dyno.0);
                return;
            }
            End::Crashed => {}
        }
        let relevance = if outdated { Relevance::Past } else { Relevance::Current };
        let newer = self.crash.as_ref().is_none_or(|other| age(dyno) > age(other.dyno));
        let other = Crash { dyno, ended, relevance };
        let older = if newer { self.crash.replace(other) } else { Some(other) };
        self.forgettable.extend(older.map(|crash| crash.dyno.0));
    }

    /// Puts those that are up first, then the older ones. A crash matters only in an empty slot.
    fn rank(&mut self) {
        let key = |dyno: &Known| (dyno.1.condition != Condition::Up, age(*dyno));
        self.fresh.sort_by_key(|dyno| key(dyno));
        self.stale.sort_by_key(|(dyno, _)| key(dyno));
        if !self.fresh.is_empty() {
            self.forgettable.extend(self.crash.take().map(|crash| crash.dyno.0));
            self.forgettable.extend(self.slept.drain(..).map(|(id, _)| id));
        }
        if !(self.fresh.is_empty() && self.stale.is_empty()) || self.unknown {
            self.kept_bytes = 0;
        }
        self.moving |= self.fresh.iter().any(|(_, dyno)| dyno.condition == Condition::Starting);
    }

    /// When those that are merely old were last visited.
    fn last_request(&self) -> Option<Timestamp> {
        let visited = self.stale.iter().filter_map(|((_, dyno), _)| dyno.last_request);
        visited.max().filter(|_| self.is_merely_old())
    }

    fn follows(&self) -> Follows {
        if self.crash.is_some() && (self.stale.is_empty() || self.current_crash().is_some()) {
            return Follows::Crash;
        }
        match self.stale.first() {
            None if !self.slept.is_empty() || self.asleep => Follows::Sleep,
            Some(&((_, dyno), why)) => Follows::Replaced { why, state: state(dyno) },
            None => Follows::Nothing,
        }
    }
}

impl Planner<'_> {
    /// What to do in one slot. `spec` is the dyno that it is to hold.
    pub(super) fn slot(&mut self, spec: FormationDyno, slot: &Slot, allowed: &mut Allowance) {
        let app = spec.app;
        if slot.is_moving() {
            self.busy(app);
        }
        if slot.unknown {
            return;
        }
        match slot.fresh.first() {
            None => self.empty_slot(spec, slot, allowed),
            Some(&keep) => self.filled_slot(app, slot, keep),
        }
        self.forget_all(&slot.forgettable);
    }

    /// Nobody runs as wanted: start one, now or when the back-off is over.
    fn empty_slot(&mut self, spec: FormationDyno, slot: &Slot, allowed: &mut Allowance) {
        let (app, beside) = (spec.app, slot.is_serving());
        if !slot.gapless && slot.is_merely_old() {
            if allowed.cycling == 0 {
                return self.busy(app);
            }
            allowed.cycling -= 1;
        }
        let (crashes, start_at) = match slot.current_crash() {
            Some(crash) => self.retry(crash),
            None => (0, self.now),
        };
        let (follows, last_request) = (slot.follows(), slot.last_request());
        let spec = FormationDyno { crashes, follows, last_request, ..spec };
        let mut needed = beside;
        if start_at > self.now {
            self.wake(start_at);
        } else if beside && !slot.is_rolling() && allowed.surge == 0 {
            self.busy(app);
        } else if self.room.take(spec.size, slot.kept_bytes) {
            if beside && !slot.is_rolling() {
                allowed.surge -= 1;
            }
            allowed.gap = Gap::Taken;
            self.start(spec);
            // Those whose place it takes have told all they knew.
            slot.crash.iter().for_each(|crash| self.forget(crash.dyno.0));
            slot.slept.iter().for_each(|&(id, _)| self.forget(id));
        } else {
            needed = self.squeeze(spec, slot, allowed);
        }
        self.stop_stale(app, slot, needed);
    }

    /// There is no memory for the dyno of this slot. Answers whether one that serves in it is still
    /// needed: if only it is in the way, and all others serve, it goes first.
    fn squeeze(&mut self, spec: FormationDyno, slot: &Slot, allowed: &mut Allowance) -> bool {
        let app = spec.app;
        let serving = slot.is_serving();
        let live = slot.live().map(|(_, dyno)| self.room.quota(dyno.size)).sum::<u64>();
        let own = slot.leaving_bytes + slot.kept_bytes + live;
        let fits = self.room.fits(spec.size, own);
        if serving && slot.current_crash().is_some() {
            // What has failed takes nothing from what serves.
            self.short_of(spec, Remedy::Wait);
            return true;
        }
        match (fits, serving, allowed.gap) {
            // Who is in the way is leaving anyway.
            (true, false, _) => self.busy(app),
            (true, true, Gap::Allowed) => {
                allowed.gap = Gap::Taken;
                self.short_of(spec, Remedy::OldFirst);
                return false;
            }
            // One slot at a time.
            (true, true, Gap::Taken) => self.busy(app),
            // What runs is better than nothing.
            (false, ..) => {
                self.short_of(spec, Remedy::Wait);
                return true;
            }
        }
        serving
    }

    /// `keep` runs as wanted. What it replaces stops, as soon as nobody misses it.
    fn filled_slot(&mut self, app: AppId, slot: &Slot, keep: Known) {
        let up = keep.1.condition == Condition::Up;
        self.stop_stale(app, slot, slot.gapless && !up);
        for &(id, _) in &slot.fresh[1..] {
            self.stop(app, id, StopReason::ScaledDown);
        }
        for &(id, dyno) in slot.fresh.iter().filter(|(_, dyno)| dyno.condition == Condition::Up) {
            self.wake(self.cycle_at(id, dyno));
        }
    }

    /// Stops what is to be replaced, except one that is up if it is `needed`.
    fn stop_stale(&mut self, app: AppId, slot: &Slot, needed: bool) {
        for (index, &((id, dyno), why)) in slot.stale.iter().enumerate() {
            // Those that are up come first.
            if !(needed && index == 0 && dyno.condition == Condition::Up) {
                self.stop(app, id, why);
            }
        }
    }

    pub(super) fn forget_all(&mut self, dynos: &[DynoId]) {
        dynos.iter().for_each(|&id| self.forget(id));
    }

    /// The count of crashes that the next life starts with, and when it may start.
    fn retry(&self, crash: &Crash) -> (u32, Timestamp) {
        let (_, dyno) = crash.dyno;
        let steady = dyno.up_at.is_some_and(|up| crash.ended.since(up) > self.limits.steady_after);
        if steady {
            return (0, self.now);
        }
        let step = usize::try_from(dyno.crashes).unwrap_or(usize::MAX);
        let table = &self.limits.backoff;
        let wait = table.get(step).or(table.last()).copied().unwrap_or(Duration::ZERO);
        (dyno.crashes.saturating_add(1), crash.ended + wait)
    }

    /// When a dyno has run long enough. Spread by its id, so that not all go at once.
    fn cycle_at(&self, id: DynoId, dyno: &ObservedDyno) -> Timestamp {
        let spread = self.limits.cycle_spread.as_micros().max(1);
        let part = u64::try_from(id.uuid().as_u128() % spread).unwrap_or(0);
        dyno.created_at + self.limits.cycle_after + Duration::from_micros(part)
    }
}

/// Whether a dyno runs something else than is wanted now.
fn is_outdated(app: &DesiredApp, wanted: &WantedType, dyno: &ObservedDyno) -> bool {
    let restarted = |dyno: &ObservedDyno| {
        let mut meant = app.restarts.iter().filter(|restart| restart.target.matches(&dyno.name));
        meant.any(|restart| dyno.created_at < restart.not_before)
    };
    dyno.release != app.release.map(|release| release.id)
        || dyno.size != wanted.size
        || restarted(dyno)
}

fn age((id, dyno): Known) -> (Timestamp, DynoId) {
    (dyno.created_at, id)
}

fn state(dyno: &ObservedDyno) -> DynoState {
    if dyno.condition == Condition::Up { DynoState::Up } else { DynoState::Starting }
}
