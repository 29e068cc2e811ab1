//! The planner against a simulated runtime that does what it is told.

mod memory;
mod simulation;
mod sleep;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::feature::Switch;

/// A world: what is wanted, what is, and a clock. Ids are counted, so that runs repeat.
#[derive(Clone, Debug)]
struct World {
    desired: Desired,
    observed: Observed,
    now: Timestamp,
    limits: Limits,
    ids: u128,
}

impl World {
    fn new(desired: Desired) -> Self {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        Self { desired, observed: Observed::default(), now, limits: Limits::default(), ids: 0 }
    }

    fn plan(&self) -> Plan {
        plan(&self.desired, &self.observed, self.now, &self.limits)
    }

    /// Does what the plan says. Starting and stopping take until [`World::settle`].
    fn execute(&mut self, plan: &Plan) {
        for action in &plan.actions {
            match action {
                Action::Start(spec) => self.start(spec),
                Action::Stop { dyno, why } => {
                    let dyno = self.observed.dynos.get_mut(dyno).expect("only known ones stop");
                    assert!(
                        matches!(dyno.condition, Condition::Starting | Condition::Up),
                        "{dyno:?} cannot be stopped"
                    );
                    dyno.condition = Condition::Stopping;
                    dyno.told = Some(*why);
                    dyno.frozen = false;
                }
                Action::Freeze(dyno) => self.frost(*dyno, true),
                Action::Thaw(dyno) => self.frost(*dyno, false),
                Action::Forget(dyno) => {
                    let gone = self.observed.dynos.remove(dyno);
                    assert!(
                        gone.is_none_or(|dyno| matches!(dyno.condition, Condition::Gone { .. })),
                        "only gone ones are forgotten"
                    );
                    self.desired.one_offs.retain(|once| once.id != *dyno);
                }
            }
        }
    }

    fn frost(&mut self, dyno: DynoId, frozen: bool) {
        let dyno = self.observed.dynos.get_mut(&dyno).expect("only known ones freeze");
        assert_eq!((dyno.condition, dyno.frozen), (Condition::Up, !frozen), "{dyno:?}");
        dyno.frozen = frozen;
    }

    fn start(&mut self, spec: &DynoSpec) {
        let (id, dyno) = match spec {
            DynoSpec::Formation(spec) => {
                self.ids += 1;
                let id = DynoId::from_uuid(Uuid::from_u128(self.ids));
                let release = Some(spec.release.id);
                let mut dyno = self.dyno(spec.app, spec.name.clone(), release, spec.size);
                dyno.crashes = spec.crashes;
                dyno.last_request = spec.last_request;
                (id, dyno)
            }
            DynoSpec::Once(id) => {
                assert!(!self.observed.dynos.contains_key(id), "a one-off starts once");
                let wish = self.desired.one_offs.iter().find(|once| once.id == *id);
                let once = wish.expect("only what is wanted starts");
                let dyno = self.dyno(once.app, once.name.clone(), None, once.size);
                (*id, ObservedDyno { kind: once.kind, ..dyno })
            }
        };
        self.observed.dynos.insert(id, dyno);
    }

    fn dyno(
        &self,
        app: AppId,
        name: DynoName,
        release: Option<ReleaseId>,
        size: DynoSize,
    ) -> ObservedDyno {
        ObservedDyno {
            app,
            name,
            kind: DynoKind::Formation,
            release,
            size,
            created_at: self.now,
            up_at: None,
            crashes: 0,
            condition: Condition::Starting,
            told: None,
            last_request: None,
            frozen: false,
        }
    }

    /// What starts is up, what stops is gone.
    fn settle(&mut self) {
        for dyno in self.observed.dynos.values_mut() {
            match dyno.condition {
                Condition::Starting => {
                    dyno.condition = Condition::Up;
                    dyno.up_at = Some(self.now);
                    dyno.last_request = dyno.last_request.or(Some(self.now));
                }
                Condition::Stopping => {
                    let slept = dyno.told == Some(StopReason::Idling);
                    let end = if slept { End::Slept } else { End::Stopped };
                    dyno.condition = Condition::Gone { at: self.now, end };
                }
                Condition::Unknown | Condition::Up | Condition::Gone { .. } => {}
            }
        }
    }

