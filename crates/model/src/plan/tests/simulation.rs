//! Many worlds in which anything may happen, each from a seed that a failure names.
//!
//! People scale, deploy, restart and resize; dynos crash, fail to start, vanish; the server dies and
//! comes back knowing nothing but its rows; requests come or stay away; memory is short. While it
//! goes on, promises hold; when it has calmed down, what is wanted is there.

use super::room::Remedy;
use super::*;
use crate::Feature;

const SEEDS: u64 = 1500;
const STEPS: usize = 60;
const MIB: u64 = 1024 * 1024;
const BUILD: u64 = 1024 * MIB;

#[test]
fn whatever_happens_nothing_is_doubled_lost_or_promised_twice() {
    for seed in 0..SEEDS {
        let story = std::panic::catch_unwind(|| Simulation::new(seed).run());
        if let Err(panic) = story {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("seed {seed}: {text}");
        }
    }
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("small")]
    }
}

struct Simulation {
    world: World,
    dice: Dice,
    /// How dynos are that the server knows nothing of.
    hidden: BTreeMap<DynoId, Condition>,
    versions: u32,
    onces: u128,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut world = World::new(Desired::default());
        world.ids = u128::from(seed) << 64;
        world.limits.memory.build_bytes = BUILD;
        if dice.percent(70) {
            world.limits.memory.total_bytes = (2 + dice.below(14)) * 512 * MIB;
            world.limits.memory.for_builds_bytes = if dice.percent(50) { BUILD } else { 0 };
        }
        world.limits.surge = 1 + u32::try_from(dice.below(4)).expect("small");
        for number in 0..1 + dice.below(3) {
            let mut app = desired(1, Vec::new()).apps.remove(0);
            app.app = app_id(number.into());
            world.desired.apps.push(app);
        }
        let mut simulation = Self { world, dice, hidden: BTreeMap::new(), versions: 1, onces: 0 };
        for app in 0..simulation.world.desired.apps.len() {
            simulation.reshape(app);
        }
        simulation
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            self.happen();
            for _ in 0..self.dice.below(4) {
                self.round();
                self.progress();
            }
        }
        self.calm_down();
        self.check_wanted();
        self.fall_asleep();
    }

    /// One plan, carried out and looked at.
    fn round(&mut self) -> Plan {
        let plan = self.world.plan();
        self.check_stops(&plan);
        self.world.execute(&plan);
        self.world.observed.woken = plan.waking.clone();
        self.check_promises();
        plan
    }

    /// One thing that nobody planned.
    fn happen(&mut self) {
        let apps = self.world.desired.apps.len() as u64;
        let app = usize::try_from(self.dice.below(apps)).expect("small");
        match self.dice.below(13) {
            0 => self.reshape(app),
            1 | 2 => {
                self.versions += 1;
                self.world.desired.apps[app].release = Some(release(self.versions));
            }
            3 => {
                let target = RestartTarget::Type(ProcessType::web());
                let restart = Restart { target, not_before: self.world.now };
                self.world.desired.apps[app].restarts = vec![restart];
            }
            4 => {
                let feature = self.dice.pick(&[Feature::Preboot, Feature::DynoSuspend]);
                let switch = Switch::from_bool(self.dice.percent(50));
                self.world.desired.apps[app].features.set(feature, switch);
            }
            5 | 6 => self.ask_for(app),
            7 => self.end_somebody(End::Crashed),
            8 => self.end_somebody(End::Stopped),
            9 => self.lose_server(),
            10 => self.want_once(),
            11 => self.world.desired.one_offs.iter_mut().for_each(|once| once.cancelled = true),
            _ => {
                let longest = self.dice.pick(&[10, 600, 3_600, 50_000]);
                let time = Duration::from_secs(self.dice.below(longest));
                self.world.later(time);
            }
        }
    }

    /// Other quantities and sizes.
    fn reshape(&mut self, app: usize) {
        let eco = self.dice.percent(40);
        let names = ["web", "worker"];
        let most = if eco { 2 } else { 5 };
        let types = names.map(|name| {
            let quantity = u32::try_from(self.dice.below(most)).expect("small");
            let size = match eco {
                true => DynoSize::Eco,
                false => self.dice.pick(&[DynoSize::Standard1X, DynoSize::Standard2X]),
            };
            WantedType { size, ..wanted(name, quantity) }
        });
        self.world.desired.apps[app].formation = types.into();
    }

    /// A request: it thaws who is frozen, and wakes an app without anybody.
    fn ask_for(&mut self, app: usize) {
        let (app, now) = (self.world.desired.apps[app].app, self.world.now);
        let mut served = false;
        for dyno in self.world.observed.dynos.values_mut().filter(|dyno| dyno.app == app) {
            if dyno.condition == Condition::Up && dyno.name.process_type.is_web() {
                (dyno.last_request, dyno.frozen, served) = (Some(now), false, true);
            }
        }
        if !served {
            self.world.observed.woken.insert(app);
        }
    }

    fn end_somebody(&mut self, end: End) {
        let now = self.world.now;
        let live = |(_, dyno): &(&DynoId, &ObservedDyno)| {
            matches!(dyno.condition, Condition::Starting | Condition::Up)
        };
        let live: Vec<DynoId> =
            self.world.observed.dynos.iter().filter(live).map(|(&id, _)| id).collect();
        if !live.is_empty() {
            let id = self.dice.pick(&live);
            let dyno = self.world.observed.dynos.get_mut(&id).expect("there");
            (dyno.condition, dyno.frozen) = (Condition::Gone { at: now, end }, false);
        }
    }

    /// A new server knows rows; what runs answers later.
    fn lose_server(&mut self) {
        self.world.observed.woken.clear();
        for (&id, dyno) in &mut self.world.observed.dynos {
            if !matches!(dyno.condition, Condition::Gone { .. } | Condition::Unknown) {
                self.hidden.insert(id, dyno.condition);
                dyno.condition = Condition::Unknown;
            }
        }
    }

    fn want_once(&mut self) {
        self.onces += 1;
        let id = DynoId::from_uuid(Uuid::from_u128((1 << 100) + self.onces));
        let kind = self.dice.pick(&[DynoKind::Run, DynoKind::Build]);
        let expires_at = self.world.now + Duration::from_secs(3_600);
        let wanted = WantedOnce { kind, ..once(id, expires_at, false) };
        self.world.desired.one_offs.push(wanted);
    }

    /// Some of what is under way gets further, or fails.
    fn progress(&mut self) {
        let now = self.world.now;
        for (id, dyno) in &mut self.world.observed.dynos {
            if self.dice.percent(30) {
                continue;
            }
            match dyno.condition {
                Condition::Unknown => {
                    let was = self.hidden.remove(id).expect("it was something");
                    // It may have ended while nobody looked.
                    let gone = Condition::Gone { at: now, end: ending(dyno) };
                    dyno.condition = if self.dice.percent(20) { gone } else { was };
                    dyno.frozen &= dyno.condition == Condition::Up;
                    dyno.last_request = dyno.last_request.map(|_| now);
                }
                Condition::Starting if self.dice.percent(20) => {
                    dyno.condition = Condition::Gone { at: now, end: End::Crashed };
                }
                Condition::Starting => {
                    (dyno.condition, dyno.up_at) = (Condition::Up, Some(now));
                    dyno.last_request = dyno.last_request.or(Some(now));
                }
                Condition::Stopping => {
                    dyno.condition = Condition::Gone { at: now, end: ending(dyno) };
                }
                Condition::Up | Condition::Gone { .. } => {}
            }
        }
        self.world.later(Duration::from_secs(1));
    }

    /// No more faults; every app is asked for all the time.
    fn calm_down(&mut self) {
        self.world.desired.one_offs.iter_mut().for_each(|once| once.cancelled = true);
        for _ in 0..400 {
            (0..self.world.desired.apps.len()).for_each(|app| self.ask_for(app));
            let plan = self.round();
            let calm = self.is_calm(&plan);
            if calm && !self.waits_for_back_off() {
                return;
            }
            for (id, was) in std::mem::take(&mut self.hidden) {
                self.world.observed.dynos.get_mut(&id).expect("there").condition = was;
            }
            self.world.settle();
            let next = plan.wake_at.filter(|_| calm);
            self.world.now = next.unwrap_or(self.world.now + Duration::from_secs(1));
        }
        let apps =
            self.world.desired.apps.iter().map(|app| (app.app, self.of(app.app), &app.formation));
        panic!("it does not calm down: {:#?} {:?}", self.world.plan(), apps.collect::<Vec<_>>());
    }

    /// Whether there is nothing to do and nobody on the way, but memory to wait for.
    fn is_calm(&self, plan: &Plan) -> bool {
        let mut dynos = self.world.observed.dynos.values();
        let still =
            |dyno: &ObservedDyno| matches!(dyno.condition, Condition::Up | Condition::Gone { .. });
        let short: BTreeSet<AppId> = plan.short.iter().map(|short| short.app).collect();
        plan.actions.is_empty() && plan.busy.is_subset(&short) && dynos.all(still)
    }

    fn waits_for_back_off(&self) -> bool {
        let crashed = |dyno: &ObservedDyno| {
            matches!(dyno.condition, Condition::Gone { end: End::Crashed, .. })
        };
        let short = self.world.plan().short;
        let row = |app: AppId, name: &DynoName| (app, name.process_type.clone());
        let waits = |dyno: &ObservedDyno| {
            let same = |short: &Short| row(short.app, &short.name) == row(dyno.app, &dyno.name);
            !short.iter().any(same)
        };
        self.world.observed.dynos.values().any(|dyno| crashed(dyno) && waits(dyno))
    }

    /// Nobody who serves is stopped before another serves, unless memory forces it; and what is
    /// merely old never goes together.
    fn check_stops(&self, plan: &Plan) {
        let mut cycling = BTreeMap::new();
        for action in &plan.actions {
            let &Action::Stop { dyno: id, why } = action else { continue };
            let dyno = &self.world.observed.dynos[&id];
            let app = self.world.desired.apps.iter().find(|app| app.app == dyno.app);
            let web = dyno.name.process_type.is_web() && dyno.kind == DynoKind::Formation;
            let gapless = web && app.is_some_and(|app| app.features.has(Feature::Preboot));
            let replaced = matches!(why, StopReason::Restart | StopReason::Cycling);
            let served = self.world.observed.dynos.iter().any(|(&other, peer)| {
                (other, peer.app, &peer.name) != (id, dyno.app, &dyno.name)
                    && (peer.app, &peer.name) == (dyno.app, &dyno.name)
                    && peer.condition == Condition::Up
            });
            if replaced && gapless && dyno.condition == Condition::Up {
                let forced = plan.short.iter().any(|short| {
                    (short.app, &short.name, short.remedy)
                        == (dyno.app, &dyno.name, Remedy::OldFirst)
                });
                assert!(served || forced, "{} is stopped without need: {plan:#?}", dyno.name);
            }
            if why == StopReason::Cycling && !gapless && !served {
                let row = (dyno.app, dyno.name.process_type.clone());
                *cycling.entry(row).or_insert(0) += 1;
            }
        }
        assert!(cycling.values().all(|&count| count == 1), "old ones go together: {plan:#?}");
        let mut forced = BTreeSet::new();
        for short in plan.short.iter().filter(|short| short.remedy == Remedy::OldFirst) {
            let first = forced.insert((short.app, short.name.process_type.clone()));
            assert!(first, "two at a time: {plan:#?}");
        }
    }

    /// No more memory is promised than there is, and no slot is doubled.
    fn check_promises(&self) {
        let (dynos, builds) = self.promised();
        let memory = &self.world.limits.memory;
        assert!(dynos + builds <= memory.total_bytes, "{dynos} + {builds} of {memory:?}");
        assert!(dynos + memory.for_builds_bytes <= memory.total_bytes || dynos == 0);
        let mut slots: BTreeMap<_, Vec<&ObservedDyno>> = BTreeMap::new();
        for dyno in self.world.observed.dynos.values() {
            let lives = matches!(dyno.condition, Condition::Starting | Condition::Up);
            if lives && dyno.kind == DynoKind::Formation {
                slots.entry((dyno.app, &dyno.name)).or_default().push(dyno);
            }
        }
        for dynos in slots.values().filter(|dynos| dynos.len() > 1) {
            let one = |dyno: &&&ObservedDyno| dyno.condition == Condition::Starting;
            assert!(dynos.len() == 2 && dynos.iter().filter(one).count() <= 1, "{dynos:?}");
        }
    }

    fn promised(&self) -> (u64, u64) {
        let mut sums = (0, 0);
        for dyno in self.world.observed.dynos.values() {
            if matches!(dyno.condition, Condition::Gone { .. }) {
                continue;
            }
            match dyno.kind {
                DynoKind::Build => sums.1 += BUILD,
                _ => sums.0 += dyno.size.limits().memory_bytes,
            }
        }
        sums
    }

    /// Every slot that is wanted has its dyno or is short of memory; nobody else is there.
    fn check_wanted(&self) {
        let plan = self.world.plan();
        let mut expected = 0;
        for app in &self.world.desired.apps {
            for one in &app.formation {
                for number in 1..=one.quantity {
                    let name = DynoName { process_type: one.process_type.clone(), number };
                    self.check_slot(app, one, &name, &plan);
                    expected += 1;
                }
            }
        }
        let kept = |dyno: &&ObservedDyno| {
            dyno.kind == DynoKind::Formation && dyno.condition == Condition::Up
        };
        let here = self.world.observed.dynos.values().filter(kept).count();
        assert!(here <= expected, "{here} dynos, {expected} wanted");
        let (dynos, builds) = self.promised();
        let memory = &self.world.limits.memory;
        let free = memory.total_bytes
            - dynos
            - builds.max(memory.for_builds_bytes).min(memory.total_bytes - dynos);
        for short in &plan.short {
            let held: u64 = self
                .live_in(short.app, &short.name)
                .iter()
                .map(|dyno| dyno.size.limits().memory_bytes)
                .sum();
            let kept: u64 = self
                .world
                .observed
                .dynos
                .values()
                .filter(|dyno| matches!(dyno.condition, Condition::Gone { end: End::Crashed, .. }))
                .map(|dyno| dyno.size.limits().memory_bytes)
                .sum();
            assert!(short.needs_bytes + kept > free, "there is room for {short:?} ({held} held)");
        }
    }

    fn of(&self, app: AppId) -> Vec<String> {
        let all = self.world.observed.dynos.values().filter(|dyno| dyno.app == app);
        let line = |dyno: &ObservedDyno| {
            let ObservedDyno { name, condition, up_at, last_request, .. } = dyno;
            format!("{name} {condition:?} up {up_at:?} asked {last_request:?}")
        };
        all.map(line).collect()
    }

    fn live_in(&self, app: AppId, name: &DynoName) -> Vec<&ObservedDyno> {
        let here = self.world.observed.dynos.values();
        here.filter(|dyno| dyno.app == app && dyno.name == *name).collect()
    }

    fn check_slot(&self, app: &DesiredApp, one: &WantedType, name: &DynoName, plan: &Plan) {
        let here = self.live_in(app.app, name);
        // A slot may also wait for another one of its row.
        let row = |name: &DynoName| (app.app, name.process_type.clone());
        let short = plan
            .short
            .iter()
            .any(|short| (short.app, short.name.process_type.clone()) == row(name));
        if short {
            let up = here.iter().filter(|dyno| dyno.condition == Condition::Up).count();
            return assert!(up <= 1, "{here:?}");
        }
        assert_eq!(here.len(), 1, "{name} of {}: {here:#?}\n{plan:#?}", app.app);
        let dyno = here[0];
        assert_eq!(dyno.condition, Condition::Up);
        assert_eq!(dyno.release, app.release.map(|release| release.id));
        assert_eq!((dyno.size, dyno.frozen), (one.size, false));
    }

    fn settle_down(&mut self) {
        for _ in 0..400 {
            let plan = self.round();
            if self.is_calm(&plan) {
                return;
            }
            self.world.settle();
            self.world.later(Duration::from_secs(1));
        }
        panic!("it does not settle: {:#?}", self.world.plan());
    }

    /// Nobody asks any more: who may sleep does, and all wake again.
    fn fall_asleep(&mut self) {
        // Much longer than it takes, for who waited for memory gets it when others sleep.
        for _hour in 0..60 {
            self.world.later(Duration::from_secs(3600));
            self.settle_down();
        }
        for app in self.world.desired.apps.clone() {
            let web = |one: &&WantedType| one.process_type.is_web() && one.quantity > 0;
            let used = app.formation.iter().filter(|one| one.quantity > 0);
            let eco = used.clone().all(|one| one.size == DynoSize::Eco);
            let sleeps = used.clone().any(|one| web(&one))
                && (eco || app.features.has(Feature::DynoSuspend));
            let short = self.world.plan().short.iter().any(|short| short.app == app.app);
            if sleeps && !short {
                let up = self.world.observed.dynos.values().any(|dyno| {
                    dyno.app == app.app
                        && dyno.name.process_type.is_web()
                        && dyno.condition == Condition::Up
                });
                assert!(
                    !up,
                    "{} does not sleep at {:?}: {:#?}",
                    app.app,
                    self.world.now,
                    self.of(app.app)
                );
            }
        }
        self.calm_down();
        self.check_wanted();
    }
}

/// How a dyno ends that ends by itself or because it was told to.
fn ending(dyno: &ObservedDyno) -> End {
    match dyno.told {
        Some(StopReason::Idling) => End::Slept,
        Some(_) => End::Stopped,
        None if dyno.kind == DynoKind::Formation => End::Crashed,
        None => End::Stopped,
    }
}
