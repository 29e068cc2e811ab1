//! What the router must know of each app's web dynos.

use std::collections::HashMap;
use std::sync::Arc;

use model::dyno::StopReason;
use model::plan::{Condition, Desired, DesiredApp, End, ObservedDyno};
use model::routes::{Backend, WebState, WebView};
use model::{AppId, DynoId};

use crate::dyno::Handle;

/// The web side of every app.
pub(crate) fn of(desired: &Desired, dynos: &HashMap<DynoId, Handle>) -> HashMap<AppId, WebView> {
    let mut webs: HashMap<AppId, Web> = HashMap::new();
    for handle in dynos.values() {
        let dyno = handle.observed();
        if dyno.name.process_type.is_web() {
            webs.entry(dyno.app).or_default().add(&dyno, handle.backend());
        }
    }
    let view = |app: &DesiredApp| (app.app, webs.remove(&app.app).unwrap_or_default().view(app));
    desired.apps.iter().map(view).collect()
}

/// Whether two views send requests to the same places.
pub(crate) fn same(one: &HashMap<AppId, WebView>, other: &HashMap<AppId, WebView>) -> bool {
    let same = |one: &WebView, other: &WebView| {
        one.state == other.state
            && one.backends.len() == other.backends.len()
            && one.backends.iter().zip(&*other.backends).all(|(one, two)| Arc::ptr_eq(one, two))
    };
    one.len() == other.len()
        && one.iter().all(|(app, view)| other.get(app).is_some_and(|found| same(view, found)))
}

/// The web dynos of one app.
#[derive(Default)]
struct Web {
    backends: Vec<Arc<Backend>>,
    starting: bool,
    crashed: bool,
    asleep: bool,
}

impl Web {
    fn add(&mut self, dyno: &ObservedDyno, backend: Option<Arc<Backend>>) {
        self.backends.extend(backend);
        match dyno.condition {
            Condition::Unknown | Condition::Starting => self.starting = true,
            Condition::Gone { end: End::Crashed, .. } => self.crashed = true,
            Condition::Gone { end: End::Slept, .. } => self.asleep = true,
            Condition::Stopping if dyno.told == Some(StopReason::Idling) => self.asleep = true,
            Condition::Up | Condition::Stopping | Condition::Gone { end: End::Stopped, .. } => {}
        }
    }

    fn view(mut self, app: &DesiredApp) -> WebView {
        self.backends.sort_by_key(|backend| backend.dyno);
        let wanted = app.formation.iter().any(|one| one.process_type.is_web() && one.quantity > 0);
        let state = match app.release {
            _ if !self.backends.is_empty() => WebState::Up,
            None => WebState::Blank,
            Some(_) if !wanted => WebState::ScaledToZero,
            Some(_) if self.starting => WebState::Starting,
            // Until something starts: whoever asks meanwhile wakes it once more.
            Some(_) if self.asleep => WebState::Asleep,
            // Nothing crashed and nothing starts: it is about to.
            Some(_) if !self.crashed => WebState::Starting,
            Some(_) => WebState::Crashed,
        };
        WebView { state, backends: self.backends.into() }
    }
}
