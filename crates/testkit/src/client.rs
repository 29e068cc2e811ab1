//! Somebody at a shell: their own home directory, git, curl and the official CLI.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::server::Server;

/// Where the test command installs the pinned official CLI.
const CLI_DIR: &str = "/var/tmp/hythe-test-cli";

/// A person with a home directory, logged in to one server by token.
pub struct Person {
    home: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Person {
    pub(crate) fn new(server: &Server) -> Self {
        let home = tempfile::Builder::new().prefix("hythe-home-").tempdir().expect("a home");
        let env = environment(server, home.path());
        let person = Self { home, env };
        person.configure_git(server);
        person.accept_terms();
        person
    }

    /// Their home directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A copy of an app of `examples/` in a fresh git repository with one commit on `main`.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn example(&self, name: &str) -> PathBuf {
        let source = workspace().join("examples").join(name);
        let target = self.home().join(name);
        copy(&source, &target);
        self.commit_all(&target);
        target
    }

    /// A fresh git repository with these files and one commit on `main`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn app(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let dir = self.home().join(name);
        for (path, text) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("inside")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        self.commit_all(&dir);
        dir
    }

    /// Commits everything in `dir`, making it a repository first if it is none.
    ///
    /// # Panics
    /// When git refuses.
    pub fn commit_all(&self, dir: &Path) {
        let steps: [&[&str]; 3] = [
            &["init", "-q", "-b", "main"],
            &["add", "-A"],
            &["commit", "-q", "--allow-empty", "-m", "A change"],
        ];
        for step in steps {
            let output = self.run(dir, "git", step);
            assert!(output.status.success(), "git {step:?}: {output:?}");
        }
    }

    /// Runs a program in `dir`.
    ///
    /// # Panics
    /// When the program cannot be found.
    #[must_use]
    pub fn run<S: AsRef<OsStr>>(&self, dir: &Path, program: &str, args: &[S]) -> Output {
        let mut command = self.command(dir, program);
        command.args(args).output().unwrap_or_else(|error| panic!("run {program}: {error}"))
    }

    /// Runs the official CLI in the home directory and gives its standard output.
    ///
    /// # Panics
    /// When it fails; both of its streams are in the message.
    #[track_caller]
    #[must_use]
    pub fn heroku(&self, args: &[&str]) -> String {
        let output = self.run(self.home(), "heroku", args);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "heroku {args:?}\n{stdout}\n{stderr}");
        stdout
    }

    /// A program with this person's environment, to be started by the caller.
    #[must_use]
    pub fn command(&self, dir: &Path, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env_clear().envs(self.env.iter().cloned());
        command
    }

    /// The official CLI mentions Heroku's terms once per home directory.
    fn accept_terms(&self) {
        let cache = self.home().join(".cache/heroku");
        fs::create_dir_all(&cache).expect("a directory");
        fs::write(cache.join("terms-of-service"), "").expect("a file");
    }

    fn configure_git(&self, server: &Server) {
        let authority = format!("http.https://localhost:{}/.sslCAInfo", server.address().port());
        let ca = server.ca().display().to_string();
        let settings = [
            ("user.name", "Ada"),
            ("user.email", "ada@example.com"),
            ("init.defaultBranch", "main"),
            ("advice.detachedHead", "false"),
            (authority.as_str(), ca.as_str()),
        ];
        for (key, value) in settings {
            let output = self.run(self.home(), "git", &["config", "--global", key, value]);
            assert!(output.status.success(), "git config {key}: {output:?}");
        }
    }
}

fn environment(server: &Server, home: &Path) -> Vec<(String, String)> {
    let base = format!("http://localhost:{}", server.address().port());
    let cli = PathBuf::from(CLI_DIR).join("node_modules/.bin");
    let binary_dir = server.binary().parent().expect("a binary has a directory").display();
    let path = format!("{}:{binary_dir}:/usr/local/bin:/usr/bin:/bin", cli.display());
    [
        ("PATH", path),
        ("HOME", home.display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("HEROKU_HOST", base.clone()),
        ("HEROKU_LOGIN_HOST", base.clone()),
        ("HEROKU_PARTICLEBOARD_URL", base.clone()),
        ("HEROKU_API_KEY", server.token().to_owned()),
        ("HEROKU_NETRC_WRITE", "true".to_owned()),
        ("DISABLE_TELEMETRY", "true".to_owned()),
        ("HEROKU_SKIP_NEW_VERSION_CHECK", "true".to_owned()),
        ("HEROKU_DISABLE_AUTOUPDATE", "1".to_owned()),
        ("NODE_EXTRA_CA_CERTS", server.ca().display().to_string()),
        ("HYTHE_SERVER", base),
        ("HYTHE_API_KEY", server.token().to_owned()),
        ("PORT_OF_SERVER", server.address().port().to_string()),
        ("DATA_DIR", server.data_dir().display().to_string()),
        ("NO_COLOR", "1".to_owned()),
        ("TERM", "dumb".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/testkit is two levels down").to_owned()
}

fn copy(source: &Path, target: &Path) {
    fs::create_dir_all(target).expect("a directory");
    for entry in fs::read_dir(source).unwrap_or_else(|error| panic!("{source:?}: {error}")) {
        let entry = entry.expect("an entry");
        if entry.file_name() == "node_modules" {
            continue;
        }
        let to = target.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}