    fn later(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Rounds until nothing is left to do; `watch` sees the world after each.
    fn converge(&mut self, mut watch: impl FnMut(&Self)) -> Plan {
        for _round in 0..200 {
            let plan = self.plan();
            if plan.actions.is_empty() && plan.busy.is_empty() {
                return plan;
            }
            self.execute(&plan);
            watch(self);
            self.settle();
            watch(self);
            self.later(Duration::from_secs(1));
        }
        panic!("did not converge: {:#?}", self.plan());
    }

    fn count(&self, process_type: &str, is: impl Fn(&ObservedDyno) -> bool) -> usize {
        let of_type = |dyno: &&ObservedDyno| dyno.name.process_type.as_str() == process_type;
        self.observed.dynos.values().filter(of_type).filter(|dyno| is(dyno)).count()
    }

    fn live(&self, process_type: &str) -> usize {
        self.count(process_type, |dyno| {
            matches!(dyno.condition, Condition::Starting | Condition::Up)
        })
    }

    fn up(&self, process_type: &str) -> usize {
        self.count(process_type, |dyno| dyno.condition == Condition::Up)
    }

    /// Every dyno that runs web has crashed now.
    fn crash_web(&mut self) {
        let end = Condition::Gone { at: self.now, end: End::Crashed };
        let live = |dyno: &&mut ObservedDyno| {
            dyno.name.process_type.is_web()
                && matches!(dyno.condition, Condition::Starting | Condition::Up)
        };
        self.observed.dynos.values_mut().filter(live).for_each(|dyno| dyno.condition = end);
    }
}

fn app_id(number: u128) -> AppId {
    AppId::from_uuid(Uuid::from_u128(number))
}

fn release(number: u32) -> CurrentRelease {
    CurrentRelease { id: ReleaseId::from_uuid(Uuid::from_u128(number.into())), version: number }
}

fn wanted(process_type: &str, quantity: u32) -> WantedType {
    WantedType {
        process_type: process_type.parse().expect("a process type"),
        command: "run".into(),
        quantity,
        size: DynoSize::Standard1X,
    }
}

fn desired(release_number: u32, formation: Vec<WantedType>) -> Desired {
    let app = DesiredApp {
        app: app_id(0),
        generation: 1,
        observed_generation: 0,
        release: Some(release(release_number)),
        formation,
        restarts: Vec::new(),
        features: Features::default(),
    };
    Desired { apps: vec![app], one_offs: Vec::new() }
}

fn once(id: DynoId, expires_at: Timestamp, cancelled: bool) -> WantedOnce {
    let name = DynoName { process_type: ProcessType::run(), number: 1 };
    let (app, kind, size) = (app_id(0), DynoKind::Run, DynoSize::Basic);
    WantedOnce { id, app, name, kind, size, expires_at, cancelled }
}

fn starts(plan: &Plan) -> Vec<&FormationDyno> {
    let start = |action| match action {
        &Action::Start(DynoSpec::Formation(ref spec)) => Some(spec),
        _ => None,
    };
    plan.actions.iter().filter_map(start).collect()
}

fn stops(plan: &Plan) -> Vec<StopReason> {
    let stop = |action: &Action| match action {
        Action::Stop { why, .. } => Some(*why),
        _ => None,
    };
    plan.actions.iter().filter_map(stop).collect()
}

// Whole stories.

#[test]
fn scaling_down_stops_the_highest_numbers() {
    let mut world = World::new(desired(1, vec![wanted("web", 4)]));
    world.converge(|_| {});
    world.desired.apps[0].formation[0].quantity = 2;
    let plan = world.plan();
    assert_eq!(stops(&plan), [StopReason::ScaledDown; 2]);
    world.execute(&plan);
    let mut left: Vec<u32> = world
        .observed
        .dynos
        .values()
        .filter(|dyno| dyno.condition == Condition::Up)
        .map(|dyno| dyno.name.number)
        .collect();
    left.sort_unstable();
    assert_eq!(left, [1, 2]);
}

#[test]
fn a_new_release_replaces_web_dynos_without_a_gap_and_workers_at_once() {
    let mut world = World::new(desired(1, vec![wanted("web", 1), wanted("worker", 1)]));
    world.converge(|_| {});
    world.desired.apps[0].release = Some(release(2));
    let plan = world.plan();
    let follows = Follows::Replaced { why: StopReason::Restart, state: DynoState::Up };
    let started: Vec<_> =
        starts(&plan).iter().map(|spec| (spec.name.to_string(), spec.follows)).collect();
    assert_eq!(started, [("web.1".to_owned(), follows), ("worker.1".to_owned(), follows)]);
    assert_eq!(stops(&plan), [StopReason::Restart], "the old worker only");
    world.execute(&plan);
    assert_eq!((world.up("web"), world.up("worker")), (1, 0));
    world.settle();
    assert_eq!(world.up("web"), 2, "both serve");
    let plan = world.plan();
    assert_eq!(stops(&plan), [StopReason::Restart], "now the old web dyno");
    world.converge(|_| {});
    assert_eq!((world.live("web"), world.live("worker")), (1, 1));
}

#[test]
fn a_release_that_never_comes_up_leaves_the_old_one_serving() {
    let mut world = World::new(desired(1, vec![wanted("web", 10)]));
    world.converge(|_| {});
    world.desired.apps[0].release = Some(release(2));
    let mut tried = std::collections::BTreeSet::new();
    for _round in 0..500 {
        let plan = world.plan();
        tried.extend(starts(&plan).iter().map(|spec| spec.name.number));
        assert_eq!(stops(&plan), [], "nothing old is stopped");
        world.execute(&plan);
        for dyno in world.observed.dynos.values_mut() {
            if dyno.condition == Condition::Starting {
                dyno.condition = Condition::Gone { at: world.now, end: End::Crashed };
            }
        }
        world.later(Duration::from_secs(10));
    }
    assert_eq!(world.up("web"), 10);
    assert_eq!(tried.len(), 4, "as many as may surge");
}

#[test]
fn a_restart_means_who_it_names() {
    let mut world = World::new(desired(1, vec![wanted("web", 2), wanted("worker", 2)]));
    world.converge(|_| {});
    world.later(Duration::from_secs(1));
    let restarted = |target: RestartTarget| {
        let mut world = world.clone();
        let not_before = world.now;
        world.desired.apps[0].restarts.push(Restart { target, not_before });
        let plan = world.plan();
        world.converge(|_| {});
        starts(&plan).iter().map(|spec| spec.name.to_string()).collect::<Vec<_>>()
    };
    let web = RestartTarget::Type(ProcessType::web());
    let one = RestartTarget::Dyno("worker.2".parse().expect("a name"));
    assert_eq!(restarted(RestartTarget::All), ["web.1", "web.2", "worker.1", "worker.2"]);
    assert_eq!(restarted(web), ["web.1", "web.2"]);
    assert_eq!(restarted(one), ["worker.2"]);
}

#[test]
fn crashes_wait_longer_and_longer_until_something_changes() {
    let mut world = World::new(desired(1, vec![wanted("web", 1)]));
    world.converge(|_| {});
    let mut waits = Vec::new();
    for _crash in 0..12 {
        world.crash_web();
        let crashed = world.now;
        let plan = world.plan();
        if let Some(at) = plan.wake_at.filter(|_| starts(&plan).is_empty()) {
            world.now = at;
        }
        waits.push(world.now.since(crashed).as_secs());
        let plan = world.plan();
        assert_eq!(starts(&plan)[0].follows, Follows::Crash);
        world.execute(&plan);
        world.settle();
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 640, 1200, 1200, 1200, 1200]);
    world.crash_web();
    assert_eq!(starts(&world.plan()), Vec::<&FormationDyno>::new(), "it waits");
    let mut released = world.clone();
    released.desired.apps[0].release = Some(release(2));
    assert_eq!(starts(&released.plan())[0].crashes, 0, "a release starts it at once");
    world.later(Duration::from_secs(1));
    let not_before = world.now;
    let restart = Restart { target: RestartTarget::All, not_before };
    world.desired.apps[0].restarts.push(restart);
    assert_eq!(starts(&world.plan())[0].crashes, 0, "and so does a restart");
}

