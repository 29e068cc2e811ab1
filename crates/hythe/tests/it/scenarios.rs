//! The scenario files, one test each.

use testkit::Scenario;

use crate::{scenarios_dir, server};

/// Plays a scenario with a server of its own.
#[track_caller]
fn play(name: &str) {
    let server = server();
    let person = server.person();
    let scenario = Scenario::read(&scenarios_dir().join(name).with_extension("txt"));
    for example in ["node-express", "python-flask"] {
        let _copied = person.example(example);
    }
    scenario.play(&person, person.home());
}

macro_rules! scenarios {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])* #[test] fn $name() { play(stringify!($name)); })*

        const PLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    a_node_app_goes_live_by_git_push;
    a_python_app_with_a_worker;
    config_vars;
    releases_and_rollback;
    logs;
    one_off_dynos;
    apps;
    scaling;
    builds_that_fail;
    the_native_client;
}

#[test]
fn no_scenario_is_forgotten() {
    let mut files: Vec<String> = std::fs::read_dir(scenarios_dir())
        .expect("the scenarios")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut played: Vec<String> = PLAYED.iter().map(|&name| name.to_owned()).collect();
    played.sort();
    assert_eq!(files, played);
}
