//! Sleep: apps that nobody asks for give their memory back.
//!
//! An app may sleep when it has web dynos and all of its dynos are Eco, or when it has the feature
//! `dyno-suspend`. Its web dynos stop when none of them has had a request for long enough, and Eco
//! dynos of other types with them; what other dynos do does not count as traffic. Each slot remembers
//! by its last dyno that it sleeps ([`End::Slept`]): so sleep outlives the server, and a release, a
//! restart, another quantity or another size ends it, as a request does.
//!
//! With `dyno-suspend` a web dyno is first frozen in place. It is woken by the request itself, without
//! the planner.
//!
//! [`End::Slept`]: super::End::Slept

use std::time::Duration;

use crate::dyno::StopReason;
use crate::{DynoSize, Feature, Timestamp};

use super::{Action, Condition, DesiredApp, Known, Planner, Row, WantedType};

/// Whether an app sleeps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It does not.
    Awake,
    /// It is to fall asleep now.
    Falling,
    /// It does.
    Asleep,
}

impl Rest {
    /// Whether dynos of this type are to be still.
    pub(super) fn stills(self, wanted: &WantedType) -> bool {
        self != Self::Awake && sleeps(wanted)
    }
}

/// Whether dynos of this type sleep when their app does.
fn sleeps(wanted: &WantedType) -> bool {
    wanted.process_type.is_web() || wanted.size == DynoSize::Eco
}

fn suspends(app: &DesiredApp) -> bool {
    app.features.has(Feature::DynoSuspend)
}

fn may_sleep(app: &DesiredApp) -> bool {
    let mut used = app.formation.iter().filter(|wanted| wanted.quantity > 0);
    suspends(app) || used.all(|wanted| wanted.size == DynoSize::Eco)
}

impl Planner<'_> {
    /// Whether the app sleeps, or is to.
    pub(super) fn rest(&mut self, app: &DesiredApp, rows: &[Row]) -> Rest {
        let slots = || {
            let sleepers = rows.iter().filter(|row| sleeps(row.wanted));
            sleepers.flat_map(|row| row.slots.iter().map(|(name, slot)| (name, slot)))
        };
        let web = || slots().filter(|(name, _)| name.process_type.is_web()).map(|(_, slot)| slot);
        if !may_sleep(app) || web().next().is_none() {
            return Rest::Awake;
        }
        if slots().all(|(_, slot)| slot.is_still()) && web().any(|slot| slot.is_asleep()) {
            if self.woken.contains(&app.app) {
                self.plan.waking.insert(app.app);
                return Rest::Awake;
            }
            return Rest::Asleep;
        }
        let settled = slots().all(|(_, slot)| !slot.is_moving())
            && web().all(|slot| slot.quiet_since().is_some() || slot.is_crashed());
        let since = web().filter_map(|slot| slot.quiet_since()).max();
        let falls_at = since.filter(|_| settled).map(|since| since + self.patience(app));
        match falls_at {
            Some(at) if at <= self.now => Rest::Falling,
            Some(at) => {
                self.wake(at);
                Rest::Awake
            }
            None => Rest::Awake,
        }
    }

    fn patience(&self, app: &DesiredApp) -> Duration {
        if suspends(app) { self.limits.stop_frozen_after } else { self.limits.sleep_after }
    }

    /// Dynos of a type that is to be still, or is.
    pub(super) fn still(&mut self, app: &DesiredApp, row: &Row, rest: Rest) {
        for (_, slot) in &row.slots {
            if slot.is_moving() {
                self.busy(app.app);
            }
            for (id, _) in slot.live().filter(|_| rest == Rest::Falling) {
                self.stop(app.app, id, StopReason::Idling);
            }
            self.forget_all(slot.forgettable());
        }
    }

    /// Freezes a dyno that nobody asks for; thaws one that is no longer to be frozen.
    pub(super) fn frost(&mut self, app: &DesiredApp, (id, dyno): Known) {
        if dyno.condition != Condition::Up || !dyno.name.process_type.is_web() {
            return;
        }
        match (dyno.frozen, suspends(app)) {
            (true, false) => self.plan.actions.push(Action::Thaw(id)),
            (false, true) => {
                let at = dyno.last_request.unwrap_or(self.now) + self.limits.freeze_after;
                self.freeze_at(id, at);
            }
            (true, true) | (false, false) => {}
        }
    }

    fn freeze_at(&mut self, id: crate::DynoId, at: Timestamp) {
        if at <= self.now {
            self.plan.actions.push(Action::Freeze(id));
        } else {
            self.wake(at);
        }
    }
}