#[test]
fn a_crash_after_ten_minutes_does_not_count() {
    let mut world = World::new(desired(1, vec![wanted("web", 1)]));
    for _crash in 0..3 {
        world.converge(|_| {});
        world.later(Duration::from_secs(601));
        world.crash_web();
        assert_eq!(starts(&world.plan())[0].crashes, 0);
    }
}

#[test]
fn dynos_are_replaced_daily_but_not_at_one_time() {
    let mut world = World::new(desired(1, vec![wanted("web", 3)]));
    world.ids = 7_777_777_777;
    let calm = world.converge(|_| {});
    let first = calm.wake_at.expect("the first to cycle");
    let day = Duration::from_secs(24 * 60 * 60);
    let age = first.since(world.observed.dynos.values().next().expect("one").created_at);
    assert!(age >= day && age < day + world.limits.cycle_spread);
    world.now = first;
    let plan = world.plan();
    let follows = Follows::Replaced { why: StopReason::Cycling, state: DynoState::Up };
    assert_eq!(starts(&plan).iter().map(|spec| spec.follows).collect::<Vec<_>>(), [follows]);
    assert_eq!(stops(&plan), [], "the new one must be up first");
    world.execute(&plan);
    world.settle();
    assert_eq!(stops(&world.plan()), [StopReason::Cycling]);
}

