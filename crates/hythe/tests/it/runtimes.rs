//! The OCI runtime is a setting, and one that dies in mid-start is no end of the dyno.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::wait;

use crate::bed::Bed;
use crate::binary;
use crate::small_app::PATIENCE;

const PROCFILE: &str = "web: node server.js\nrelease: echo released\n";

/// Starts `program` and takes down what it was asked to do.
fn written_down(place: &Path, program: &str) -> (PathBuf, PathBuf) {
    let notes = place.join("notes");
    let script = format!("#!/bin/sh\necho \"$*\" >> {}\nexec {program} \"$@\"\n", notes.display());
    (executable(place, "runtime", &script), notes)
}

fn executable(place: &Path, name: &str, script: &str) -> PathBuf {
    let path = place.join(name);
    fs::write(&path, script).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

#[test]
fn an_app_lives_its_whole_life_with_runc() {
    let place = tempfile::tempdir().expect("a directory");
    let (runtime, notes) = written_down(place.path(), "/usr/bin/runc");
    // The push has built it in a dyno, its release command has run in one, and it answers.
    let bed = Bed::with(binary(), &format!("runtime = {runtime:?}\n"), PROCFILE);
    bed.check();

    let run = |args: &[&str]| bed.person.run(bed.person.home(), "heroku", args);
    let said = run(&["run", "-a", "demo", "--no-tty", "-x", "--", "echo $DYNO; exit 3"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.lines().any(|line| line.starts_with("run.")), "{said:?}");
    assert_eq!(said.status.code(), Some(3), "{said:?}");
    let inside = ["run:inside", "web.1", "-a", "demo", "--", "echo $DYNO $(id -u)"];
    let said = bed.person.heroku(&inside);
    assert!(said.lines().any(|line| line.trim() == "web.1 1000"), "{said}");
    let lines = bed.person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    assert!(lines.contains("app[release.") && lines.contains("released"), "{lines}");

    bed.api.ask("DELETE", "/apps/demo/dynos", &Value::Null).expect("an answer");
    bed.check();
    bed.check_log();
    bed.tear_down();
    let notes = fs::read_to_string(notes).expect("the runtime was called");
    for verb in [" run ", " exec ", " delete "] {
        assert!(notes.lines().any(|line| line.contains(verb)), "{verb}: {notes}");
    }
}

#[test]
fn a_runtime_that_is_killed_in_mid_start_is_tried_again() {
    let place = tempfile::tempdir().expect("a directory");
    let doom = place.path().join("doom");
    // While the file is there, the runtime lives so many seconds, and takes the file with it.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*' run '*)\n  if seconds=$(cat {doom} 2>/dev/null); then\n    \
         rm {doom}; exec timeout --foreground -s KILL $seconds /usr/bin/crun \"$@\"\n  fi;;\n\
         esac\nexec /usr/bin/crun \"$@\"\n",
        doom = doom.display(),
    );
    let runtime = executable(place.path(), "runtime", &script);
    let bed = Bed::with(binary(), &format!("runtime = {runtime:?}\n"), "web: node server.js\n");
    for seconds in ["0.001", "0.004", "0.008"] {
        fs::write(&doom, seconds).expect("a file");
        bed.api.ask("DELETE", "/apps/demo/dynos", &Value::Null).expect("an answer");
        wait::until("the runtime's end", PATIENCE, || {
            if doom.exists() { Err("it was not called".to_owned()) } else { Ok(()) }
        });
        bed.check();
    }
    let log = bed.server.log();
    let faults: Vec<_> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(faults.iter().all(|fault| fault.contains("start the container")), "{faults:#?}");
    bed.tear_down();
}
