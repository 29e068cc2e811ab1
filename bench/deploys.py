#!/usr/bin/env python3
"""Requests that fail while an app with one web dyno is deployed again and again. Must be none.

usage: bench/deploys.py [--deploys N] [--changes N] [--per-second N]
"""

import argparse
import sys
import time

import figures
from hythe import BENCH, Server, deployed
from load import Load

APP = "deploys"


def settle(server, version=None):
    """Waits until exactly one dyno runs, of the newest release, and requests reach it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        newest = max(r["version"] for r in server.api("GET", f"/apps/{APP}/releases"))
        dynos = server.api("GET", f"/apps/{APP}/dynos")
        current = [d for d in dynos if d["state"] == "up" and d["release"]["version"] == newest]
        if len(dynos) == 1 and current:
            if version is None or server.get(APP)[1].strip().decode() == f"version {version}":
                return
        time.sleep(0.05)
    raise SystemExit(f"the change did not settle: {dynos}\n{server.log()}")


def deploy(server, repository, number):
    repository.change(f"deploy-{number}")
    repository.push()
    settle(server, f"deploy-{number}")


def change_config(server, number):
    server.api("PATCH", f"/apps/{APP}/config-vars", {"BENCH": str(number)})
    settle(server)


def roll_back(server, _number):
    releases = server.api("GET", f"/apps/{APP}/releases")
    with_slug = [r for r in releases if r["slug"]]
    earlier = sorted(with_slug, key=lambda r: r["version"])[-2]
    server.api("POST", f"/apps/{APP}/releases", {"release": earlier["id"]})
    settle(server)


def restart(server, _number):
    before = {d["id"] for d in server.api("GET", f"/apps/{APP}/dynos")}
    server.api("DELETE", f"/apps/{APP}/dynos")
    deadline = time.monotonic() + 120
    while before & {d["id"] for d in server.api("GET", f"/apps/{APP}/dynos")}:
        if time.monotonic() > deadline:
            raise SystemExit("the dyno was not restarted")
        time.sleep(0.05)
    settle(server)


def under_load(server, label, count, change, per_second):
    """Runs a change several times under load. Gives the number of failed requests."""
    seconds = []
    with Load(server.port, server.host(APP), per_second) as load:
        time.sleep(1)
        for number in range(1, count + 1):
            begin = time.monotonic()
            change(number)
            seconds.append(time.monotonic() - begin)
        time.sleep(1)
    failed = sum(load.failures.values())
    print(
        f"{label:15} {count:3} times, {load.good + failed:6} requests, {failed} failed, "
        f"slowest {load.slowest * 1000:.0f} ms, each change {figures.spread(seconds)} s"
    )
    for reason, times in load.failures.most_common():
        print(f"    {times} x {reason}")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deploys", type=int, default=20)
    parser.add_argument("--changes", type=int, default=5, help="of config, rollbacks, restarts")
    parser.add_argument("--per-second", type=int, default=100)
    options = parser.parse_args()
    print(figures.machine())
    with Server() as server:
        repository = deployed(server, APP, BENCH / "apps/node-plain")
        changes = [
            ("deploys", options.deploys, lambda n: deploy(server, repository, n)),
            ("config changes", options.changes, lambda n: change_config(server, n)),
            ("rollbacks", options.changes, lambda n: roll_back(server, n)),
            ("restarts", options.changes, lambda n: restart(server, n)),
        ]
        failed = [
            under_load(server, label, count, change, options.per_second)
            for label, count, change in changes
            if count
        ]
    sys.exit(1 if sum(failed) else 0)


if __name__ == "__main__":
    main()