#[test]
fn a_one_off_starts_once_and_ends_in_time() {
    let mut world = World::new(Desired::default());
    let id = DynoId::from_uuid(Uuid::from_u128(1 << 100));
    let expires_at = world.now + Duration::from_secs(60);
    world.desired.one_offs.push(once(id, expires_at, false));
    let plan = world.plan();
    assert_eq!(plan.actions, [Action::Start(DynoSpec::Once(id))]);
    world.execute(&plan);
    world.settle();
    assert_eq!(world.plan(), Plan { wake_at: Some(expires_at), ..Plan::default() });
    world.now = expires_at;
    assert_eq!(stops(&world.plan()), [StopReason::Cancelled]);
    let dyno = world.observed.dynos.get_mut(&id).expect("there");
    dyno.condition = Condition::Gone { at: expires_at, end: End::Stopped };
    assert_eq!(world.plan().actions, [Action::Forget(id)], "never again");
    let mut late = world.clone();
    late.observed.dynos.clear();
    assert_eq!(late.plan().actions, [Action::Forget(id)], "too late to begin");
}

#[test]
fn a_destroyed_app_ends_all_of_its_dynos() {
    let mut world = World::new(desired(1, vec![wanted("web", 2), wanted("worker", 1)]));
    world.converge(|_| {});
    world.desired.apps[0].release = None;
    assert_eq!(stops(&world.plan()), [StopReason::ScaledDown; 3]);
    world.converge(|_| {});
    assert!(world.observed.dynos.is_empty());
}

// Properties of any world.

fn any_type() -> impl Strategy<Value = WantedType> {
    (prop_oneof![Just("web"), Just("worker"), Just("clock")], 0u32..6, any::<bool>()).prop_map(
        |(name, quantity, large)| {
            let size = if large { DynoSize::Standard2X } else { DynoSize::Standard1X };
            WantedType { size, ..wanted(name, quantity) }
        },
    )
}

fn any_restart(now: Timestamp) -> impl Strategy<Value = Restart> {
    let target = prop_oneof![
        Just(RestartTarget::All),
        Just(RestartTarget::Type(ProcessType::web())),
        (1u32..6).prop_map(|number| {
            RestartTarget::Dyno(DynoName { process_type: ProcessType::web(), number })
        }),
    ];
    (target, 0u64..100_000).prop_map(move |(target, ago)| {
        let not_before = Timestamp::from_micros(now.micros() - (ago as i64) * 1_000_000);
        Restart { target, not_before }
    })
}

fn any_app(number: u128, now: Timestamp) -> impl Strategy<Value = DesiredApp> {
    let formation = vec(any_type(), 0..4).prop_map(|types| {
        let unique: BTreeMap<_, _> =
            types.into_iter().map(|one| (one.process_type.clone(), one)).collect();
        unique.into_values().collect()
    });
    let release = proptest::option::weighted(0.9, (1u32..3).prop_map(release));
    (release, formation, vec(any_restart(now), 0..3)).prop_map(
        move |(release, formation, restarts)| DesiredApp {
            app: app_id(number),
            generation: 1,
            observed_generation: 0,
            release,
            formation,
            restarts,
            features: Features::default(),
        },
    )
}

fn any_condition(now: Timestamp) -> impl Strategy<Value = Condition> {
    let gone = (0u64..10_000, any::<bool>()).prop_map(move |(ago, crashed)| Condition::Gone {
        at: Timestamp::from_micros(now.micros() - (ago as i64) * 1_000_000),
        end: if crashed { End::Crashed } else { End::Stopped },
    });
    prop_oneof![
        1 => Just(Condition::Unknown),
        2 => Just(Condition::Starting),
        4 => Just(Condition::Up),
        1 => Just(Condition::Stopping),
        2 => gone,
    ]
}

