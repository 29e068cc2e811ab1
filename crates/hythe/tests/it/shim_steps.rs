//! A dyno's shim kills itself behind every named step of its life; the server notices, nothing is
//! left, and another dyno takes the place. The steps are the shim's own list.

use sandbox::Step;
use serde_json::Value;
use testkit::wait;

use crate::bed::Bed;
use crate::small_app::PATIENCE;

/// The tests that share the steps.
const SHARES: usize = 2;

/// How many shims the server has seen killed.
fn killed(bed: &Bed) -> usize {
    bed.server.log().matches("a dyno's shim was killed").count()
}

/// The first restart starts the shim that is to die; if that lives, the second has it end.
fn lose_a_shim_at(bed: &mut Bed, step: Step) {
    bed.server.stop();
    let before = killed(bed);
    bed.server.start_again_with(&["--crash-shim-at", step.name()]);
    for _ in 0..2 {
        if killed(bed) == before {
            bed.api.ask("DELETE", "/apps/demo/dynos", &Value::Null).expect("an answer");
            bed.check();
        }
    }
    wait::until("the shim's death", PATIENCE, || {
        let dead = killed(bed) - before;
        if dead == 1 { Ok(()) } else { Err(format!("{dead} shims were killed at {step:?}")) }
    });
    bed.check();
}

fn lose_a_share_of_shims(first: usize) {
    let mut bed = Bed::new("web: node server.js\n");
    for &step in Step::ALL.iter().skip(first).step_by(SHARES) {
        lose_a_shim_at(&mut bed, step);
    }
    let log = bed.server.log();
    assert!(!log.contains("could not clean up"), "{log}");
    bed.tear_down();
}

#[test]
fn a_dyno_whose_shim_dies_behind_any_step_is_started_anew_first_share() {
    lose_a_share_of_shims(0);
}

#[test]
fn a_dyno_whose_shim_dies_behind_any_step_is_started_anew_last_share() {
    lose_a_share_of_shims(1);
}
