//! The server is ended right behind every named step of what it does, and the next one goes on from
//! there. The steps are the server's own list: a new one is covered at once, and one that nothing
//! here reaches any more fails.

use std::fs;
use std::process::Child;

use model::Step;
use serde_json::{Value, json};
use testkit::http::get;
use testkit::wait;

use crate::bed::Bed;
use crate::binary;
use crate::small_app::PATIENCE;

/// With a release command, for that has steps of its own.
const PROCFILE: &str = "web: node server.js\nrelease: true\n";

/// The tests that share the steps.
const SHARES: usize = 4;

/// What is asked of the server, in this order, each when the last has come to rest.
const JOURNEY: [Deed; 7] = [
    Deed::Scale(2),
    Deed::Run,
    Deed::Destroy,
    Deed::Configure,
    Deed::Scale(1),
    Deed::Restart,
    Deed::Push,
];

#[derive(Clone, Copy, Debug)]
enum Deed {
    Scale(u32),
    Run,
    Destroy,
    Configure,
    Restart,
    Push,
}

/// Asks; answers git, if that is still at it. The server may die of it.
fn begin(bed: &Bed, deed: Deed) -> Result<Option<Child>, String> {
    let (api, nothing) = (&bed.api, &Value::Null);
    let answer = match deed {
        Deed::Push => return Ok(Some(bed.push())),
        Deed::Scale(quantity) => {
            let web = json!({"updates": [{"type": "web", "quantity": quantity}]});
            api.ask("PATCH", "/apps/demo/formation", &web)
        }
        Deed::Run => api.ask("POST", "/apps/demo/dynos", &json!({"command": "true"})),
        Deed::Destroy => {
            let doomed = api.ask("POST", "/apps", nothing)?;
            let id = doomed["id"].as_str().expect("an id");
            // As if it had been pushed to.
            let repository = bed.server.data_dir().join("repos").join(format!("{id}.git"));
            fs::create_dir_all(repository).expect("a directory");
            api.ask("DELETE", &format!("/apps/{id}"), nothing)
        }
        Deed::Configure => api.ask("PATCH", "/apps/demo/config-vars", &json!({"GREETING": "ahoy"})),
        Deed::Restart => api.ask("DELETE", "/apps/demo/dynos", nothing),
    };
    answer.map(|_| None)
}

/// Has the server do this until it is done; answers whether it died meanwhile.
fn dies_of(bed: &mut Bed, deed: Deed) -> bool {
    let begun = begin(bed, deed);
    let mut git = match begun {
        Ok(git) => git,
        Err(error) => {
            wait::until("the server's death", PATIENCE, || died(bed, &error));
            return true;
        }
    };
    let died = wait::until("an end", PATIENCE, || {
        if bed.server.has_aborted() {
            return Ok(true);
        }
        if let Some(git) = &mut git
            && git.try_wait().expect("git").is_none()
        {
            return Err("git is at it".to_owned());
        }
        bed.settled().map(|()| bed.server.has_aborted())
    });
    if let Some(mut git) = git {
        git.wait().expect("git ends");
    }
    died
}

fn died(bed: &mut Bed, error: &str) -> Result<(), String> {
    if bed.server.has_aborted() { Ok(()) } else { Err(error.to_owned()) }
}

/// Ends the server at this step, and sees what the next one makes of it.
fn crash_at(bed: &mut Bed, step: Step) {
    // The journey begins with one dyno, whatever the last one ended with.
    begin(bed, Deed::Scale(1)).expect("an answer");
    wait::until("one dyno", PATIENCE, || bed.settled());
    bed.server.stop();
    bed.server.start_again_to_crash_at(step.name());
    let deed = JOURNEY.into_iter().find(|&deed| bed.server.has_aborted() || dies_of(bed, deed));
    let Some(deed) = deed else { panic!("{step:?} was never reached") };
    #[allow(clippy::print_stdout, reason = "a failure is told apart by it")]
    {
        println!("{step:?} was reached in {deed:?}");
    }
    bed.server.start_again();
    bed.check();
}

/// Every fourth step from `first` on.
fn crash_at_share(first: usize) {
    let mut bed = Bed::new(PROCFILE);
    // Certificates have a journey of their own, in `acme`; rest has one below.
    let elsewhere = [Step::OF_CERTIFICATES, Step::OF_REST].concat();
    let here = Step::ALL.iter().filter(|step| !elsewhere.contains(step));
    for &step in here.skip(first).step_by(SHARES) {
        crash_at(&mut bed, step);
    }
    bed.check_log();
}

/// Ends the server at a step of its dyno's rest: which comes by itself, and ends with a request.
fn crash_in_rest_at(bed: &mut Bed, step: Step) {
    bed.server.stop();
    bed.server.start_again_to_crash_at(step.name());
    let address = bed.server.address();
    let request = || get(address, "demo.localhost", "/");
    let _first = request();
    wait::until("the server's death", PATIENCE, || {
        if bed.server.has_aborted() {
            return Ok(());
        }
        let dynos = bed.api.list("/apps/demo/dynos")?;
        if step == Step::DynoThawed && dynos.iter().any(|dyno| dyno["state"] == "idle") {
            let _woken = request();
        }
        Err(format!("{step:?} was not reached: {dynos:?}"))
    });
    bed.server.start_again();
    let answer = get(bed.server.address(), "demo.localhost", "/").expect("an answer");
    assert_eq!(answer.status, 200, "{step:?}: {answer:?}");
    bed.check_books();
    wait::until("everything as wanted, and awake", PATIENCE, || {
        let _woken = get(bed.server.address(), "demo.localhost", "/");
        bed.settled()
    });
}

#[test]
fn a_server_that_dies_around_a_frozen_dyno_finds_it_so_and_wakes_it() {
    let sleep = "[sleep]\nfreeze_after_seconds = 4\nreclaim_after_seconds = 1\n";
    let mut bed = Bed::with(binary(), sleep, "web: node server.js\n");
    let on = json!({"enabled": true});
    bed.api.ask("PATCH", "/apps/demo/features/dyno-suspend", &on).expect("an answer");
    for &step in Step::OF_REST {
        crash_in_rest_at(&mut bed, step);
    }
    bed.check_log();
    bed.tear_down();
}

#[test]
fn a_server_that_dies_behind_any_step_goes_on_there_first_share() {
    crash_at_share(0);
}

#[test]
fn a_server_that_dies_behind_any_step_goes_on_there_second_share() {
    crash_at_share(1);
}

#[test]
fn a_server_that_dies_behind_any_step_goes_on_there_third_share() {
    crash_at_share(2);
}

#[test]
fn a_server_that_dies_behind_any_step_goes_on_there_last_share() {
    crash_at_share(3);
}
