"""The same program without the platform: by an OCI runtime alone, and by Docker's daemon."""

import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path

WAIT_SECONDS = 30
GROUP = f"hythe-bench-{os.getpid()}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_byte(port, begin):
    """Asks until the program answers. Milliseconds since `begin` until it began, and until then."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = client.recv(4096)
                came = time.time()
                while chunk := client.recv(4096):
                    answer += chunk
        except OSError:
            time.sleep(0.0005)
            continue
        began = float(answer.rpartition(b"\r\n\r\n")[2])
        return (began - begin) * 1000, (came - begin) * 1000
    raise SystemExit(f"the program at port {port} does not answer")


class Runtime:
    """`crun run` of a bundle that is ready: the machine's network, no app's files, no shell."""

    name = "crun alone"

    def __init__(self, directory, programs, runtime="/usr/bin/crun"):
        self.runtime = runtime
        self.bundle = directory / "bundle"
        root = self.bundle / "rootfs"
        for place in ("usr", "proc", "dev", "sys", "tmp"):
            (root / place).mkdir(parents=True)
        for link in ("bin", "lib", "lib64", "sbin"):
            (root / link).symlink_to(f"usr/{link}")
        shutil.copytree(programs, root / "app")
        subprocess.run([runtime, "spec"], cwd=self.bundle, check=True)
        self.number = 0

    def start(self, command):
        port = free_port()
        self._configure(command, port)
        self.number += 1
        name = f"{GROUP}-{self.number}"
        begin = time.time()
        process = subprocess.Popen([self.runtime, "run", "--bundle", self.bundle, name])
        try:
            return first_byte(port, begin)
        finally:
            subprocess.run([self.runtime, "kill", name, "KILL"], check=False)
            process.wait(WAIT_SECONDS)

    def _configure(self, command, port):
        path = self.bundle / "config.json"
        config = json.loads(path.read_text())
        config["root"] = {"path": str(self.bundle / "rootfs"), "readonly": True}
        config["process"].update(
            terminal=False, args=command.split(), env=[f"PORT={port}", "PATH=/usr/bin:/bin"]
        )
        usr = {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/usr"] + [usr]
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [space for space in spaces if space["type"] != "network"]
        config["linux"]["resources"].update(
            memory={"limit": 512 << 20}, cpu={"shares": 1024}, pids={"limit": 256}
        )
        config["linux"]["cgroupsPath"] = f"/{GROUP}/alone"
        path.write_text(json.dumps(config))

    def close(self):
        """The runtime leaves the parent of the group it made."""
        for parent in Path("/sys/fs/cgroup").glob(f"**/{GROUP}"):
            shutil.rmtree(parent, ignore_errors=True)  # a plain directory where a hierarchy is covered
            if parent.exists():
                parent.rmdir()


class Docker:
    """`docker run` by a daemon of our own, on the machine's network."""

    name = "docker run"

    def __init__(self, directory, programs):
        self.directory = directory / "docker"
        self.programs = programs
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "DOCKER_HOST": f"unix://{self.directory}/socket",
        }
        self.daemon = None

    def begin(self):
        """Starts the daemon; gives why it does not run, if so."""
        daemon = shutil.which("dockerd")
        if not daemon or not shutil.which("docker"):
            return "docker.io is not installed"
        self.directory.mkdir()
        log = open(self.directory / "log", "wb")
        # Its own place for everything; the simplest storage, for it works on any file system.
        self.daemon = subprocess.Popen(
            [
                daemon,
                "--data-root", self.directory / "data",
                "--exec-root", self.directory / "exec",
                "--pidfile", self.directory / "pid",
                "--host", self.environment["DOCKER_HOST"],
                "--iptables=false", "--bridge=none", "--storage-driver=vfs",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        for _ in range(WAIT_SECONDS * 10):
            if self.daemon.poll() is not None or self._docker("info").returncode == 0:
                break
            time.sleep(0.1)
        if self.daemon.poll() is not None or self._docker("info").returncode:
            return f"its daemon does not start: {(self.directory / 'log').read_text()[-400:]}"
        return self._import()

    def _docker(self, *arguments):
        return subprocess.run(
            ["docker", *arguments], env=self.environment, capture_output=True, text=True, check=False
        )

    def _import(self):
        """An image with nothing in it but links: /usr is the machine's."""
        root = self.directory / "root.tar"
        with tarfile.open(root, "w") as tar:
            for name in ("bin", "lib", "lib64", "sbin"):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
                tar.addfile(link)
        done = self._docker("import", root, "bench:1")
        return done.stderr.strip() if done.returncode else None

    def start(self, command):
        port, name = free_port(), f"bench-{time.monotonic_ns()}"
        run = ["docker", "run", "--rm", "--name", name, "--network=host", "-e", f"PORT={port}"]
        run += ["-v", "/usr:/usr:ro", "-v", f"{self.programs}:/app:ro", "bench:1", *command.split()]
        begin = time.time()
        process = subprocess.Popen(run, env=self.environment, stdout=subprocess.DEVNULL)
        try:
            return first_byte(port, begin)
        finally:
            self._docker("kill", name)
            process.wait(WAIT_SECONDS)

    def close(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            self.daemon.wait(WAIT_SECONDS)
        # The daemon's mounts, of which this process may have a copy.
        for place in ("exec/netns/default", "data"):
            subprocess.run(["umount", "-l", self.directory / place], check=False, capture_output=True)
