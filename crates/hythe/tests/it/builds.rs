//! Builds: cache, failure, hostile repositories.

use std::os::unix::fs::symlink;
use std::path::Path;

use testkit::{Person, Server};

use crate::server;

fn push(server: &Server, person: &Person, dir: &Path) -> (bool, String) {
    let remote = format!("https://localhost:{}/demo.git", server.address().port());
    let output = person.run(dir, "git", &["push", remote.as_str(), "main"]);
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_second_push_without_new_dependencies_reuses_the_cache() {
    let server = server();
    let person = server.person();
    let dir = person.example("node-express");
    let _created = person.heroku(&["create", "demo"]);
    let (first, transcript) = push(&server, &person, &dir);
    assert!(first, "{transcript}");
    std::fs::write(dir.join("NOTES"), "a change that is no dependency").expect("written");
    person.commit_all(&dir);
    let (second, transcript) = push(&server, &person, &dir);
    assert!(second, "{transcript}");
    assert!(transcript.contains("Using node_modules from the cache"), "{transcript}");
}

#[test]
fn symlinks_out_of_the_tree_lead_nowhere() {
    let server = server();
    let person = server.person();
    let dir = person.app(
        "hostile",
        &[
            ("package.json", r#"{"name":"x","version":"1.0.0","scripts":{"start":"node s.js"}}"#),
            ("s.js", "require('http').createServer((q, s) => s.end('x')).listen(process.env.PORT)"),
        ],
    );
    symlink("/etc/shadow", dir.join("shadow")).expect("a symlink");
    symlink("../../../../root", dir.join("root")).expect("a symlink");
    std::fs::write(dir.join("a\nb"), "a name with a newline").expect("written");
    person.commit_all(&dir);
    let _created = person.heroku(&["create", "demo"]);
    let (pushed, transcript) = push(&server, &person, &dir);
    if pushed {
        let shadow = person.heroku(&["run", "-a", "demo", "--", "cat shadow root/.bashrc; true"]);
        assert!(!shadow.contains("root:"), "{shadow}");
    } else {
        assert!(transcript.contains('!'), "{transcript}");
    }
}

#[test]
fn a_submodule_of_a_local_path_is_not_fetched() {
    let server = server();
    let person = server.person();
    let dir = person.app(
        "hostile",
        &[
            ("package.json", r#"{"name":"x","version":"1.0.0","scripts":{"start":"node s.js"}}"#),
            ("s.js", "require('http').createServer((q, s) => s.end('x')).listen(process.env.PORT)"),
            (".gitmodules", "[submodule \"etc\"]\n\tpath = etc\n\turl = file:///etc\n"),
        ],
    );
    let _created = person.heroku(&["create", "demo"]);
    let (pushed, transcript) = push(&server, &person, &dir);
    if pushed {
        let seen = person.heroku(&["run", "-a", "demo", "--", "ls -A etc 2>/dev/null; true"]);
        assert!(!seen.contains("passwd"), "{seen}");
    } else {
        assert!(transcript.contains('!'), "{transcript}");
    }
}
