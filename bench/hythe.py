"""A server of its own for a benchmark: started, asked, pushed to, and taken away again."""

import base64
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
WAIT_SECONDS = 120


def binary():
    """The release binary: `HYTHE_BIN`, or where cargo put it."""
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    path = Path(os.environ.get("HYTHE_BIN", f"{target}/release/hythe"))
    if not path.exists():
        raise SystemExit(
            f"{path} is missing: cargo build --release -p hythe, or set HYTHE_BIN or CARGO_TARGET_DIR"
        )
    return path


class Server:
    """A running server in its own directory. Use it with `with`."""

    def __init__(self, settings=""):
        self.binary = binary()
        self.dir = Path(tempfile.mkdtemp(prefix="hythe-bench-"))
        self.data = self.dir / "data"
        self.data.mkdir(mode=0o700)
        (self.data / "hythe.toml").write_text(settings)
        self.address = "127.0.0.1:0"
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        subprocess.run(
            [self.binary, "admin", "stop-dynos", "--data-dir", self.data],
            check=False,
            stdout=subprocess.DEVNULL,
        )
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        log = open(self.dir / "server.log", "ab")
        token_file = self.dir / "token"
        self.process = subprocess.Popen(
            [
                self.binary, "server",
                "--data-dir", self.data,
                "--listen", self.address,
                "--owner", "bench@example.com",
                "--token-file", token_file,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        for line in self.process.stdout:
            if line.startswith(b"ready http://"):
                self.address = line.decode().removeprefix("ready http://").strip()
                break
        else:
            raise SystemExit(f"the server did not start:\n{self.log()}")
        self.port = int(self.address.rpartition(":")[2])
        self.token = token_file.read_text().strip()

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        """The end of what the server said about itself."""
        return (self.dir / "server.log").read_text()[-4000:]

    def api(self, method, path, body=None):
        """Asks the Platform API and gives the answer's JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {
            "Host": f"localhost:{self.port}",
            "Accept": "application/vnd.heroku+json; version=3",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        if response.status >= 300:
            raise SystemExit(f"{method} {path} answered {response.status}: {text}")
        return json.loads(text)

    def get(self, app, path="/", timeout=30):
        """Asks an app; gives status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request("GET", path, headers={"Host": self.host(app)})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    def host(self, app):
        return f"{app}.localhost:{self.port}"

    def wait_for_200(self, app, path="/"):
        """Asks until the app answers 200; gives the time of that."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            status, _ = self.get(app, path)
            if status == 200:
                return time.monotonic()
            time.sleep(0.01)
        raise SystemExit(f"{app} did not answer 200 within {WAIT_SECONDS} s\n{self.log()}")

    def wait_for_dynos(self, app, count):
        """Waits until so many dynos of the app are up, and no other."""
        deadline = time.monotonic() + WAIT_SECONDS
        states = None
        while time.monotonic() < deadline:
            states = [dyno["state"] for dyno in self.api("GET", f"/apps/{app}/dynos")]
            if states == ["up"] * count:
                return
            time.sleep(0.1)
        raise SystemExit(f"{app}: dynos are {states}, not {count} up\n{self.log()}")


class Repository:
    """A git repository made from a directory, to be changed and pushed."""

    def __init__(self, server, app, source):
        self.server = server
        self.app = app
        self.dir = server.dir / f"repository-{app}"
        shutil.copytree(source, self.dir, ignore=shutil.ignore_patterns("node_modules", ".git"))
        self.git("init", "--quiet", "--initial-branch=main")

    def change(self, text):
        """Commits a change that no dependency knows of."""
        (self.dir / "version").write_text(f"{text}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", text)

    def push(self):
        """Pushes and gives the transcript."""
        url = f"http://localhost:{self.server.port}/{self.app}.git"
        return self.git("push", url, "main")

    def git(self, *arguments):
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.dir,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"git {' '.join(arguments)} failed:\n{done.stdout}\n{self.server.log()}")
        return done.stdout

    def _environment(self):
        # The token travels in the environment, never on a command line.
        basic = base64.b64encode(f":{self.server.token}".encode()).decode()
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.server.dir),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "Bench",
            "GIT_AUTHOR_EMAIL": "bench@example.com",
            "GIT_COMMITTER_NAME": "Bench",
            "GIT_COMMITTER_EMAIL": "bench@example.com",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }


def deployed(server, app, source, version="first"):
    """An app, made, pushed and up."""
    server.api("POST", "/apps", {"name": app})
    repository = Repository(server, app, source)
    repository.change(version)
    repository.push()
    server.wait_for_200(app)
    return repository