fn any_dyno(now: Timestamp) -> impl Strategy<Value = ObservedDyno> {
    let place = (0u128..2, prop_oneof![Just("web"), Just("worker"), Just("other")], 1u32..7);
    let run = (1u32..3, any::<bool>(), 0u64..100_000, 0u32..12);
    (place, run, any_condition(now)).prop_map(
        move |((app, name, number), (version, large, age, crashes), condition)| {
            let created_at = Timestamp::from_micros(now.micros() - (age as i64) * 1_000_000);
            ObservedDyno {
                app: app_id(app),
                name: DynoName { process_type: name.parse().expect("a type"), number },
                kind: DynoKind::Formation,
                release: Some(release(version).id),
                size: if large { DynoSize::Standard2X } else { DynoSize::Standard1X },
                created_at,
                up_at: (condition == Condition::Up).then_some(created_at),
                crashes,
                condition,
                told: (condition == Condition::Stopping).then_some(StopReason::Restart),
                last_request: None,
                frozen: false,
            }
        },
    )
}

prop_compose! {
    fn any_world()(
        surge in 1u32..4,
        cancelled in any::<bool>(),
        onces in 0u128..3,
        apps in (
            any_app(0, World::new(Desired::default()).now),
            any_app(1, World::new(Desired::default()).now),
        ),
        dynos in vec(any_dyno(World::new(Desired::default()).now), 0..25),
    ) -> World {
        let mut world = World::new(Desired { apps: vec![apps.0, apps.1], one_offs: Vec::new() });
        world.limits.surge = surge;
        world.desired.one_offs = (0..onces)
            .map(|number| {
                let hours = 1 + u32::try_from(number).unwrap();
                let expires_at = world.now + Duration::from_secs(3_600) * hours;
                once(DynoId::from_uuid(Uuid::from_u128((1 << 100) + number)), expires_at, cancelled)
            })
            .collect();
        for dyno in dynos {
            world.ids += 1;
            // Spread over the whole range, as random ids are.
            let id = world.ids.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            world.observed.dynos.insert(DynoId::from_uuid(Uuid::from_u128(id)), dyno);
        }
        world
    }
}

