//! What there is no memory for: said once in the app's log, and listed for `ps`.

use std::collections::{HashMap, HashSet};

use model::dyno::DynoKind;
use model::plan::room::{Remedy, Short};
use model::plan::{DynoSpec, Plan};
use model::{AppId, Dyno, DynoId, DynoName, DynoState, Timestamp};
use store::one_offs;

use crate::lobby::{self, Client};
use crate::voice::{self, Voice};

use super::Reconciler;

/// What there is no memory for, as it was last said.
#[derive(Default)]
pub(super) struct Shortage {
    said: HashSet<(AppId, DynoName)>,
    /// As listed; `None` before the first round, when the list may be an earlier server's.
    listed: Option<HashMap<(AppId, DynoName), Dyno>>,
}

impl Reconciler {
    /// Says what is new in the plan, and writes the list if it has changed.
    pub(super) async fn tell_shortage(&mut self, plan: &Plan) -> store::Result<()> {
        let key = |short: &Short| (short.app, short.name.clone());
        for short in plan.short.iter().filter(|short| !self.shortage.said.contains(&key(short))) {
            self.say_short(short);
        }
        self.shortage.said = plan.short.iter().map(key).collect();
        self.show_into_lobby(plan).await?;
        let before = self.shortage.listed.take();
        let mut known = before.clone().unwrap_or_default();
        let at = self.house.now();
        let waiting = plan.short.iter().filter_map(|short| {
            let listed = known.remove(&key(short)).filter(|dyno| is_of(dyno, short));
            Some((key(short), listed.or_else(|| waiting(short, at))?))
        });
        let now: HashMap<_, _> = waiting.collect();
        let same = before.is_some_and(|before| {
            let id = |dynos: &HashMap<_, Dyno>, key| dynos.get(key).map(|dyno: &Dyno| dyno.id);
            before.len() == now.len() && now.keys().all(|key| id(&before, key) == id(&now, key))
        });
        if !same {
            let rows: Vec<Dyno> = now.values().cloned().collect();
            self.house
                .rooms
                .store
                .write(move |tx| store::waiting_dynos::replace(tx, &rows))
                .await?;
        }
        self.shortage.listed = Some(now);
        Ok(())
    }

    /// Clients whose one-offs wait are told so.
    async fn show_into_lobby(&mut self, plan: &Plan) -> store::Result<()> {
        for short in &plan.short {
            let DynoSpec::Once(id) = short.spec else { continue };
            if !matches!(self.guests.get(&id), Some(Client::New(_))) {
                continue;
            }
            let once = self.house.rooms.store.read(move |db| one_offs::find(db, id)).await?;
            if let (Some(once), Some(Client::New(client))) = (once, self.guests.remove(&id)) {
                let why = voice::waiting_for_memory(short.needs_bytes, short.free_bytes);
                let waiting = lobby::wait(&self.house, client, once, why);
                self.guests.insert(id, Client::Waiting(waiting));
            }
        }
        Ok(())
    }

    fn say_short(&self, short: &Short) {
        let then = match short.remedy {
            Remedy::Wait => "It starts as soon as there is room",
            Remedy::OldFirst => "The old dyno stops before the new one starts",
        };
        let (needs, free) = (short.needs_bytes, short.free_bytes);
        tracing::warn!(app.id = %short.app, dyno.name = %short.name, needs, free, "short of memory");
        match short.spec {
            DynoSpec::Once(id) if short.name.process_type.as_str() == "build" => {
                self.print(id, &voice::short_of_memory(needs, free, then));
            }
            DynoSpec::Formation(_) | DynoSpec::Once(_) => {
                let logs = self.house.rooms.logs.clone();
                let voice = Voice::new(logs, short.app, &short.name, DynoKind::Formation);
                voice.short_of_memory(needs, free, then);
            }
        }
    }

    /// A build tells whoever pushed.
    fn print(&self, build: DynoId, line: &str) {
        let output = self.house.rooms.outputs.create(build);
        let written = output.and_then(|output| output.write(format!(" !     {line}\n").as_bytes()));
        if let Err(error) = written {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "could not tell a build that it waits");
        }
    }
}

/// Whether a listed dyno is still what is wanted in its slot.
fn is_of(dyno: &Dyno, short: &Short) -> bool {
    match &short.spec {
        DynoSpec::Formation(spec) => {
            dyno.release == Some(spec.release.id) && dyno.size == spec.size
        }
        DynoSpec::Once(_) => false,
    }
}

/// A dyno of the formation that waits. One-offs are not listed before they start.
fn waiting(short: &Short, now: Timestamp) -> Option<Dyno> {
    let DynoSpec::Formation(spec) = &short.spec else { return None };
    Some(Dyno {
        id: DynoId::random(),
        app: spec.app,
        name: spec.name.clone(),
        kind: DynoKind::Formation,
        release: Some(spec.release.id),
        release_version: spec.release.version,
        command: spec.command.clone(),
        size: spec.size,
        state: DynoState::Down,
        exit: None,
        created_at: now,
        up_at: None,
        updated_at: now,
    })
}
