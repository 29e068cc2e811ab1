//! What every build goes through, whatever its language.

use std::fs;

use crate::rig::{App, built_in};

#[test]
fn an_impossible_package_fails_the_build() {
    let package = r#"{ "dependencies": { "ms": "999.0.0" } }"#;
    let app = App::empty().with(&[("package.json", package)]);
    let transcript = app.build();
    assert!(transcript.contains("ETARGET"), "{transcript}");
    assert_eq!(app.answer("outcome"), "compile-failed");
    let app = App::empty().with(&[("requirements.txt", "flask==999.0\n")]);
    let transcript = app.build();
    assert!(transcript.contains("No matching distribution found for flask==999.0"), "{transcript}");
    assert_eq!(app.answer("outcome"), "compile-failed");
}

#[test]
fn broken_and_contradictory_sources_are_named() {
    let broken = App::empty().with(&[("package.json", "{ nope")]);
    assert!(broken.build().contains(" !     package.json or its lock file could not be read:"));
    let two = App::empty().with(&[
        ("package.json", "{}"),
        ("package-lock.json", "{}"),
        ("yarn.lock", ""),
    ]);
    assert!(two.build().contains(
        " !     Lock files of several package managers were found: package-lock.json, yarn.lock."
    ));
    let bun = App::empty().with(&[("package.json", "{}"), ("bun.lock", "")]);
    assert!(bun.build().contains("this buildpack installs with npm, Yarn or pnpm"));
    let several = App::empty().with(&[("requirements.txt", ""), ("uv.lock", "")]);
    let transcript = several.build();
    assert!(
        transcript
            .contains(" !     Files of several package managers were found: pip uv. Using pip.")
    );
}

#[test]
fn several_buildpacks_run_in_order_and_the_export_of_one_reaches_the_next() {
    let pack = |app: &App, name: &str, compile: &str| {
        let dir = app.path(name);
        fs::create_dir_all(dir.join("bin")).expect("made");
        let release = format!("echo 'default_process_types: {{ web: {name} }}'");
        for (script, body) in [
            ("detect", &format!("echo {name}")),
            ("compile", &compile.to_owned()),
            ("release", &release),
        ] {
            let path = dir.join("bin").join(script);
            fs::write(&path, format!("#!/bin/bash\n{body}\n")).expect("written");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(path, mode).expect("runnable");
        }
        // Below the built-in ones, by a path that leads out of their directory.
        format!("built-in\t{name}\t../{name}\t\n")
    };
    let app = App::empty().with(&[("x", "")]);
    let one = pack(
        &app,
        "one",
        "echo 'export SAID=\"by one\"' > \"$(dirname \"$0\")/../export\"; echo -n \"$1\" > \"$2/seen\"",
    );
    let two = pack(
        &app,
        "two",
        "echo \"       SAID is $SAID, RESULTS is ${RESULTS:-hidden}\"; cat \"$2/seen\" > \"$1/seen\"",
    );
    let transcript = app.drive("set", &[one, two]);
    assert_eq!(
        transcript,
        "-----> Using buildpacks:\n       1. one\n       2. two\n-----> one app detected\n\
         -----> two app detected\n       SAID is by one, RESULTS is hidden\n"
    );
    assert_eq!(app.answer("language"), "two");
    assert!(app.answer("release.yml").contains("web: two"));
    assert_eq!(
        fs::read_to_string(app.path("tree/seen")).expect("there"),
        app.path("tree").display().to_string()
    );
}

#[test]
fn what_nobody_knows_and_what_several_know_is_said() {
    let unknown = App::empty().with(&[("README", "")]);
    assert_eq!(unknown.build(), "-----> Determining which buildpack to use for this app\n");
    assert_eq!(unknown.answer("outcome"), "undetected");
    let transcript = unknown.drive("set", &[built_in("heroku/python")]);
    assert_eq!(transcript, "-----> Using buildpack: heroku/python\n");
    assert_eq!(unknown.answer("outcome"), "incompatible");
    assert_eq!(unknown.answer("pack"), "heroku/python");
    let both = App::empty().with(&[("package.json", "{}"), ("requirements.txt", "")]);
    let transcript = both.build();
    assert!(transcript.contains(" !     Detected buildpacks: Node.js,Python\n"), "{transcript}");
    assert_eq!(both.answer("language"), "Node.js");
}

#[test]
fn an_app_with_nothing_but_a_procfile_runs_as_it_is() {
    let app = App::empty().with(&[("Procfile", "web: sh serve.sh\n"), ("serve.sh", "")]);
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    assert_eq!(app.answer("language"), "Procfile");
    let node = app.with(&[("package.json", "{}")]);
    let transcript = node.build();
    assert!(!transcript.contains("Multiple default buildpacks"), "{transcript}");
    assert_eq!(node.answer("language"), "Node.js");
}
