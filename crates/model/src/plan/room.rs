//! Memory: what the machine has, what is promised, and what there is no room for.
//!
//! A promise is a dyno's quota, or a build's limit, from its start to its end. Promises never exceed
//! [`Memory::total_bytes`]; what does not fit waits, and is named in [`Plan::short`]. Room for one
//! build is left free by all other dynos, so that an app's own dynos cannot lock out its next deploy.
//! An empty slot of the formation keeps the memory of the dyno that is gone until the next one starts,
//! through a crash's back-off, too, if it is enough for that one; a dyno that sleeps keeps none.
//!
//! [`Plan::short`]: super::Plan::short

use std::collections::{HashMap, HashSet};

use crate::dyno::DynoKind;
use crate::size::SizeTable;
use crate::{AppId, DynoName, DynoSize, ProcessType};

use super::{
    Condition, Desired, DynoSpec, End, FormationDyno, Observed, ObservedDyno, Planner, WantedOnce,
    WantedType,
};

/// The memory that may be promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// To all dynos together.
    pub total_bytes: u64,
    /// What one build is promised.
    pub build_bytes: u64,
    /// So much of the total is for builds only.
    pub for_builds_bytes: u64,
    /// What a dyno of each size is promised.
    pub sizes: SizeTable,
}

impl Default for Memory {
    /// As much as anybody asks for.
    fn default() -> Self {
        Self {
            total_bytes: u64::MAX,
            build_bytes: 0,
            for_builds_bytes: 0,
            sizes: SizeTable::default(),
        }
    }
}

/// A dyno that there is no memory for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// Whose app.
    pub app: AppId,
    /// Its name.
    pub name: DynoName,
    /// The dyno.
    pub spec: DynoSpec,
    /// What it needs.
    pub needs_bytes: u64,
    /// What is free.
    pub free_bytes: u64,
    /// What is done about it.
    pub remedy: Remedy,
}

/// What is done about a dyno that there is no memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It waits for room.
    Wait,
    /// The one that it replaces stops first.
    OldFirst,
}

/// What is promised.
pub(super) struct Room {
    memory: Memory,
    dynos: u64,
    builds: u64,
}

impl Room {
    pub(super) fn of(desired: &Desired, observed: &Observed, memory: &Memory) -> Self {
        let mut room = Self { memory: memory.clone(), dynos: 0, builds: 0 };
        if memory.total_bytes == u64::MAX {
            return room;
        }
        let mut kept: HashMap<(AppId, &DynoName), u64> = HashMap::new();
        let mut filled = HashSet::new();
        let wanted = types(desired);
        for dyno in observed.dynos.values() {
            let bytes = room.needs(dyno.kind, dyno.size);
            match dyno.condition {
                Condition::Gone { .. } => {
                    let most = kept.entry((dyno.app, &dyno.name)).or_default();
                    let size = wanted_size(dyno, &wanted);
                    *most = size.map_or(0, |size| room.kept(dyno, size)).max(*most);
                }
                Condition::Stopping => room.promise(dyno.kind, bytes),
                Condition::Unknown | Condition::Starting | Condition::Up => {
                    room.promise(dyno.kind, bytes);
                    filled.insert((dyno.app, &dyno.name));
                }
            }
        }
        kept.retain(|slot, _| !filled.contains(slot));
        room.dynos += kept.values().sum::<u64>();
        room
    }

    /// Promises memory to a dyno whose slot has kept some. Answers whether there was enough.
    pub(super) fn take(&mut self, size: DynoSize, kept: u64) -> bool {
        let fits = self.fits(size, kept);
        if fits {
            self.dynos = self.dynos.saturating_sub(kept);
            self.promise(DynoKind::Formation, self.quota(size));
        }
        fits
    }

    /// Whether there would be enough if so much that its slot holds were free.
    pub(super) fn fits(&self, size: DynoSize, own: u64) -> bool {
        let others =
            self.dynos.saturating_sub(own).saturating_add(self.kept_from(DynoKind::Formation));
        others.saturating_add(self.quota(size)) <= self.memory.total_bytes
    }

    /// As [`take`](Self::take), for a one-off.
    pub(super) fn take_once(&mut self, once: &WantedOnce) -> bool {
        let needs = self.needs(once.kind, once.size);
        let fits = needs <= self.free(once.kind);
        if fits {
            self.promise(once.kind, needs);
        }
        fits
    }

    /// What is kept of the memory of a dyno that is gone, for one of this size: all or nothing.
    pub(super) fn kept(&self, gone: &ObservedDyno, size: DynoSize) -> u64 {
        let slept = matches!(gone.condition, Condition::Gone { end: End::Slept, .. });
        let needs = self.quota(size);
        if slept || self.quota(gone.size) < needs { 0 } else { needs }
    }

    pub(super) fn quota(&self, size: DynoSize) -> u64 {
        self.memory.sizes.limits(size).memory_bytes
    }

    fn needs(&self, kind: DynoKind, size: DynoSize) -> u64 {
        match kind {
            DynoKind::Build => self.memory.build_bytes,
            DynoKind::Formation | DynoKind::Run | DynoKind::Release => self.quota(size),
        }
    }

    fn promise(&mut self, kind: DynoKind, bytes: u64) {
        let sum = if kind == DynoKind::Build { &mut self.builds } else { &mut self.dynos };
        *sum = sum.saturating_add(bytes);
    }

    fn free(&self, kind: DynoKind) -> u64 {
        let promised = self.dynos.saturating_add(self.kept_from(kind));
        self.memory.total_bytes.saturating_sub(promised)
    }

    /// What builds have, and what others must leave them.
    fn kept_from(&self, kind: DynoKind) -> u64 {
        match kind {
            DynoKind::Build => self.builds,
            DynoKind::Formation | DynoKind::Run | DynoKind::Release => {
                self.builds.max(self.memory.for_builds_bytes)
            }
        }
    }
}

type Wanted<'a> = HashMap<(AppId, &'a ProcessType), &'a WantedType>;

/// The types of apps that have something to run.
fn types(desired: &Desired) -> Wanted<'_> {
    let running = desired.apps.iter().filter(|app| app.release.is_some());
    let types = running.flat_map(|app| app.formation.iter().map(|one| (app.app, one)));
    types.map(|(app, one)| ((app, &one.process_type), one)).collect()
}

/// The size that is wanted in the slot of a dyno.
fn wanted_size(dyno: &ObservedDyno, wanted: &Wanted) -> Option<DynoSize> {
    let one = wanted.get(&(dyno.app, &dyno.name.process_type))?;
    let here = dyno.kind == DynoKind::Formation && dyno.name.number <= one.quantity;
    here.then_some(one.size)
}

impl Planner<'_> {
    pub(super) fn short_of(&mut self, spec: FormationDyno, remedy: Remedy) {
        self.plan.short.push(Short {
            app: spec.app,
            name: spec.name.clone(),
            needs_bytes: self.room.needs(DynoKind::Formation, spec.size),
            free_bytes: self.room.free(DynoKind::Formation),
            spec: DynoSpec::Formation(spec),
            remedy,
        });
    }

    pub(super) fn short_of_once(&mut self, once: &WantedOnce) {
        self.plan.short.push(Short {
            app: once.app,
            name: once.name.clone(),
            spec: DynoSpec::Once(once.id),
            needs_bytes: self.room.needs(once.kind, once.size),
            free_bytes: self.room.free(once.kind),
            remedy: Remedy::Wait,
        });
    }
}