/// As [`any_world`], with every dyno known.
fn known_world() -> impl Strategy<Value = World> {
    any_world().prop_map(|mut world| {
        for dyno in world.observed.dynos.values_mut() {
            if dyno.condition == Condition::Unknown {
                dyno.condition = Condition::Up;
                dyno.up_at = Some(dyno.created_at);
            }
        }
        world
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_perfect_runtime_converges_to_what_is_wanted(mut world in known_world()) {
        // Back-offs of the past are over.
        world.later(Duration::from_secs(20 * 60));
        world.converge(|_| {});
        for app in &world.desired.apps {
            for one in &app.formation {
                for number in 1..=7 {
                    let name = DynoName { process_type: one.process_type.clone(), number };
                    let here: Vec<_> = world.observed.dynos.values()
                        .filter(|dyno| dyno.app == app.app && dyno.name == name)
                        .collect();
                    let wanted = app.release.is_some() && number <= one.quantity;
                    prop_assert_eq!(here.len(), usize::from(wanted), "{:?}", here);
                    for dyno in here {
                        prop_assert_eq!(dyno.condition, Condition::Up);
                        prop_assert_eq!(dyno.release, app.release.map(|release| release.id));
                        prop_assert_eq!(dyno.size, one.size);
                    }
                }
            }
        }
        let formation: usize = world.desired.apps.iter()
            .filter(|app| app.release.is_some())
            .flat_map(|app| &app.formation)
            .map(|one| one.quantity as usize)
            .sum();
        let kept = |dyno: &&ObservedDyno| dyno.kind == DynoKind::Formation;
        prop_assert_eq!(world.observed.dynos.values().filter(kept).count(), formation);
    }

    #[test]
    fn a_deploy_has_no_gap_and_no_crowd(
        quantity in 1u32..12,
        surge in 1u32..5,
        workers in 0u32..5,
    ) {
        let formation = vec![wanted("web", quantity), wanted("worker", workers)];
        let mut world = World::new(desired(1, formation));
        world.limits.surge = surge;
        world.converge(|_| {});
        world.desired.apps[0].release = Some(release(2));
        world.converge(|world| {
            let (up, live) = (world.up("web"), world.live("web"));
            assert!(up >= quantity as usize, "{up} of {quantity} serve");
            assert!(live <= (quantity + surge) as usize, "{live} live");
            assert!(world.live("worker") <= workers as usize);
        });
        prop_assert_eq!(world.live("web"), quantity as usize);
    }

    #[test]
    fn an_unknown_dyno_is_left_alone_and_holds_its_slot(world in any_world()) {
        let plan = world.plan();
        let unknown = |id: &DynoId| {
            world.observed.dynos.get(id).is_some_and(|dyno| dyno.condition == Condition::Unknown)
        };
        for action in &plan.actions {
            match action {
                Action::Start(DynoSpec::Formation(spec)) => {
                    let held = world.observed.dynos.values().any(|dyno| {
                        dyno.condition == Condition::Unknown
                            && dyno.app == spec.app
                            && dyno.name == spec.name
                    });
                    prop_assert!(!held, "{} is held", spec.name);
                }
                Action::Start(DynoSpec::Once(_)) => {}
                Action::Stop { dyno, .. }
                | Action::Freeze(dyno)
                | Action::Thaw(dyno)
                | Action::Forget(dyno) => {
                    prop_assert!(!unknown(dyno));
                }
            }
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer(world in any_world()) {
        prop_assert_eq!(world.plan(), world.plan());
    }

    #[test]
    fn nothing_changes_before_the_time_to_wake(world in known_world(), part in 0.0f64..1.0) {
        let plan = world.plan();
        let year = Duration::from_secs(365 * 24 * 3_600);
        let until = plan.wake_at.map_or(year, |at| at.since(world.now));
        prop_assert!(plan.wake_at.is_none_or(|at| at > world.now));
        let mut later = world.clone();
        // Strictly before the time to wake.
        let wait = until.mul_f64(part).min(until.saturating_sub(Duration::from_micros(1)));
        later.later(wait);
        prop_assert_eq!(later.plan().actions, plan.actions);
    }

    #[test]
    fn when_it_is_time_to_wake_there_is_something_to_do(mut world in known_world()) {
        world.later(Duration::from_secs(20 * 60));
        let calm = world.converge(|_| {});
        if let Some(at) = calm.wake_at {
            world.now = at;
            prop_assert!(!world.plan().actions.is_empty());
        }
    }

    #[test]
    fn a_dyno_that_crashes_for_ever_obeys_the_back_off(
        lives in vec(0u64..1_500, 1..40),
        hurry in vec(1u64..90, 40),
    ) {
        let mut world = World::new(desired(1, vec![wanted("web", 1)]));
        world.execute(&world.plan());
        let mut quick = 0usize;
        for (life, step) in lives.into_iter().zip(hurry) {
            world.settle();
            world.later(Duration::from_secs(life));
            world.crash_web();
            let crashed = world.now;
            let steady = life > 600;
            let least = if steady { 0 } else { world.limits.backoff[quick.min(8)].as_secs() };
            quick = if steady { 0 } else { quick + 1 };
            // Somebody wakes the planner at odd times.
            while starts(&world.plan()).is_empty() {
                world.later(Duration::from_secs(step));
            }
            let waited = world.now.since(crashed).as_secs();
            prop_assert!(waited >= least && waited < least + step, "{waited} after {least}");
            world.execute(&world.plan());
        }
    }
}

/// Printed, not judged: how fast a test machine is nobody knows. Run with `--nocapture`.
#[test]
#[allow(clippy::print_stdout, reason = "a measurement for whoever runs it")]
fn a_plan_over_five_thousand_dynos_is_quick() {
    let mut world = World::new(Desired::default());
    for number in 0..100 {
        let mut app = desired(1, vec![wanted("web", 25), wanted("worker", 25)]).apps.remove(0);
        app.app = app_id(number);
        world.desired.apps.push(app);
    }
    world.limits.memory.total_bytes = 1 << 50;
    world.converge(|_| {});
    assert_eq!(world.observed.dynos.len(), 5_000);
    let began = std::time::Instant::now();
    assert_eq!(world.plan().actions, []);
    println!("plan() over 5,000 dynos: {:?}", began.elapsed());
}
