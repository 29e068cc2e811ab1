//! Stories of sleep and frost.

use super::*;
use crate::Feature;

fn eco(process_type: &str) -> WantedType {
    WantedType { size: DynoSize::Eco, ..wanted(process_type, 1) }
}

/// An app whose dynos are all Eco, up for a minute.
fn eco_app() -> World {
    let mut world = World::new(desired(1, vec![eco("web"), eco("worker")]));
    world.converge(|_| {});
    world.request();
    world
}

/// With the feature `dyno-suspend`, larger dynos.
fn suspending() -> World {
    let mut world = World::new(desired(1, vec![wanted("web", 2), wanted("worker", 1)]));
    world.desired.apps[0].features.set(Feature::DynoSuspend, Switch::On);
    world.converge(|_| {});
    world.request();
    world
}

fn asleep(mut world: World) -> World {
    world.later(world.limits.stop_frozen_after.max(world.limits.sleep_after));
    world.converge(|_| {});
    world
}

impl World {
    /// Somebody asks for the web dynos.
    pub(super) fn request(&mut self) {
        let now = self.now;
        for dyno in self.observed.dynos.values_mut() {
            if dyno.name.process_type.is_web() && dyno.condition == Condition::Up {
                dyno.last_request = Some(now);
                dyno.frozen = false;
            }
        }
    }

    fn slept(&self, process_type: &str) -> usize {
        self.count(process_type, |dyno| {
            matches!(dyno.condition, Condition::Gone { end: End::Slept, .. })
        })
    }

    fn frozen(&self) -> usize {
        self.observed.dynos.values().filter(|dyno| dyno.frozen).count()
    }
}

#[test]
fn an_eco_app_sleeps_after_half_an_hour_and_its_worker_with_it() {
    let mut world = eco_app();
    let plan = world.plan();
    assert_eq!((plan.actions.len(), plan.wake_at), (0, Some(world.now + world.limits.sleep_after)));
    world.now = plan.wake_at.expect("a time");
    assert_eq!(stops(&world.plan()), [StopReason::Idling; 2]);
    world.converge(|_| {});
    assert_eq!((world.slept("web"), world.slept("worker")), (1, 1));
    world.later(Duration::from_secs(365 * 24 * 3600));
    assert_eq!(world.plan(), Plan::default(), "it sleeps until somebody asks");
}

#[test]
fn a_request_keeps_it_awake() {
    let mut world = eco_app();
    for _ in 0..5 {
        world.later(Duration::from_secs(29 * 60));
        world.request();
        assert_eq!(world.plan().actions, []);
    }
}

#[test]
fn a_request_wakes_the_whole_app() {
    let mut world = asleep(eco_app());
    world.observed.woken.insert(app_id(0));
    let plan = world.plan();
    assert!(starts(&plan).iter().all(|spec| spec.follows == Follows::Sleep));
    assert_eq!(starts(&plan).len(), 2);
    assert_eq!(plan.waking, world.observed.woken, "until something starts");
    world.execute(&plan);
    assert_eq!((world.slept("web"), world.plan().waking.len()), (0, 0));
    world.converge(|_| {});
    assert_eq!((world.up("web"), world.up("worker")), (1, 1));
}

#[test]
fn a_request_that_comes_while_it_falls_asleep_starts_a_new_dyno() {
    let mut world = eco_app();
    world.later(world.limits.sleep_after);
    world.execute(&world.plan());
    world.observed.woken.insert(app_id(0));
    let plan = world.plan();
    assert_eq!(starts(&plan).len(), 2);
    assert_eq!(starts(&plan)[0].follows, Follows::Sleep);
    world.execute(&plan);
    world.observed.woken.clear();
    world.converge(|_| {});
    assert_eq!((world.up("web"), world.slept("web")), (1, 0));
}

#[test]
fn whatever_changes_what_is_wanted_wakes_it() {
    let changes: [fn(&mut World); 4] = [
        |world| world.desired.apps[0].release = Some(release(2)),
        |world| world.desired.apps[0].formation[0].size = DynoSize::Basic,
        |world| world.desired.apps[0].formation.push(eco("clock")),
        |world| {
            let (target, not_before) = (RestartTarget::All, world.now);
            world.desired.apps[0].restarts.push(Restart { target, not_before });
        },
    ];
    for change in changes {
        let mut world = asleep(eco_app());
        change(&mut world);
        world.converge(|_| {});
        assert_eq!((world.up("web"), world.up("worker"), world.slept("web")), (1, 1, 0));
    }
}

#[test]
fn apps_with_other_sizes_or_without_web_dynos_do_not_sleep() {
    let formations =
        [vec![wanted("web", 1)], vec![eco("web"), wanted("worker", 1)], vec![eco("worker")]];
    for formation in formations {
        let mut world = World::new(desired(1, formation));
        world.converge(|_| {});
        world.later(Duration::from_secs(23 * 3600));
        assert_eq!(world.plan().actions, []);
    }
}

#[test]
fn a_crashed_worker_does_not_keep_it_awake() {
    let mut world = eco_app();
    world.later(world.limits.sleep_after);
    let end = Condition::Gone { at: world.now, end: End::Crashed };
    let worker = |dyno: &&mut ObservedDyno| !dyno.name.process_type.is_web();
    world.observed.dynos.values_mut().filter(worker).for_each(|dyno| dyno.condition = end);
    assert_eq!(stops(&world.plan()), [StopReason::Idling]);
}

#[test]
fn a_suspending_app_is_frozen_first_and_sleeps_much_later() {
    let mut world = suspending();
    world.later(world.limits.freeze_after);
    world.converge(|_| {});
    assert_eq!((world.frozen(), world.up("web")), (2, 2));
    let plan = world.plan();
    assert!(plan.actions.is_empty());
    let idle = world.limits.stop_frozen_after;
    world.later(idle);
    assert_eq!(stops(&world.plan()), [StopReason::Idling; 2], "the worker goes on");
    world.converge(|_| {});
    assert_eq!((world.slept("web"), world.up("worker")), (2, 1));
    world.observed.woken.insert(app_id(0));
    world.converge(|world| assert_eq!(world.up("worker"), 1));
    assert_eq!(world.up("web"), 2);
}

#[test]
fn scaling_wakes_a_suspended_app() {
    let mut world = asleep(suspending());
    assert_eq!(world.slept("web"), 2);
    world.desired.apps[0].formation[0].quantity = 3;
    world.converge(|_| {});
    assert_eq!(world.up("web"), 3);
}

#[test]
fn taking_the_feature_away_thaws_and_wakes() {
    let mut frozen = suspending();
    frozen.later(frozen.limits.freeze_after);
    frozen.converge(|_| {});
    let mut sleeping = asleep(frozen.clone());
    for world in [&mut frozen, &mut sleeping] {
        world.desired.apps[0].features.set(Feature::DynoSuspend, Switch::Off);
        world.converge(|_| {});
        assert_eq!((world.up("web"), world.frozen()), (2, 0));
    }
}
