#!/usr/bin/env python3
"""Starting a dyno, from the request to its program's first words, beside `crun run` alone.

usage: bench/start.py [--rounds N] [--runtime PROGRAM]

Both run `date`, which says when it ran. A dyno's start is everything the platform does: the API's
answer, the plan, the shim, files, network, limits, the container, and two shells that read the app's
profile. crun alone gets a bundle that is ready: no network set up, no app's files, no shell.
"""

import argparse
import ctypes
import http.client
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import figures
from hythe import BENCH, Server, deployed

APP = "start"
PAUSE_SECONDS = 0.1
# Nobody asks the server anything while the dyno starts: the dyno itself says when it ran.
QUIET_SECONDS = 0.15
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
GROUP = f"hythe-bench-{os.getpid()}"


def dyno_start_ms(server):
    """Asks for a one-off dyno; milliseconds until its `date` ran."""
    begin = time.time()
    body = {"command": "exec date +%s.%N", "attach": False}
    dyno = server.api("POST", f"/apps/{APP}/dynos", body)
    answered = time.time()
    time.sleep(QUIET_SECONDS)
    ran = said_by(server, dyno["name"])
    return (ran - begin) * 1000, (answered - begin) * 1000


def said_by(server, dyno):
    """The number a dyno printed."""
    wish = {"dyno": dyno, "source": "app", "lines": 10, "tail": False}
    for _ in range(600):
        session = server.api("POST", f"/apps/{APP}/log-sessions", wish)
        for line in read(server, session["logplex_url"]).splitlines():
            if f" app[{dyno}]: " in line:
                return float(line.rpartition(": ")[2])
        time.sleep(0.02)
    raise SystemExit(f"{dyno} said nothing\n{server.log()}")


def read(server, url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", f"{parts.path}?{parts.query}", headers={"Host": parts.netloc})
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def bundle(directory, runtime):
    """A bundle with the limits and name spaces of a dyno, on the machine's own /usr."""
    root = directory / "rootfs"
    for name in ("usr", "proc", "dev", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    subprocess.run([runtime, "spec"], cwd=directory, check=True)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["root"] = {"path": str(root), "readonly": True}
    config["process"].update(terminal=False, args=["/usr/bin/date", "+%s.%N"])
    config["mounts"].append(
        {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
    )
    config["linux"]["resources"].update(
        memory={"limit": 512 << 20}, cpu={"shares": 1024}, pids={"limit": 256}
    )
    config["linux"]["cgroupsPath"] = f"/{GROUP}/alone"
    path.write_text(json.dumps(config))
    return directory


def runtime_start_ms(runtime, bundle_dir, number):
    begin = time.time()
    name = f"{GROUP}-{number}"
    done = subprocess.run(
        [runtime, "run", "--bundle", bundle_dir, name], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{runtime} run failed: {done.stderr}")
    return (float(done.stdout) - begin) * 1000


def hide_second_cgroups():
    """crun refuses a machine that has both cgroup versions; so this process covers the second one."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    if not any(fields[2] == "cgroup" for fields in mounts):
        return
    second = [fields[1].encode() for fields in mounts if fields[2] == "cgroup2"]
    libc = ctypes.CDLL(None, use_errno=True)
    calls = [
        lambda: libc.unshare(CLONE_NEWNS),
        lambda: libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
        *[lambda path=path: libc.mount(b"tmpfs", path, b"tmpfs", 0, None) for path in second],
    ]
    for call in calls:
        if call():
            raise OSError(ctypes.get_errno(), "cover the second cgroup hierarchy")


def remove_group():
    """The runtime leaves the parent of the group it made."""
    for parent in Path("/sys/fs/cgroup").glob(f"**/{GROUP}"):
        shutil.rmtree(parent, ignore_errors=True)  # a plain directory where a hierarchy is covered
        if parent.exists():
            parent.rmdir()


def measure(server, options):
    alone_dir = bundle(server.dir / "bundle", options.runtime)
    dyno, answer, alone = [], [], []
    for number in range(options.rounds):
        started, answered = dyno_start_ms(server)
        dyno.append(started)
        answer.append(answered)
        time.sleep(PAUSE_SECONDS)
        alone.append(runtime_start_ms(options.runtime, alone_dir, number))
        time.sleep(PAUSE_SECONDS)
    return dyno, answer, alone


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runtime", default="/usr/bin/crun")
    options = parser.parse_args()
    print(figures.machine())
    with Server() as server:
        deployed(server, APP, BENCH / "apps/node-plain")
        hide_second_cgroups()
        try:
            dyno, answer, alone = measure(server, options)
        finally:
            remove_group()
    print(f"dyno, request to program    {figures.spread(dyno)} ms")
    print(f"  of it, until API's answer {figures.spread(answer)} ms")
    print(f"{Path(options.runtime).name} run alone              {figures.spread(alone)} ms")
    more = figures.median([a - b for a, b in zip(dyno, alone, strict=True)])
    print(f"dyno / alone {figures.ratio_of_rounds(dyno, alone):.2f}, overhead {more:.1f} ms")


if __name__ == "__main__":
    main()
