//! Buildpacks that are fetched.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::rig::App;

/// A buildpack that nobody here knows, in a repository served by git's own server.
struct Elsewhere {
    dir: tempfile::TempDir,
    server: std::process::Child,
    port: u16,
}

impl Elsewhere {
    /// The branch `main` says v2; the tag `v1` an older word.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("pack");
        fs::create_dir_all(place.join("bin")).expect("made");
        let git = |arguments: &[&str]| {
            let status = Command::new("git")
                .args([
                    "-C",
                    &place.display().to_string(),
                    "-c",
                    "user.name=a",
                    "-c",
                    "user.email=a@x",
                ])
                .args(arguments)
                .status();
            assert!(status.expect("git runs").success());
        };
        git(&["init", "-q", "-b", "main"]);
        for word in ["v1", "v2"] {
            for (script, body) in
                [("detect", "echo Custom"), ("compile", &*format!("echo '       says {word}'"))]
            {
                let path = place.join("bin").join(script);
                fs::write(&path, format!("#!/bin/bash\n{body}\n")).expect("written");
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                fs::set_permissions(path, mode).expect("runnable");
            }
            git(&["add", "."]);
            git(&["commit", "-qm", word]);
            git(&["tag", word]);
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        // Not through `git`, which would leave the daemon behind when it is killed.
        let programs = Command::new("git").arg("--exec-path").output().expect("git runs").stdout;
        let programs = String::from_utf8(programs).expect("text");
        let server = Command::new(Path::new(programs.trim()).join("git-daemon"))
            .args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", dir.path().display()))
            .arg(dir.path())
            .spawn()
            .expect("git daemon runs");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { dir, server, port }
    }

    fn line(&self, reference: &str) -> String {
        format!("git\tthe-name\tgit://127.0.0.1:{}/pack\t{reference}\n", self.port)
    }

    fn commit_of(&self, tag: &str) -> String {
        let place = self.dir.path().join("pack").display().to_string();
        let said = Command::new("git").args(["-C", &place, "rev-parse", tag]).output();
        String::from_utf8(said.expect("git runs").stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_buildpack_comes_from_a_repository_by_branch_tag_or_commit() {
    let (app, elsewhere) = (App::empty().with(&[("x", "")]), Elsewhere::new());
    let commit = elsewhere.commit_of("v1");
    for (reference, word) in [("", "v2"), ("main", "v2"), ("v1", "v1"), (&*commit, "v1")] {
        assert_eq!(
            app.drive("set", &[elsewhere.line(reference)]),
            format!(
                "-----> Using buildpack: the-name\n-----> Fetching custom git buildpack... done\n\
                 -----> Custom app detected\n       says {word}\n"
            )
        );
        assert_eq!(app.answer("outcome"), "compiled");
        assert_eq!(app.answer("language"), "Custom");
    }
}

#[test]
fn a_buildpack_that_cannot_be_fetched_is_named_without_its_password() {
    let (app, elsewhere) = (App::empty().with(&[("x", "")]), Elsewhere::new());
    let transcript = app.drive("set", &[elsewhere.line("no-such-branch")]);
    assert!(
        transcript.contains("-----> Fetching custom git buildpack... failed\n"),
        "{transcript}"
    );
    assert_eq!(app.answer("outcome"), "fetch-failed");
    assert_eq!(app.answer("pack"), "the-name");
    // Nothing listens at port 1.
    let line = "archive\tx\thttp://me:secret@127.0.0.1:1/x.tgz\t\n".to_owned();
    let transcript = app.drive("set", &[line]);
    assert!(
        transcript.contains("-----> Fetching custom tar buildpack... failed\n"),
        "{transcript}"
    );
    let line = "git\tx\thttp://me:secret@127.0.0.1:1/x\t\n".to_owned();
    let said = format!("{transcript}{}", app.drive("set", &[line]));
    assert!(said.contains("127.0.0.1") && !said.contains("secret"), "{said}");
}

/// Serves one directory's files by the plainest HTTP until the test ends.
fn serve(dir: &Path) -> u16 {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepted");
            let mut lines = BufReader::new(stream.try_clone().expect("cloned")).lines();
            let first = lines.next().expect("a line").expect("read");
            let head = lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
            head.for_each(drop);
            let path = first.split(' ').nth(1).expect("a path").split('?').next().expect("one");
            let (status, body) = match fs::read(dir.join(path.trim_start_matches('/'))) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).expect("sent");
        }
    });
    port
}

#[test]
fn a_buildpack_comes_from_an_archive_with_or_without_a_directory_at_its_top() {
    let (app, elsewhere) = (App::empty().with(&[("x", "")]), Elsewhere::new());
    let root = elsewhere.dir.path();
    for (name, from, what) in [("flat", "pack", "bin"), ("top", ".", "pack")] {
        let made = Command::new("tar")
            .arg("-czf")
            .arg(root.join(format!("{name}.tgz")))
            .arg("-C")
            .arg(root.join(from))
            .arg(what)
            .status();
        assert!(made.expect("tar runs").success());
    }
    let port = serve(root);
    for name in ["flat", "top"] {
        let line = format!("archive\t{name}\thttp://127.0.0.1:{port}/{name}.tgz?v=2\t\n");
        assert_eq!(
            app.drive("set", &[line]),
            format!(
                "-----> Using buildpack: {name}\n-----> Fetching custom tar buildpack... done\n\
                 -----> Custom app detected\n       says v2\n"
            )
        );
    }
    // A server that hands out files only: git must take everything to find a commit.
    let packed =
        Command::new("git").arg("-C").arg(root.join("pack")).arg("update-server-info").status();
    assert!(packed.expect("git runs").success());
    let commit = elsewhere.commit_of("v1");
    let line = format!("git\tplain\thttp://127.0.0.1:{port}/pack/.git\t{commit}\n");
    assert!(app.drive("set", &[line]).ends_with("       says v1\n"));
}

#[test]
fn a_source_comes_from_a_repository_with_its_commit_and_without_its_history() {
    let (app, elsewhere) = (App::empty().with(&[("x", "")]), Elsewhere::new());
    let said = app.drive("source", &[elsewhere.line("v1")]);
    assert_eq!(said, "-----> Fetching source... done\n");
    assert_eq!(app.answer("commit").trim(), elsewhere.commit_of("v1"));
    let listed = Command::new("tar").arg("-tzf").arg(app.path("results/source.tgz")).output();
    let listed = String::from_utf8(listed.expect("tar runs").stdout).expect("text");
    assert!(listed.contains("./bin/compile") && !listed.contains(".git"), "{listed}");
    let said = app.drive("source", &[elsewhere.line("nowhere")]);
    assert!(said.starts_with("-----> Fetching source... failed\n"), "{said}");
    assert_eq!(app.answer("outcome"), "fetch-failed");
}
