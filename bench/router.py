#!/usr/bin/env python3
"""The router beside nginx and HAProxy, in front of the same dyno: CPU time, speed, latency, memory.

usage: bench/router.py [--rounds N] [--seconds N] [--idle N] [--only WORD] [--alone]
Needs nginx, HAProxy, wrk and h2load (Debian: nginx-light haproxy wrk nghttp2-client).
"""

import argparse
import re
import resource
import socket
import ssl
import subprocess
import time

import figures
import peers
from hythe import BENCH, Server, deployed

APP = "router"

# h2load's runs are of a number of requests, because it counts none of its warm-up.
H2_REQUESTS_A_SECOND = 20_000


class Case:
    """What is asked, how, and what we aim at: CPU per request as a multiple of nginx's."""

    def __init__(self, name, aim, path="/", connections=64, tls=False, fresh=False, h2=False):
        self.name = name
        self.aim = aim
        self.path = path
        self.connections = connections
        self.tls = tls
        self.fresh = fresh
        self.h2 = h2


CASES = [
    Case("small, kept connections", 0.85),
    Case("small, a connection each", 1.05, fresh=True),
    Case("100 KB, kept connections", 0.70, path="/large", connections=32),
    Case("TLS, kept connections", 0.75, tls=True),
    Case("TLS, a connection each", 0.80, tls=True, fresh=True),
    Case("HTTP/2, 16 x 12 streams", 1.00, tls=True, h2=True),
]


class Hythe:
    """The whole server, with its log stream, its traffic history, everything."""

    name = "hythe"

    def __init__(self, server):
        self.server = server
        self.port = self.tls_port = server.port

    def cpu_seconds(self):
        return figures.cpu_seconds(self.server.pid)

    def pss_mib(self):
        return figures.pss_mib(self.server.pid)


