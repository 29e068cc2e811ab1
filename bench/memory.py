#!/usr/bin/env python3
"""Memory of the idle server (aim: at most 50 MiB) and of the shim around each dyno (aim: 2 MiB).

usage: bench/memory.py [--dynos N] [--idle SECONDS]
"""

import argparse
import time

import figures
from hythe import BENCH, Server, deployed

APP = "memory"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dynos", type=int, default=10)
    parser.add_argument("--idle", type=int, default=10, help="seconds of rest before measuring")
    options = parser.parse_args()
    print(figures.machine())
    with Server() as server:
        time.sleep(options.idle)
        print(f"server, just started       {figures.pss_mib(server.pid):7.2f} MiB PSS")
        deployed(server, APP, BENCH / "apps/node-plain")
        time.sleep(options.idle)
        print(f"server, one app, one dyno  {figures.pss_mib(server.pid):7.2f} MiB PSS")
        size = {"quantity": options.dynos}
        server.api("PATCH", f"/apps/{APP}/formation/web", size)
        server.wait_for_dynos(APP, options.dynos)
        time.sleep(options.idle)
        print(f"server, {options.dynos:3} dynos          {figures.pss_mib(server.pid):7.2f} MiB PSS")
        shims = set(figures.processes("dyno")) & set(figures.children(server.pid))
        if len(shims) != options.dynos:
            raise SystemExit(f"found {len(shims)} shims for {options.dynos} dynos")
        print(f"each shim                  {figures.spread([figures.pss_mib(s) for s in shims])} MiB PSS")
        before = figures.cpu_seconds(server.pid)
        time.sleep(options.idle)
        used = figures.cpu_seconds(server.pid) - before
        print(f"server at rest             {used / options.idle * 100:7.2f} % of a core")


if __name__ == "__main__":
    main()
