//! One slot of a formation, such as `web.1`: who is in it, and what follows from that.

use std::time::Duration;

use crate::dyno::StopReason;
use crate::{AppId, DynoId, DynoState, Timestamp};

use super::{
    Action, Condition, DesiredApp, DynoSpec, End, Follows, FormationDyno, Known, ObservedDyno,
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
    /// Over, and of no use.
    forgettable: Vec<DynoId>,
    /// Somebody in it has not answered.
    unknown: bool,
    /// Somebody in it is on the way in or out.
    moving: bool,
    /// Whether it takes requests and must not have a gap.
    web: bool,
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
        let mut slot = Self {
            fresh: Vec::new(),
            stale: Vec::new(),
            crash: None,
            forgettable: Vec::new(),
            unknown: false,
            moving: false,
            web: wanted.process_type.is_web(),
        };
        for &(id, dyno) in dynos {
            let outdated = is_outdated(app, wanted, dyno);
            match dyno.condition {
                Condition::Unknown => slot.unknown = true,
                Condition::Stopping => slot.moving = true,
                Condition::Gone { at, end } => slot.gone((id, dyno), at, end, outdated),
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
        self.web && self.stale.iter().any(|((_, dyno), _)| dyno.condition == Condition::Up)
    }

    fn current_crash(&self) -> Option<&Crash<'a>> {
        self.crash.as_ref().filter(|crash| crash.relevance == Relevance::Current)
    }

    fn gone(&mut self, dyno: Known<'a>, ended: Timestamp, end: End, outdated: bool) {
        if end == End::Stopped {
            self.forgettable.push(dyno.0);
            return;
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
        }
        self.moving |= self.fresh.iter().any(|(_, dyno)| dyno.condition == Condition::Starting);
    }

    fn follows(&self) -> Follows {
        if self.crash.is_some() && (self.stale.is_empty() || self.current_crash().is_some()) {
            return Follows::Crash;
        }
        match self.stale.first() {
            Some(&((_, dyno), why)) => Follows::Replaced { why, state: state(dyno) },
            None => Follows::Nothing,
        }
    }
}

impl Planner<'_> {
    /// What to do in one slot. `spec` is the dyno that it is to hold, `surge` how many more may
    /// start beside a serving one.
    pub(super) fn slot(&mut self, spec: FormationDyno, slot: &Slot, surge: &mut u32) {
        let app = spec.app;
        if slot.unknown || slot.moving {
            self.busy(app);
        }
        if slot.unknown {
            return;
        }
        match slot.fresh.first() {
            None => self.empty_slot(spec, slot, surge),
            Some(&keep) => self.filled_slot(app, slot, keep),
        }
        for &id in &slot.forgettable {
            self.forget(id);
        }
    }

    /// Nobody runs as wanted: start one, now or when the back-off is over.
    fn empty_slot(&mut self, spec: FormationDyno, slot: &Slot, surge: &mut u32) {
        let app = spec.app;
        let (crashes, start_at) = match slot.current_crash() {
            Some(crash) => self.retry(crash),
            None => (0, self.now),
        };
        let beside = slot.is_serving();
        let may_start = !beside || slot.is_rolling() || *surge > 0;
        if start_at > self.now {
            self.wake(start_at);
        } else if may_start {
            if beside && !slot.is_rolling() {
                *surge -= 1;
            }
            let spec = FormationDyno { crashes, follows: slot.follows(), ..spec };
            self.act(app, Action::Start(DynoSpec::Formation(spec)));
            // The crash whose place it takes has told all it knew.
            slot.crash.iter().for_each(|crash| self.forget(crash.dyno.0));
        } else {
            self.busy(app);
        }
        self.stop_stale(app, slot, beside);
    }

    /// `keep` runs as wanted. What it replaces stops, as soon as nobody misses it.
    fn filled_slot(&mut self, app: AppId, slot: &Slot, keep: Known) {
        let up = keep.1.condition == Condition::Up;
        self.stop_stale(app, slot, slot.web && !up);
        for &(id, _) in &slot.fresh[1..] {
            self.stop(app, id, StopReason::ScaledDown);
        }
        if up {
            self.wake(self.cycle_at(keep.0, keep.1));
        }
    }

    /// Stops what is to be replaced, except those that are up if they are `needed`.
    fn stop_stale(&mut self, app: AppId, slot: &Slot, needed: bool) {
        for &((id, dyno), why) in &slot.stale {
            if !(needed && dyno.condition == Condition::Up) {
                self.stop(app, id, why);
            }
        }
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
