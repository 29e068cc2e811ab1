//! The built-in buildpacks and the driver, run for real on the sample apps: with the machine's Node.js
//! and Python, real npm and pip, in a private view of the machine that has an `/app`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DRIVER: &str = include_str!("../src/driver.sh");

/// Shows this machine as it is, with an empty `/app` beside it, and goes there.
const VIEW: &str = r#"
set -e
root=$1
shift
mount -t tmpfs none "$root"
for path in /*; do
  if [ -L "$path" ]; then
    cp -a "$path" "$root/"
  elif [ -d "$path" ] && [ "$path" != /app ]; then
    mkdir "$root$path"
    mount --rbind "$path" "$root$path"
  fi
done
mkdir "$root/app"
exec chroot "$root" "$@"
"#;

/// One app with its cache, built as often as wanted.
struct App {
    dir: tempfile::TempDir,
    packs: PathBuf,
}

impl App {
    fn example(name: &str) -> Self {
        let app = Self::empty();
        let example = repository().join("examples").join(name);
        let copied = Command::new("cp").arg("-r").arg(example).arg(app.path("source")).status();
        assert!(copied.expect("cp runs").success());
        app
    }

    fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let packs = builds::install_buildpacks(dir.path()).expect("installed");
        for name in ["view", "cache", "env", "results"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        Self { dir, packs }
    }

    fn with(self, files: &[(&str, &str)]) -> Self {
        for (name, content) in files {
            let path = self.path("source").join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, content).expect("written");
        }
        self
    }

    fn config(self, name: &str, value: &str) -> Self {
        fs::write(self.path("env").join(name), value).expect("written");
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn answer(&self, name: &str) -> String {
        fs::read_to_string(self.path("results").join(name)).unwrap_or_default()
    }

    /// Lets all built-in buildpacks look at the app, builds it, and answers the transcript.
    fn build(&self) -> String {
        let names = builds::buildpack_names();
        let packs: Vec<_> = names.iter().map(|name| built_in(name)).collect();
        self.drive("auto", &packs)
    }

    fn drive(&self, mode: &str, packs: &[String]) -> String {
        fs::write(self.path("packs"), packs.concat()).expect("written");
        let tree = self.path("tree");
        let _ = fs::remove_dir_all(&tree);
        let copied = Command::new("cp").arg("-a").arg(self.path("source")).arg(&tree).status();
        assert!(copied.expect("cp runs").success());
        let output = self.inside("bash", ["-c", DRIVER, "driver.sh", mode].map(str::to_owned));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs a program in the view, as the build is run.
    fn inside(&self, program: &str, arguments: impl IntoIterator<Item = String>) -> Output {
        let authorities = "/etc/ssl/certs/ca-certificates.crt";
        Command::new("unshare")
            .args(["-rm", "bash", "-c", VIEW, "view"])
            .arg(self.path("view"))
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/app")
            .env("LANG", "C.UTF-8")
            .env("STACK", "heroku-24")
            .env("BUILD_DIR", self.path("tree"))
            .env("CACHE_DIR", self.path("cache"))
            .env("ENV_DIR", self.path("env"))
            .env("RESULTS", self.path("results"))
            .env("PACKS", self.path("packs"))
            .env("BUILT_IN", &self.packs)
            .envs(
                ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT"]
                    .map(|name| (name, authorities)),
            )
            .output()
            .expect("unshare (util-linux) runs")
    }

    /// Runs a shell command in a dyno's way: the tree is at `/app`, the profile is sourced.
    fn run(&self, command: &str) -> String {
        let script = format!(
            "mount --bind {tree} /app && cd /app && for file in .profile.d/*.sh; do . \"$file\"; done; {command}",
            tree = self.path("tree").display()
        );
        let output = self.inside("bash", ["-c".to_owned(), script]);
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

/// The driver's line for a built-in buildpack.
fn built_in(name: &str) -> String {
    let dir = name.strip_prefix("heroku/").expect("a built-in one");
    format!("built-in\t{name}\t{dir}\t\n")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lines of `transcript` that begin a step, so that what npm and pip say does not matter.
fn steps(transcript: &str) -> Vec<&str> {
    transcript.lines().filter(|line| line.starts_with("----->")).collect()
}

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
fn the_flask_app_is_built_and_runs_where_dynos_have_it() {
    let app = App::example("python-flask");
    let first = app.build();
    assert!(first.contains("-----> Python app detected"), "{first}");
    assert_eq!(app.answer("outcome"), "compiled", "{first}");
    let second = app.build();
    assert!(second.contains("-----> Restoring cache"), "{second}");
    assert!(!second.contains("Downloading"), "{second}");
    let said =
        app.run("gunicorn --check-config app:app && command -v gunicorn && echo $WEB_CONCURRENCY");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "/app/.heroku/python/bin/gunicorn");
    assert!(lines[1].parse::<u32>().is_ok_and(|count| count >= 1));
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
fn a_node_version_that_the_stack_lacks_is_refused_with_what_there_is() {
    let package = r#"{ "engines": { "node": "0.10.x" } }"#;
    let app = App::empty().with(&[("package.json", package)]);
    let transcript = app.build();
    assert!(
        transcript.contains(" !     package.json asks for Node.js 0.10.x (engines.node),"),
        "{transcript}"
    );
    assert!(transcript.contains(" !     but this stack has Node.js "), "{transcript}");
    assert_eq!(app.answer("outcome"), "compile-failed");
    assert_eq!(app.answer("language"), "Node.js");
}

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
    assert!(
        two.build().contains(" !     Two lock files were found: package-lock.json and yarn.lock.")
    );
    let yarn = App::empty().with(&[("package.json", "{}"), ("yarn.lock", "")]);
    assert!(yarn.build().contains("this buildpack installs with npm only so far"));
    let poetry = App::empty().with(&[("poetry.lock", "")]);
    assert!(poetry.build().contains("this buildpack installs with pip only so far"));
}

#[test]
fn a_python_version_that_the_stack_lacks_is_refused_with_what_there_is() {
    for (file, text) in [(".python-version", "# old\n2.7\n"), ("runtime.txt", "python-3.4.1\n")] {
        let app = App::empty().with(&[("requirements.txt", ""), (file, text)]);
        let transcript = app.build();
        assert!(transcript.contains(&format!(" !     {file} asks for Python")), "{transcript}");
        assert!(transcript.contains(" !     It has: 3."), "{transcript}");
        assert_eq!(app.answer("outcome"), "compile-failed");
    }
}

#[test]
fn djangos_static_files_are_collected_unless_that_is_switched_off() {
    let settings = "SECRET_KEY='x'\nINSTALLED_APPS=['django.contrib.staticfiles']\n\
                    STATIC_URL='s/'\nSTATIC_ROOT='/app/collected'\nimport os\n\
                    STATICFILES_DIRS=[os.path.join(os.path.dirname(os.path.dirname(__file__)), 'assets')]\n\
                    STATIC_ROOT=os.path.join(os.path.dirname(os.path.dirname(__file__)), 'collected')\n";
    let manage = "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\n\
                  from django.core.management import execute_from_command_line\n\
                  execute_from_command_line(sys.argv)\n";
    let files = [
        ("requirements.txt", "django>=4.2,<5.3\n"),
        ("manage.py", manage),
        ("site1/__init__.py", ""),
        ("site1/settings.py", settings),
        ("site1/wsgi.py", ""),
        ("assets/a.css", "a {}"),
    ];
    let app = App::empty().with(&files);
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    assert!(
        transcript.contains("-----> $ python manage.py collectstatic --noinput"),
        "{transcript}"
    );
    assert!(transcript.contains("web: gunicorn site1.wsgi"), "{transcript}");
    assert!(app.path("tree/collected/a.css").exists(), "{transcript}");
    let app = app.config("DISABLE_COLLECTSTATIC", "1");
    assert!(app.build().contains("Skipping: DISABLE_COLLECTSTATIC is set."));
    assert!(!app.path("tree/collected").exists());
}

#[test]
fn a_package_installed_in_place_is_found_where_dynos_have_it() {
    let setup = "from setuptools import setup\nsetup(name='inplace', version='1', py_modules=['inplace'])\n";
    let files = [("setup.py", setup), ("inplace.py", "answer = 42\n")];
    let app = App::empty().with(&files);
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    assert_eq!(
        app.run("cd / && PYTHONPATH= python -c 'import inplace; print(inplace.answer)'"),
        "42\n"
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
