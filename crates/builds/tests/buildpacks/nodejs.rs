//! Node.js, for real: npm, Yarn and pnpm with the npm registry.

use crate::rig::{App, steps};

#[test]
fn the_express_app_is_built_and_its_second_build_reuses_the_modules() {
    let app = App::example("node-express").config("GREETING", "hi\n");
    let first = app.build();
    assert_eq!(
        steps(&first),
        [
            "-----> Determining which buildpack to use for this app",
            "-----> Node.js app detected",
            "-----> Creating runtime environment",
            "-----> Installing binaries",
            "-----> Restoring cache",
            "-----> Installing dependencies",
            "-----> Caching node_modules",
            "-----> Build",
            "-----> Pruning devDependencies",
            "-----> Build succeeded!",
        ],
        "{first}"
    );
    assert_eq!(app.answer("outcome"), "compiled");
    assert_eq!(app.answer("language"), "Node.js");
    let second = app.build();
    assert!(second.contains("Using node_modules from the cache"), "{second}");
    let said = app.run("node -e 'require(\"express\"); console.log(process.env.NODE_ENV, process.env.WEB_CONCURRENCY > 0)'");
    assert_eq!(said, "production true\n");
}

#[test]
fn scripts_run_in_order_with_config_vars_and_development_packages_are_pruned() {
    let package = r#"{
        "main": "it's.js",
        "scripts": {
            "heroku-prebuild": "echo 1-prebuild",
            "build": "echo never",
            "heroku-postbuild": "node -e \"require('ms'); console.log('2-postbuild ' + JSON.stringify(process.env.value))\"",
            "heroku-cleanup": "echo 3-cleanup; ls node_modules"
        },
        "devDependencies": { "ms": "2.1.3" }
    }"#;
    // A config var named as a variable of the scripts, ending in line feeds.
    let app = App::empty()
        .with(&[("package.json", package), ("it's.js", "")])
        .config("value", "a $HOME \"q\" é\n\n")
        .config("build_dir", "/nowhere");
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    let at = |text: &str| transcript.find(text).unwrap_or_else(|| panic!("{text}: {transcript}"));
    assert!(at("1-prebuild") < at(r#"2-postbuild "a $HOME \"q\" é\n\n""#));
    assert!(at("2-postbuild \"") < at("       3-cleanup\n"));
    assert!(!transcript.contains("       never\n"));
    assert!(!app.path("tree/node_modules/ms").exists());
    let release = app.answer("release.yml");
    assert!(release.contains(r#"{"web":"node 'it'\\''s.js'"}"#), "{release}");
}

#[test]
fn a_node_version_that_nobody_has_is_refused() {
    let package = r#"{ "engines": { "node": "0.9.x" } }"#;
    let app = App::empty().with(&[("package.json", package)]);
    let transcript = app.build();
    assert!(
        transcript.contains(" !     package.json asks for Node.js 0.9.x (engines.node),"),
        "{transcript}"
    );
    assert!(transcript.contains(" !     but this stack has Node.js "), "{transcript}");
    assert_eq!(app.answer("outcome"), "compile-failed");
    assert_eq!(app.answer("language"), "Node.js");
}

#[test]
fn the_node_and_npm_that_an_app_asks_for_are_installed_and_kept() {
    let package = r#"{
        "engines": { "node": "14.x", "npm": "6.x" },
        "scripts": { "build": "node --version > built; npm --version >> built" },
        "dependencies": { "ms": "2.1.3" }
    }"#;
    let app = App::empty().with(&[("package.json", package)]);
    let first = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{first}");
    assert!(first.contains("       Downloading and installing node 14."), "{first}");
    let said = app.run("node --version; npm --version; cat built; node -e 'require(\"ms\")'");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("v14.") && lines[1].starts_with("6."), "{said}");
    assert_eq!(lines[..2], lines[2..], "the build has what the dyno has");
}

/// Locks of one real package that is needed and one that only development needs.
const YARN_LOCK: &str = "# yarn lockfile v1\n\n\nms@2.1.2:\n  version \"2.1.2\"\n\nms3@npm:ms@2.1.3:\n  version \"2.1.3\"\n";

#[test]
fn yarn_installs_what_its_lock_says_and_prunes() {
    let package = r#"{
        "scripts": { "build": "node -e \"require('ms3')\"", "start": "yarn --version" },
        "dependencies": { "ms": "2.1.2" },
        "devDependencies": { "ms3": "npm:ms@2.1.3" }
    }"#;
    let app = App::empty().with(&[("package.json", package), ("yarn.lock", YARN_LOCK)]);
    let first = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{first}");
    assert!(first.contains("       Installing node modules (yarn.lock)"), "{first}");
    assert!(!app.path("tree/node_modules/ms3").exists(), "{first}");
    let said = app.run("node -p 'require(\"ms/package.json\").version'; yarn --version");
    assert!(said.starts_with("2.1.2\n1."), "{said}");
    let second = app.build();
    assert!(second.contains("Using node_modules from the cache"), "{second}");
}

#[test]
fn the_yarns_since_the_first_install_too() {
    let package = r#"{
        "packageManager": "yarn@4.5.0",
        "dependencies": { "ms": "2.1.2" },
        "devDependencies": { "ms3": "npm:ms@2.1.3" }
    }"#;
    for (rc, linked) in [("nodeLinker: node-modules\n", true), ("", false)] {
        let app = App::empty().with(&[("package.json", package), (".yarnrc.yml", rc)]);
        // Its lock holds checksums: it is made as a developer makes it.
        app.lock_with("@yarnpkg/cli-dist@4.5.0", "yarn");
        let transcript = app.build();
        assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
        assert_eq!(app.path("tree/node_modules/ms").exists(), linked, "{transcript}");
        assert!(!app.path("tree/node_modules/ms3").exists(), "{transcript}");
        let said = app.run("yarn node -p 'require(\"ms/package.json\").version'");
        assert!(said.ends_with("2.1.2\n"), "{said}");
    }
}

#[test]
fn pnpm_installs_what_its_lock_says_and_prunes() {
    let package = r#"{
        "engines": { "pnpm": "9.x" },
        "scripts": { "build": "node -e \"require('ms3')\"" },
        "dependencies": { "ms": "2.1.2" },
        "devDependencies": { "ms3": "npm:ms@2.1.3" }
    }"#;
    let app = App::empty().with(&[("package.json", package)]);
    app.lock_with("pnpm@9", "pnpm");
    let first = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{first}");
    assert!(!app.path("tree/node_modules/ms3").exists(), "{first}");
    let said = app.run("node -p 'require(\"ms/package.json\").version'; pnpm --version");
    assert!(said.starts_with("2.1.2\n9."), "{said}");
    assert!(app.build().contains("Using node_modules from the cache"));
}
