//! The `release` process type: it runs before a release becomes current, or keeps it from that.

use serde_json::Value;
use testkit::Person;

use crate::server;
use crate::small_app;

const PROCFILE: &str = "\
web: node server.js
release: echo releasing \"$GREETING\" by $DYNO; sleep 1; test -z \"$FAIL\" || { echo no good; exit 3; }
";

fn latest(person: &Person) -> Value {
    let list = person.heroku(&["releases", "-a", "demo", "--json", "-n", "1"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    list[0].clone()
}

#[test]
fn a_failed_release_command_leaves_the_old_release_serving() {
    let server = server();
    let person = server.person();
    let dir = small_app::created(&person, PROCFILE);
    let _set = person.heroku(&["config:set", "GREETING=ahoy", "-a", "demo"]);

    let transcript = small_app::push(&server, &person, &dir);
    assert!(transcript.contains("Running release command..."), "{transcript}");
    assert!(transcript.contains("releasing ahoy by release."), "{transcript}");
    assert!(transcript.contains("Waiting for release.... done."), "{transcript}");
    let good = latest(&person);
    assert_eq!((&good["status"], &good["current"]), (&"succeeded".into(), &true.into()));
    let output = person.heroku(&["releases:output", "-a", "demo"]);
    assert!(output.contains("releasing ahoy by release."), "{output}");
    assert_eq!(small_app::answer(&server), "web.1\n");

    // The command of the second push fails. Its output says so; git, as with Heroku, does not.
    std::fs::write(dir.join("Procfile"), PROCFILE.replace("$FAIL", "always")).expect("written");
    person.commit_all(&dir);
    let transcript = small_app::push(&server, &person, &dir);
    assert!(transcript.contains("no good"), "{transcript}");
    assert!(transcript.contains("Waiting for release.... failed."), "{transcript}");
    let bad = latest(&person);
    assert_eq!((&bad["status"], &bad["current"]), (&"failed".into(), &false.into()));
    assert_eq!(bad["eligible_for_rollback"], false);
    let output = person.heroku(&["releases:output", "-a", "demo"]);
    assert!(output.contains("no good"), "{output}");

    let list = person.heroku(&["releases", "-a", "demo"]);
    assert!(list.contains(&format!("Current: v{}", good["version"])), "{list}");
    assert!(list.contains("release command failed"), "{list}");
    assert_eq!(small_app::answer(&server), "web.1\n");
    let dynos = person.heroku(&["ps", "-a", "demo", "--json"]);
    let dynos: Value = serde_json::from_str(&dynos).expect("JSON");
    let on: Vec<&Value> =
        dynos.as_array().expect("a list").iter().map(|dyno| &dyno["release"]["version"]).collect();
    assert_eq!(on, [&good["version"]], "{dynos}");
}
