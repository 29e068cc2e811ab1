//! Dynos that are wanted once: started once, never again, ended by cancel or by time.

use crate::dyno::{DynoKind, StopReason};

use super::{Action, Condition, Desired, DynoSpec, Observed, Planner, WantedOnce};

impl Planner<'_> {
    pub(super) fn one_offs(&mut self, desired: &Desired, observed: &Observed) {
        for once in &desired.one_offs {
            self.one_off(once, observed.dynos.get(&once.id).map(|dyno| dyno.condition));
        }
        let wanted = |id| desired.one_offs.iter().any(|once| once.id == id);
        let once = observed.dynos.iter().filter(|(_, dyno)| dyno.kind != DynoKind::Formation);
        for (&id, dyno) in once.filter(|&(&id, _)| !wanted(id)) {
            match dyno.condition {
                Condition::Unknown | Condition::Stopping => {}
                Condition::Starting | Condition::Up => self.cancel(id),
                Condition::Gone { .. } => self.forget(id),
            }
        }
    }

    fn one_off(&mut self, once: &WantedOnce, condition: Option<Condition>) {
        let over = once.cancelled || once.expires_at <= self.now;
        match condition {
            Some(Condition::Unknown | Condition::Stopping) => {}
            Some(Condition::Starting | Condition::Up) if over => self.cancel(once.id),
            Some(Condition::Starting | Condition::Up) => self.wake(once.expires_at),
            Some(Condition::Gone { .. }) => self.forget(once.id),
            None if over => self.forget(once.id),
            None if !self.room.take_once(once) => {
                self.short_of_once(once);
                self.wake(once.expires_at);
            }
            None => {
                self.plan.actions.push(Action::Start(DynoSpec::Once(once.id)));
                self.wake(once.expires_at);
            }
        }
    }

    fn cancel(&mut self, dyno: crate::DynoId) {
        self.plan.actions.push(Action::Stop { dyno, why: StopReason::Cancelled });
    }
}
