//! Stories of memory, and of the classic replacement at once.

use super::room::Remedy;
use super::*;
use crate::Feature;

const MIB: u64 = 1024 * 1024;

/// So much for dynos of 512 MiB each, and nothing for builds.
fn room_for(dynos: u64, formation: Vec<WantedType>) -> World {
    let mut world = World::new(desired(1, formation));
    world.limits.memory.total_bytes = dynos * 512 * MIB;
    world
}

fn short(plan: &Plan) -> Vec<(String, Remedy)> {
    plan.short.iter().map(|short| (short.name.to_string(), short.remedy)).collect()
}

#[test]
fn what_does_not_fit_waits_and_starts_when_there_is_room() {
    let mut world = room_for(3, vec![wanted("web", 2), wanted("worker", 2)]);
    let plan = world.converge(|_| {});
    assert_eq!((world.up("web"), world.up("worker")), (2, 1));
    assert_eq!(short(&plan), [("worker.2".to_owned(), Remedy::Wait)]);
    assert_eq!((plan.short[0].needs_bytes, plan.short[0].free_bytes), (512 * MIB, 0));
    world.desired.apps[0].formation[0].quantity = 1;
    let plan = world.converge(|_| {});
    assert_eq!((world.up("web"), world.up("worker")), (1, 2));
    assert_eq!(plan.short, []);
}

#[test]
fn with_room_for_one_more_a_release_rolls_without_a_gap() {
    let mut world = room_for(4, vec![wanted("web", 3)]);
    world.converge(|_| {});
    world.desired.apps[0].release = Some(release(2));
    world.converge(|world| assert!(world.up("web") >= 3));
    assert_eq!(world.live("web"), 3);
}

#[test]
fn without_room_for_both_dynos_are_replaced_one_by_one() {
    let mut world = room_for(3, vec![wanted("web", 3)]);
    world.converge(|_| {});
    world.desired.apps[0].release = Some(release(2));
    let plan = world.plan();
    assert_eq!(short(&plan), [("web.1".to_owned(), Remedy::OldFirst)]);
    assert_eq!(stops(&plan), [StopReason::Restart]);
    world.converge(|world| assert!(world.up("web") >= 2, "one at a time"));
    let current = world.count("web", |dyno| dyno.release == Some(release(2).id));
    assert_eq!(current, 3);
}

#[test]
fn nobody_takes_the_place_of_a_dyno_that_goes_first_or_has_crashed() {
    let mut world = room_for(1, vec![wanted("web", 1)]);
    world.converge(|_| {});
    let mut other = desired(1, vec![wanted("web", 1)]).apps.remove(0);
    other.app = app_id(9);
    // The greedy neighbour is asked first.
    world.desired.apps.insert(0, other);
    world.desired.apps[1].release = Some(release(2));
    world.converge(|_| {});
    world.crash_web();
    world.converge(|_| {});
    let ours = |dyno: &ObservedDyno| dyno.app == app_id(0) && dyno.condition == Condition::Up;
    assert_eq!(world.count("web", ours), 1);
}

#[test]
fn a_worker_waits_for_its_predecessor_without_complaint() {
    let mut world = room_for(1, vec![wanted("worker", 1)]);
    world.converge(|_| {});
    world.desired.apps[0].release = Some(release(2));
    let plan = world.plan();
    assert_eq!((stops(&plan), plan.short.len()), (vec![StopReason::Restart], 0));
    world.converge(|_| {});
    assert_eq!(world.up("worker"), 1);
}

#[test]
fn a_size_that_never_fits_leaves_the_old_dyno_running() {
    for name in ["web", "worker"] {
        let mut world = room_for(1, vec![wanted(name, 1)]);
        world.converge(|_| {});
        world.desired.apps[0].formation[0].size = DynoSize::Standard2X;
        let plan = world.converge(|_| {});
        assert_eq!((world.up(name), plan.short[0].remedy), (1, Remedy::Wait));
    }
}

#[test]
fn room_for_a_build_is_left_by_all_others() {
    let mut world = room_for(4, vec![wanted("web", 4)]);
    world.limits.memory.build_bytes = 1024 * MIB;
    world.limits.memory.for_builds_bytes = 1024 * MIB;
    world.converge(|_| {});
    assert_eq!(world.up("web"), 2);
    let build = |number: u128| {
        let id = DynoId::from_uuid(Uuid::from_u128((1 << 100) + number));
        let expires_at = world.now + Duration::from_secs(3600);
        WantedOnce { kind: DynoKind::Build, ..once(id, expires_at, false) }
    };
    let (one, two) = (build(1), build(2));
    world.desired.one_offs = vec![one.clone(), two.clone()];
    let plan = world.plan();
    let begun = Action::Start(DynoSpec::Once(one.id));
    assert!(plan.actions.contains(&begun));
    assert!(plan.short.iter().any(|short| short.spec == DynoSpec::Once(two.id)));
}

#[test]
fn without_preboot_everything_is_replaced_at_once() {
    let mut world = World::new(desired(1, vec![wanted("web", 6)]));
    world.desired.apps[0].features.set(Feature::Preboot, Switch::Off);
    world.converge(|_| {});
    world.desired.apps[0].release = Some(release(2));
    let plan = world.plan();
    assert_eq!((starts(&plan).len(), stops(&plan).len()), (6, 6));
}

#[test]
fn what_is_merely_old_goes_one_by_one_where_there_is_a_gap() {
    let mut world = World::new(desired(1, vec![wanted("web", 5), wanted("worker", 5)]));
    world.desired.apps[0].features.set(Feature::Preboot, Switch::Off);
    world.converge(|_| {});
    world.later(Duration::from_secs(3 * 24 * 3600));
    let began = world.now;
    world.converge(|world| {
        assert!(world.up("web") >= 4 && world.up("worker") >= 4);
    });
    let young = world.count("web", |dyno| dyno.created_at >= began);
    assert_eq!(young, 5);
}
