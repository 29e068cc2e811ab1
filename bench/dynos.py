#!/usr/bin/env python3
"""Dynos: from request to first byte, waking from each kind of rest, and many at once.

usage: bench/dynos.py [--rounds N] [--many N] [--skip-many]

Starting is measured from the request that scales an app up from nothing: to the moment at which its
program began, and to the first byte of its answer, which the router holds until the dyno listens. Beside
it the same program by `crun run` alone and, where Docker's daemon can be started, by `docker run`, both on
the machine's own network. Aim: at most 1.3 times of crun alone. Waking is measured from a request to its
answer, beside a request to the same dyno while it is warm, each on a connection of its own. Aims: at most
5 ms more from frozen, 50 ms more with its memory taken back; from stopped the app's own boot and 150 ms.
"""

import argparse
import http.client
import shutil
import time
from pathlib import Path

import alone
import figures
import programs
from hythe import BENCH, Repository, Server
from start import hide_second_cgroups
from swap import Swap

REST = """
memory_overcommit = 100.0
[sleep]
freeze_after_seconds = 1
reclaim_after_seconds = 2
stop_frozen_after_seconds = 8
"""


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


def made(server, app, command):
    """An app that runs one of the programs."""
    server.api("POST", "/apps", {"name": app})
    repository = Repository(server, app, BENCH / "apps/node-plain")
    shutil.copytree(server.dir / "programs", repository.dir, dirs_exist_ok=True)
    (repository.dir / "Procfile").write_text(f"web: {command}\n")
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
    """From nothing: milliseconds until the program began, and until the first byte of its answer."""
    scale(server, app, 0)
    wait_for_state(server, app, None)
    time.sleep(0.5)
    begin = time.time()
    scale(server, app, 1)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
    connection.request("GET", "/", headers={"Host": server.host(app)})
    response = connection.getresponse()
    came = time.time()
    body = response.read()
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{app} answered {response.status}\n{server.log()}")
    return (float(body) - begin) * 1000, (came - begin) * 1000


def show(name, others, times):
    """One program: each way of starting it, beside the first of the others."""
    for way, both in times.items():
        began, came = zip(*both, strict=True)
        line = f"{name:6} {way:11} program {figures.spread(began)} ms, first byte {figures.spread(came)} ms"
        if others and way != others[0]:
            base_began, base_came = zip(*times[others[0]], strict=True)
            ratios = [
                figures.ratio_of_rounds(ours, theirs)
                for ours, theirs in [(began, base_began), (came, base_came)]
            ]
            line += f"; {ratios[0]:.2f} and {ratios[1]:.2f} of {others[0]}"
        print(line)


def starts(server, commands, others, rounds):
    for name, command in commands.items():
        app = f"start-{name.lower()}"
        made(server, app, command)
        times = {"dyno": []} | {other.name: [] for other in others}
        # One of each that is not counted: files are read, images unpacked.
        for number in range(rounds + 1):
            round_times = {"dyno": start_ms(server, app)}
            for other in others:
                time.sleep(0.2)
                round_times[other.name] = other.start(command)
            if number > 0:
                for way, both in round_times.items():
                    times[way].append(both)
        show(name, [other.name for other in others], times)
        scale(server, app, 0)


def beside(server):
    """Other ways of starting the same programs, as far as this machine has them."""
    docker = alone.Docker(server.dir, server.dir / "programs")
    why_not = docker.begin()
    if why_not:
        print(f"no docker run here: {why_not}")
        docker.close()
    # Docker's daemon needs what crun is not to see, so it comes first.
    hide_second_cgroups()
    others = [alone.Runtime(server.dir, server.dir / "programs")]
    return others if why_not else [*others, docker]


def wakes(server, command, rounds):
    app = "wake"
    made(server, app, command)
    server.api("PATCH", f"/apps/{app}/features/dyno-suspend", {"enabled": True})
    warm, frozen, reclaimed, stopped, swapped = [], [], [], [], []
    for _ in range(rounds):
        # Once more, for the first one may wait for whatever came before.
        request_ms(server, app)
        warm.append(request_ms(server, app))
        wait_for_state(server, app, "idle")
        time.sleep(0.3)
        frozen.append(request_ms(server, app))
        wait_for_state(server, app, "idle")
        time.sleep(3)
        # All that is in swap: what comes back when it is read keeps its place there.
        swapped.append(Swap.used_mib())
        reclaimed.append(request_ms(server, app))
    for _ in range(max(3, rounds // 4)):
        wait_for_state(server, app, "idle")
        time.sleep(9)
        stopped.append(request_ms(server, app))
    for name, times in [("frozen", frozen), ("reclaimed", reclaimed), ("stopped", stopped)]:
        more = figures.median(times) - figures.median(warm)
        print(f"wake from {name:10} {figures.spread(times)} ms, {more:.2f} more than warm")
    print(f"a warm request       {figures.spread(warm)} ms")
    print(f"in swap while asleep {figures.spread(swapped)} MiB")


def available_mib():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/meminfo has no MemAvailable line")


def many(server, command, count):
    """So many dynos of two apps, for an app has at most 100."""
    apps = [f"many-{number}" for number in range((count + 99) // 100)]
    for app in apps:
        made(server, app, command)
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
        commands = programs.written(server.dir / "programs")
        with Swap(server.dir) as swap:
            if swap.why_not:
                print(f"no swap here, so little can be taken back: {swap.why_not}")
            wakes(server, commands["Node"], options.rounds)
        others = beside(server)
        try:
            starts(server, commands, others, options.rounds)
        finally:
            for other in others:
                other.close()
    if not options.skip_many:
        with Server("memory_overcommit = 100.0\n") as server:
            commands = programs.written(server.dir / "programs")
            many(server, commands["Python"], options.many)


if __name__ == "__main__":
    main()
