#!/usr/bin/env python3
"""Dynos: from request to first byte, waking from each kind of rest, and many at once.

usage: bench/dynos.py [--rounds N] [--many N] [--skip-many]

Starting is measured from the request that scales an app up from nothing to its first answer, which the
router holds until the dyno listens. Waking is measured from a request to its answer, beside a request
to the same dyno while it is warm, each on a connection of its own. Aims: at most 5 ms more from frozen,
50 ms more with its memory taken back; from stopped the app's own boot and 150 ms.
"""

import argparse
import http.client
import time
from pathlib import Path

import figures
from hythe import BENCH, Repository, Server

REST = """
memory_overcommit = 100.0
[sleep]
freeze_after_seconds = 1
reclaim_after_seconds = 2
stop_frozen_after_seconds = 8
"""
PYTHON_HELLO = """\
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Hello).serve_forever()
"""
PROGRAMS = {
    "Node": "web: node server.js",
    "Python": "web: python3 hello.py",
}


def request_ms(server, app):
    """One request on a connection of its own."""
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
    connection.request("GET", "/", headers={"Host": server.host(app)})
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{app} answered {response.status}\n{server.log()}")
    return (time.perf_counter() - begin) * 1000


def made(server, app, procfile):
    """An app that runs one of the programs."""
    server.api("POST", "/apps", {"name": app})
    repository = Repository(server, app, BENCH / "apps/node-plain")
    (repository.dir / "hello.py").write_text(PYTHON_HELLO)
    (repository.dir / "Procfile").write_text(f"{procfile}\n")
    repository.change("first")
    repository.push()
    server.wait_for_200(app)


def scale(server, app, quantity):
    server.api("PATCH", f"/apps/{app}/formation/web", {"quantity": quantity})


def wait_for_state(server, app, state):
    """Waits until the app's dynos are all in this state; `None` waits until there are none."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        states = {dyno["state"] for dyno in server.api("GET", f"/apps/{app}/dynos")}
        if states == ({state} if state else set()):
            return
        time.sleep(0.05)
    raise SystemExit(f"{app} is {states}, not {state}\n{server.log()}")


def start_ms(server, app):
    """From nothing to the first answer; alone, the app's own boot is in it."""
    scale(server, app, 0)
    wait_for_state(server, app, None)
    time.sleep(0.5)
    begin = time.perf_counter()
    scale(server, app, 1)
    # The first requests may still meet the route of an app without dynos.
    while server.get(app)[0] != 200:
        time.sleep(0.001)
    return (time.perf_counter() - begin) * 1000


def starts(server, rounds):
    for name, procfile in PROGRAMS.items():
        app = f"start-{name.lower()}"
        made(server, app, procfile)
        times = [start_ms(server, app) for _ in range(rounds)]
        print(f"{name:7} scale to first byte       {figures.spread(times)} ms")
        scale(server, app, 0)


def wakes(server, rounds):
    app = "wake"
    made(server, app, PROGRAMS["Node"])
    server.api("PATCH", f"/apps/{app}/features/dyno-suspend", {"enabled": True})
    warm, frozen, reclaimed, stopped = [], [], [], []
    for _ in range(rounds):
        # Once more, for the first one may wait for whatever came before.
        request_ms(server, app)
        warm.append(request_ms(server, app))
        wait_for_state(server, app, "idle")
        time.sleep(0.3)
        frozen.append(request_ms(server, app))
        wait_for_state(server, app, "idle")
        time.sleep(3)
        reclaimed.append(request_ms(server, app))
    for _ in range(max(3, rounds // 4)):
        wait_for_state(server, app, "idle")
        time.sleep(9)
        stopped.append(request_ms(server, app))
    for name, times in [("frozen", frozen), ("reclaimed", reclaimed), ("stopped", stopped)]:
        more = figures.median(times) - figures.median(warm)
        print(f"wake from {name:10} {figures.spread(times)} ms, {more:.2f} more than warm")
    print(f"a warm request       {figures.spread(warm)} ms")


def available_mib():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/meminfo has no MemAvailable line")


def many(server, count):
    """So many dynos of two apps, for an app has at most 100."""
    apps = [f"many-{number}" for number in range((count + 99) // 100)]
    for app in apps:
        made(server, app, PROGRAMS["Python"])
    before = available_mib()
    begin = time.perf_counter()
    for app in apps:
        scale(server, app, count // len(apps))
    for app in apps:
        server.wait_for_dynos(app, count // len(apps))
    took = time.perf_counter() - begin
    time.sleep(5)
    per_dyno = (before - available_mib()) / (count - len(apps))
    print(f"{count} dynos up in          {took:.1f} s, {took / count * 1000:.0f} ms each")
    print(f"machine's memory per dyno {per_dyno:.1f} MiB (Python, all processes and caches)")
    cpu = figures.cpu_seconds(server.pid)
    time.sleep(20)
    used = (figures.cpu_seconds(server.pid) - cpu) / 20 * 100
    print(f"server beside {count} idle  {used:.2f} % of a core, {figures.pss_mib(server.pid):.1f} MiB PSS")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--many", type=int, default=200)
    parser.add_argument("--skip-many", action="store_true")
    options = parser.parse_args()
    print(figures.machine())
    with Server(REST) as server:
        starts(server, options.rounds)
        wakes(server, options.rounds)
    if not options.skip_many:
        with Server("memory_overcommit = 100.0\n") as server:
            many(server, options.many)


if __name__ == "__main__":
    main()