class Run:
    """One run of a load generator against one proxy."""

    def __init__(self, proxy, case, host, seconds):
        before = proxy.cpu_seconds()
        measure = self.h2load if case.h2 else self.wrk
        measure(proxy, case, host, seconds)
        self.micros = (proxy.cpu_seconds() - before) * 1e6 / self.requests

    def wrk(self, proxy, case, host, seconds):
        scheme, port = ("https", proxy.tls_port) if case.tls else ("http", proxy.port)
        command = [
            "wrk", "-t1", f"-c{case.connections}", f"-d{seconds}s", "--latency",
            "-H", f"Host: {host}", *(["-H", "Connection: close"] if case.fresh else []),
            f"{scheme}://127.0.0.1:{port}{case.path}",
        ]
        out = run(command)
        if bad := re.search(r"Non-2xx.*|Socket errors.*", out):
            raise SystemExit(f"{' '.join(command)}: {bad.group()}")
        self.requests = int(re.search(r"(\d+) requests in", out).group(1))
        self.rate = self.requests / seconds
        self.p50, self.p99 = (millis(out, percent) for percent in ("50%", "99%"))

    def h2load(self, proxy, case, host, seconds):
        name = host.split(":")[0]
        command = [
            "h2load", "-t1", "-c16", "-m12", f"-n{H2_REQUESTS_A_SECOND * seconds}",
            f"--connect-to=127.0.0.1:{proxy.tls_port}", f"https://{name}:{proxy.tls_port}{case.path}",
        ]
        out = run(command)
        done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out)
        if "Application protocol: h2" not in out or done.group(2) != "0":
            raise SystemExit(f"{' '.join(command)}: {out}")
        self.requests = int(done.group(1))
        self.rate = float(re.search(r"finished in .*, ([\d.]+) req/s", out).group(1))
        self.p50 = self.p99 = None


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def millis(text, percent):
    number, unit = re.search(rf"{percent}\s+([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def measure(proxies, case, host, options):
    runs = {proxy.name: [] for proxy in proxies}
    for number in range(options.rounds):
        for proxy in proxies if number % 2 == 0 else list(reversed(proxies)):
            runs[proxy.name].append(Run(proxy, case, host, options.seconds))
    return runs


def row(case, runs):
    """A line of the table: CPU per request and the ratio, speed, latency."""
    micros = {name: [one.micros for one in rounds] for name, rounds in runs.items()}
    rate = {name: [one.rate for one in rounds] for name, rounds in runs.items()}
    ours = figures.ratio_of_rounds(micros["hythe"], micros["nginx"])
    cells = [case.name, f"{ours:.2f}", f"{case.aim:.2f}", "met" if ours <= case.aim else "MISSED"]
    cells.append(" / ".join(f"{figures.median(one):.1f}" for one in micros.values()))
    cells.append(" / ".join(f"{figures.median(one) / 1000:.1f}" for one in rate.values()))
    for percent in ("p50", "p99"):
        values = [[getattr(one, percent) for one in rounds] for rounds in runs.values()]
        known = all(value is not None for one in values for value in one)
        cells.append(" / ".join(f"{figures.median(one):.1f}" for one in values) if known else "–")
    return "| " + " | ".join(cells) + " |"


def table(proxies, host, options):
    names = " / ".join(proxy.name for proxy in proxies)
    heads = ["case", "CPU × nginx", "aim", "", f"CPU µs ({names})", "1000 req/s", "p50 ms", "p99 ms"]
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for case in CASES:
        if options.only and options.only not in case.name:
            continue
        print(row(case, measure(proxies, case, host, options)), flush=True)


def idle_memory(proxy, host, count, tls):
    """KiB of memory for each connection that has asked once and waits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 1024, most), most))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = proxy.tls_port if tls else proxy.port
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    before, idle = proxy.pss_mib(), []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port))
        if tls:
            connection = context.wrap_socket(connection, server_hostname=host.split(":")[0])
        connection.sendall(request)
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{proxy.name} did not answer 200")
        idle.append(connection)
    time.sleep(2)
    grown = proxy.pss_mib() - before
    for connection in idle:
        connection.close()
    time.sleep(1)
    return grown * 1024 / count


def idle(proxies, host, options):
    """Before any load, which would leave freed memory behind for the idle connections to use."""
    print(f"| memory | {' | '.join(proxy.name for proxy in proxies)} | aim |")
    print("|---|" + "---|" * (len(proxies) + 1))
    for tls in (False, True):
        each = [f"{idle_memory(proxy, host, options.idle, tls):.1f}" for proxy in proxies]
        kind = "TLS connection" if tls else "connection"
        aim = "" if tls else "2.0"
        print(f"| KiB for each of {options.idle} idle {kind}s | {' | '.join(each)} | {aim} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--only", help="only cases with this word")
    parser.add_argument("--alone", action="store_true", help="also the router without the platform")
    options = parser.parse_args()
    print(figures.machine())
    print("hythe is the whole server with its log stream; the others write an access log.\n")
    with Server() as server:
        deployed(server, APP, BENCH / "apps/nginx-plain")
        dyno = server.get(APP, "/address")[1].decode()
        host, tls = server.host(APP), server.data / "tls"
        nginx = peers.nginx(server.dir, dyno, host.split(":")[0], tls)
        with nginx, peers.haproxy(server.dir, dyno, tls) as haproxy:
            proxies = [Hythe(server), nginx, haproxy]
            if not options.only:
                idle(proxies, host, options)
                print()
            table(proxies, host, options)
            after = ", ".join(f"{proxy.name} {proxy.pss_mib():.0f}" for proxy in proxies)
            print(f"\nMiB after the load (PSS): {after}")
            if options.alone:
                alone(server, dyno, nginx, options)
        threads = figures.thread_cpu_seconds(server.pid)
        busiest = sorted(threads.items(), key=lambda item: -item[1])[:5]
        print("\nserver's threads: " + ", ".join(f"{name} {s:.1f} s" for name, s in busiest))


def alone(server, dyno, nginx, options):
    """The cases again, with the router alone."""
    print("\nThe router without the platform:\n")
    with peers.Alone(server.dir, dyno, 1) as router:
        router.name = "hythe"
        table([router, nginx], "app-0.localhost", options)


if __name__ == "__main__":
    main()
