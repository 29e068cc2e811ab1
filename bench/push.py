#!/usr/bin/env python3
"""From `git push` to the first 200: cold, and again with no change of dependencies.

usage: bench/push.py [--rounds N] [--app DIR ...]
"""

import argparse
import threading
import time
from pathlib import Path

import figures
from hythe import BENCH, ROOT, Repository, Server

APPS = [BENCH / "apps/node-plain", ROOT / "examples/node-express", ROOT / "examples/python-flask"]


def timed_push(server, repository):
    """Seconds until git ended, and until the app answered 200 with what was pushed."""
    begin = time.monotonic()
    answered = []

    # The next release is live before or after git ends; so both are watched at the same time.
    def watch():
        before = server.api("GET", f"/apps/{repository.app}/releases")[-1]["version"]
        while True:
            dynos = server.api("GET", f"/apps/{repository.app}/dynos")
            new = [d for d in dynos if (d["release"] or {}).get("version", 0) > before]
            if any(d["state"] == "up" and d["type"] == "web" for d in new):
                answered.append(server.wait_for_200(repository.app))
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    repository.push()
    pushed = time.monotonic()
    watcher.join(120)
    if not answered:
        raise SystemExit(f"{repository.app} is not live after its push\n{server.log()}")
    return pushed - begin, answered[0] - begin


def measure(server, source, rounds):
    cold, again = [], []
    for number in range(rounds):
        app = f"push-{source.name}-{number}"
        server.api("POST", "/apps", {"name": app})
        repository = Repository(server, app, source)
        repository.change("one")
        cold.append(timed_push(server, repository))
        repository.change("two")
        again.append(timed_push(server, repository))
        server.api("DELETE", f"/apps/{app}")
    return cold, again


def report(name, cold, again):
    for label, runs in (("cold", cold), ("again", again)):
        pushed, live = zip(*runs, strict=True)
        print(f"{name:14} {label:6} push {figures.spread(pushed)} s, first 200 {figures.spread(live)} s")
    live = [[run[1] for run in runs] for runs in (again, cold)]
    print(f"{name:14} again / cold, to the first 200: {figures.ratio_of_rounds(*live):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--app", type=Path, action="append", help="directory of an app to push")
    options = parser.parse_args()
    print(figures.machine())
    with Server() as server:
        for source in options.app or APPS:
            report(source.name, *measure(server, source.resolve(), options.rounds))


if __name__ == "__main__":
    main()
