//! Features of apps, as the official CLI switches them; an app's own boot time-out.

use testkit::wait;

use crate::server;
use crate::small_app::{self, PATIENCE};

#[test]
fn features_are_listed_and_switched_by_the_official_client() {
    let server = server();
    let person = server.person();
    let _created = person.heroku(&["create", "demo"]);
    let general = person.heroku(&["features", "-a", "demo"]);
    assert!(general.contains("[+] preboot") && !general.contains("log-runtime"), "{general}");
    let labs = person.heroku(&["labs", "-a", "demo"]);
    for name in ["dyno-suspend", "log-runtime-metrics", "runtime-dyno-metadata"] {
        assert!(labs.contains(&format!("[ ] {name}")), "{labs}");
    }
    let _off = person.heroku(&["features:disable", "preboot", "-a", "demo"]);
    let _on = person.heroku(&["labs:enable", "runtime-dyno-metadata", "-a", "demo"]);
    assert!(person.heroku(&["features", "-a", "demo"]).contains("[ ] preboot"));
    assert!(person.heroku(&["labs", "-a", "demo"]).contains("[+] runtime-dyno-metadata"));
    let info = person.heroku(&["labs:info", "runtime-dyno-metadata", "-a", "demo"]);
    assert!(info.contains("HEROKU_ variables"), "{info}");
    let unknown =
        person.run(person.home(), "heroku", &["features:info", "telepathy", "-a", "demo"]);
    assert!(!unknown.status.success());
    // Switching makes no release.
    assert_eq!(
        person.heroku(&["releases", "-a", "demo", "--json"]).matches("\"version\"").count(),
        2
    );
}

#[test]
fn dynos_are_told_about_themselves_when_their_app_wants_that() {
    let server = server();
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\n");
    let _transcript = small_app::push(&server, &person, &dir);
    let ask = ["run", "-a", "demo", "--no-tty", "--", "env | grep ^HEROKU_ | sort; echo ."];
    assert_eq!(person.heroku(&ask).trim(), ".");
    let _on = person.heroku(&["labs:enable", "runtime-dyno-metadata", "-a", "demo"]);
    assert_eq!(person.heroku(&ask).trim(), ".", "it begins with the next release");
    let _set = person.heroku(&["config:set", "GREETING=ahoy", "-a", "demo"]);
    let commit = person.run(&dir, "git", &["rev-parse", "HEAD"]);
    let commit = String::from_utf8_lossy(&commit.stdout).trim().to_owned();
    let told = person.heroku(&ask);
    for line in [
        "HEROKU_APP_DEFAULT_DOMAIN_NAME=demo.localhost".to_owned(),
        "HEROKU_APP_NAME=demo".to_owned(),
        "HEROKU_RELEASE_VERSION=v4".to_owned(),
        format!("HEROKU_SLUG_COMMIT={commit}"),
        format!("HEROKU_SLUG_DESCRIPTION=Deploy {}", &commit[..8]),
    ] {
        assert!(told.lines().any(|one| one == line), "no {line} in\n{told}");
    }
    for name in ["HEROKU_APP_ID=", "HEROKU_DYNO_ID=", "HEROKU_RELEASE_CREATED_AT=20"] {
        assert!(told.lines().any(|one| one.starts_with(name)), "no {name} in\n{told}");
    }
    // A build is told of the release before its own.
    let script =
        r#"{"name":"small","version":"1.0.0","scripts":{"build":"env | grep ^HEROKU_REL"}}"#;
    std::fs::write(dir.join("package.json"), script).expect("written");
    person.commit_all(&dir);
    let transcript = small_app::push(&server, &person, &dir);
    assert!(transcript.contains("HEROKU_RELEASE_VERSION=v4"), "{transcript}");
}

#[test]
fn a_boot_that_fails_is_explained_and_an_app_has_its_own_limit() {
    let server = server();
    let person = server.person();
    let procfile = "web: echo I begin; sleep 1000\nworker: true\n";
    let dir = small_app::created(&person, procfile);
    let short = person.run(person.home(), "hythe", &["ps:boot-timeout", "9", "-a", "demo"]);
    assert!(!short.status.success());
    let own = person.run(person.home(), "hythe", &["ps:boot-timeout", "10", "-a", "demo"]);
    assert!(own.status.success(), "{own:?}");
    let _transcript = small_app::push(&server, &person, &dir);
    let lines = wait::until("R10", PATIENCE, || {
        let lines = person.heroku(&["logs", "-a", "demo", "--num", "200"]);
        if lines.contains("Error R10") { Ok(lines) } else { Err(lines) }
    });
    assert!(lines.contains("failed to bind to $PORT within 10 seconds of launch"), "{lines}");
    assert!(lines.contains("app[web.1]: I begin"), "{lines}");
    assert!(lines.contains("Nothing listened on 1"), "{lines}");

    let broken = "web: echo no such module >&2; exit 3\n";
    std::fs::write(dir.join("Procfile"), broken).expect("written");
    person.commit_all(&dir);
    let _transcript = small_app::push(&server, &person, &dir);
    let lines = wait::until("the explanation", PATIENCE, || {
        let lines = person.heroku(&["logs", "-a", "demo", "--num", "200"]);
        let told = lines.contains("Web process ended before it listened on 1");
        if told { Ok(lines) } else { Err(lines) }
    });
    assert!(lines.contains("app[web.1]: no such module"), "{lines}");
    assert!(lines.contains("heroku[web.1]: Process exited with status 3"), "{lines}");
}
