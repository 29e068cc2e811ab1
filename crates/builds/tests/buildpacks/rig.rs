//! One app with its cache, built as a build dyno builds it, in a private view of the machine that has an
//! `/app`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DRIVER: &str = include_str!("../../src/driver.sh");

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
pub struct App {
    pub dir: tempfile::TempDir,
    pub packs: PathBuf,
}

impl App {
    pub fn example(name: &str) -> Self {
        let app = Self::empty();
        let example = repository().join("examples").join(name);
        let copied = Command::new("cp").arg("-r").arg(example).arg(app.path("source")).status();
        assert!(copied.expect("cp runs").success());
        app
    }

    pub fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let packs = builds::install_buildpacks(dir.path()).expect("installed");
        for name in ["view", "cache", "env", "results"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        Self { dir, packs }
    }

    pub fn with(self, files: &[(&str, &str)]) -> Self {
        for (name, content) in files {
            let path = self.path("source").join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, content).expect("written");
        }
        self
    }

    pub fn config(self, name: &str, value: &str) -> Self {
        fs::write(self.path("env").join(name), value).expect("written");
        self
    }

    /// Has a package manager of the npm registry make its lock file.
    pub fn lock_with(&self, package: &str, program: &str) {
        let mut npm = Command::new("npm");
        npm.args(["exec", "--yes", "--package", package, "--", program, "install"]);
        npm.args((program == "yarn").then_some("--mode=update-lockfile"));
        npm.args((program == "pnpm").then_some("--lockfile-only"));
        let made = npm.current_dir(self.path("source")).output().expect("npm runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Has a tool of PyPI make its lock file.
    pub fn lock_with_python_tool(&self, command: &[&str]) {
        let tool = self.path("tool");
        let run = |program: &Path, arguments: &[&str]| {
            let mut run = Command::new(program);
            let made = run.args(arguments).current_dir(self.path("source")).output();
            let made = made.expect("it runs");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        run(Path::new("/usr/bin/python3"), &["-m", "venv", &tool.display().to_string()]);
        run(&tool.join("bin/pip"), &["install", "--quiet", command[0]]);
        run(&tool.join("bin").join(command[0]), &command[1..]);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn answer(&self, name: &str) -> String {
        fs::read_to_string(self.path("results").join(name)).unwrap_or_default()
    }

    /// Lets all built-in buildpacks look at the app, builds it, and answers the transcript.
    pub fn build(&self) -> String {
        let names = builds::buildpack_names();
        let packs: Vec<_> = names.iter().map(|name| built_in(name)).collect();
        self.drive("auto", &packs)
    }

    pub fn drive(&self, mode: &str, packs: &[String]) -> String {
        fs::write(self.path("packs"), packs.concat()).expect("written");
        let tree = self.path("tree");
        let _ = fs::remove_dir_all(&tree);
        let copied = Command::new("cp").arg("-a").arg(self.path("source")).arg(&tree).status();
        assert!(copied.expect("cp runs").success());
        let output = self.inside("bash", ["-c", DRIVER, "driver.sh", mode].map(str::to_owned));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs a program in the view, as the build is run.
    pub fn inside(&self, program: &str, arguments: impl IntoIterator<Item = String>) -> Output {
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
                ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE"]
                    .map(|name| (name, authorities)),
            )
            .output()
            .expect("unshare (util-linux) runs")
    }

    /// Runs a shell command in a dyno's way: the tree is at `/app`, the profile is sourced.
    pub fn run(&self, command: &str) -> String {
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
pub fn built_in(name: &str) -> String {
    let dir = name.strip_prefix("heroku/").expect("a built-in one");
    format!("built-in\t{name}\t{dir}\t\n")
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lines of `transcript` that begin a step, so that what npm and pip say does not matter.
pub fn steps(transcript: &str) -> Vec<&str> {
    transcript.lines().filter(|line| line.starts_with("----->")).collect()
}

/// Starts the app's web process as a dyno would, and answers what it says to a request.
pub fn ask_web(app: &App, command: &str) -> String {
    app.run(&format!(
        "export PORT=$((20000 + $$ % 20000)) DYNO=web.1; {command} > web.log 2>&1 & \
         for try in $(seq 100); do curl -s localhost:$PORT && break; sleep 0.1; done; kill $!"
    ))
}
