#!/usr/bin/env python3
"""What changing one app's route costs when there are 10,000 apps, beside a reload of nginx and HAProxy.

usage: bench/routes.py [--apps N] [--rounds N] [--seconds N] [--platform]
Needs nginx, HAProxy and wrk (Debian: nginx-light haproxy wrk), and the router alone:
cargo build --release -p router --example alone
"""

import argparse
import http.client
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import figures
import peers
from hythe import BENCH, Server, deployed

HOST = "app-0.localhost"

BACKENDS = peers.NGINX_HEAD + """
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{ listen 127.0.0.1:{one} backlog=4096; location / {{ return 200 "one\\n"; }} }}
    server {{ listen 127.0.0.1:{two} backlog=4096; location / {{ return 200 "two\\n"; }} }}
}}
"""


class Backends:
    """Two dynos that tell which of them answered."""

    def __init__(self, directory):
        self.one, self.two = peers.free_port(), peers.free_port()
        config = directory / "backends.conf"
        config.write_text(BACKENDS.format(dir=directory, one=self.one, two=self.two, workers=1))
        self.proxy = peers.Proxy("backends", [peers.program("nginx"), "-c", config], [self.one])

    def port(self, number):
        return self.two if number % 2 else self.one


class Nginx:
    """nginx with a server and an upstream for each app."""

    name = "nginx reload"

    def __init__(self, directory, backends, apps):
        self.dir = directory / "nginx"
        self.dir.mkdir()
        self.backends, self.apps, self.port = backends, apps, peers.free_port()
        self.config = self.dir / "nginx.conf"
        self.write(0)
        self.proxy = peers.Proxy("nginx", [peers.program("nginx"), "-c", self.config], [self.port])

    def write(self, number):
        text = [peers.NGINX_HEAD.format(dir=self.dir, workers=peers.CORES)]
        text.append(f"http {{ access_log {self.dir}/access.log; server_names_hash_max_size 262144;")
        for kind in ("proxy", "fastcgi", "uwsgi", "scgi"):
            text.append(f"{kind}_temp_path {self.dir}/{kind};")
        text.append(f"client_body_temp_path {self.dir}/body; keepalive_requests 1000000000;")
        for app in range(self.apps):
            port = self.backends.port(number if app == 0 else 0)
            names = " ".join(f"app-{app}.{domain}" for domain in ("localhost", "example.com", "example.org"))
            text.append(
                f"upstream u{app} {{ server 127.0.0.1:{port}; keepalive 8; }}\n"
                f"server {{ listen 127.0.0.1:{self.port}; server_name {names}; location / {{ "
                f"proxy_pass http://u{app}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
            )
        text.append("}")
        self.config.write_text("\n".join(text))

    def change(self, number):
        self.write(number)
        begun = time.monotonic()
        os.kill(self.proxy.process.pid, signal.SIGHUP)
        return begun


class Haproxy:
    """HAProxy with a map of hosts and a backend for each app."""

    name = "HAProxy reload"

    def __init__(self, directory, backends, apps):
        self.dir = directory / "haproxy"
        self.dir.mkdir()
        self.backends, self.apps, self.port = backends, apps, peers.free_port()
        self.config = self.dir / "haproxy.cfg"
        hosts = (
            f"app-{app}.{domain} u{app}\n"
            for app in range(apps) for domain in ("localhost", "example.com", "example.org")
        )
        (self.dir / "hosts.map").write_text("".join(hosts))
        self.write(0)
        log = open(self.dir / "access.log", "ab")
        program = [peers.program("haproxy"), "-W", "-f", self.config]
        self.proxy = peers.Proxy("haproxy", program, [self.port], output=log)

    def write(self, number):
        text = [
            f"global\n nbthread {peers.CORES}\n maxconn 2000\n log stdout format raw local0",
            "defaults\n mode http\n log global\n option httplog\n timeout client 60s",
            " timeout server 60s\n timeout connect 5s\n http-reuse always",
            f"frontend f\n bind 127.0.0.1:{self.port}",
            f" use_backend %[req.hdr(host),field(1,:),lower,map({self.dir}/hosts.map)]",
        ]
        for app in range(self.apps):
            port = self.backends.port(number if app == 0 else 0)
            text.append(f"backend u{app}\n server s 127.0.0.1:{port}")
        self.config.write_text("\n".join(text) + "\n")

    def change(self, number):
        self.write(number)
        begun = time.monotonic()
        os.kill(self.proxy.process.pid, signal.SIGUSR2)
        return begun


class Ours:
    """The router's own table."""

    name = "hythe"

    def __init__(self, router, backends):
        self.router, self.backends, self.port = router, backends, router.port
        self.proxy = router

    def change(self, number):
        begun = time.monotonic()
        self.router.order(f"lead 127.0.0.1:{self.backends.port(number)}")
        return begun


def answer(port):
    """What a new connection gets from the app."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/", headers={"Host": HOST})
    body = connection.getresponse().read().decode().strip()
    connection.close()
    return body


def measure_changes(peer, rounds):
    """Seconds until a change is served, and CPU seconds of it, each of several rounds."""
    served, cost = [], []
    for number in range(1, rounds + 1):
        wanted = "two" if number % 2 else "one"
        before = peer.proxy.cpu_seconds()
        begun = peer.change(number)
        while answer(peer.port) != wanted:
            time.sleep(0.0005)
        served.append(time.monotonic() - begun)
        time.sleep(1)
        cost.append(peer.proxy.cpu_seconds() - before)
    return served, cost


def compare(directory, backends, router, options):
    print("| one route's change | served after, ms | CPU, ms | MiB at rest (PSS) |")
    print("|---|---|---|---|")
    ours = Ours(router, backends)
    show(ours, measure_changes(ours, options.rounds), router.pss_mib())
    for kind in (Nginx, Haproxy):
        peer = kind(directory, backends, options.apps)
        with peer.proxy:
            rest = peer.proxy.pss_mib()
            show(peer, measure_changes(peer, options.rounds), rest)


def show(peer, measured, rest):
    served, cost = (figures.median(values) * 1000 for values in measured)
    print(f"| {peer.name} | {served:.1f} | {cost:.0f} | {rest:.0f} |", flush=True)


class Keeper(threading.Thread):
    """Connections that ask again and again, and must neither fail nor be closed."""

    def __init__(self, port, count=16):
        super().__init__(daemon=True)
        self.connections = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(count)]
        self.good, self.closed, self.failed = 0, 0, 0
        self.stop = threading.Event()

    def run(self):
        request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        while not self.stop.is_set():
            for connection in self.connections:
                connection.sendall(request)
            for connection in list(self.connections):
                text = connection.recv(4096)
                if not text:
                    self.closed += 1
                    self.connections.remove(connection)
                elif text.startswith(b"HTTP/1.1 200"):
                    self.good += 1
                else:
                    self.failed += 1
            time.sleep(0.002)


def load(port, seconds):
    """wrk on 64 kept connections; gives requests, errors and the 99th percentile in ms."""
    command = ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", "-H", f"Host: {HOST}",
               f"http://127.0.0.1:{port}/"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Non-2xx.*|Socket errors.*", out)
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    p99 = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return int(re.search(r"(\d+) requests in", out).group(1)), errors and errors.group(), p99


def storm(router, options):
    """1,000 changes a second under load. Answers whether nothing failed."""
    seconds = options.seconds
    _, _, calm = load(router.port, seconds)
    keeper = Keeper(router.port)
    keeper.start()
    before = router.pss_mib()
    router.begin(f"storm 1000 {seconds}")
    requests, errors, p99 = load(router.port, seconds)
    outcome = router.outcome()
    keeper.stop.set()
    keeper.join()
    _, changes, took = outcome.split()
    print(
        f"\n{changes} changes in {took} s under load: {requests} requests of wrk, errors: {errors or 0}; "
        f"16 watched connections: {keeper.good} answers, {keeper.failed} failed, {keeper.closed} closed; "
        f"p99 {p99:.1f} ms, without changes {calm:.1f} ms; "
        f"memory {before:.0f} MiB before, {router.pss_mib():.0f} MiB after"
    )
    return not errors and not keeper.failed and not keeper.closed


def platform(options):
    """From a committed change to the router, in a whole server with so many apps."""
    with Server() as server:
        deployed(server, "app-0", BENCH / "apps/nginx-plain")
        begun = time.monotonic()
        fill(server, options.apps)
        print(f"\n{options.apps} apps made in {time.monotonic() - begun:.0f} s")
        answered, known = [], []
        for number in range(40):
            wanted = 503 if number % 2 == 0 else 200
            begun = time.monotonic()
            server.api("PATCH", "/apps/app-0", {"maintenance": wanted == 503})
            answered.append(time.monotonic() - begun)
            while server.get("app-0")[0] != wanted:
                pass
            known.append(time.monotonic() - begun - answered[-1])
        print(
            f"maintenance on and off, whole server: API answers after "
            f"{figures.median(answered) * 1000:.1f} ms; the router knows "
            f"{figures.median(known) * 1000:.1f} ms later (one request included)"
        )


def fill(server, apps):
    """Makes apps, as several accounts, because each may make so many calls an hour only."""
    per_account = 4000
    for first in range(1, apps, per_account):
        email = f"fill-{first}@example.com"
        made = subprocess.run(
            [server.binary, "admin", "accounts:create", email, "--data-dir", server.data],
            capture_output=True, text=True, check=True,
        )
        token = made.stdout.split()[-1]
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for app in range(first, min(first + per_account, apps)):
            make(connection, server, token, f"app-{app}")
        connection.close()


def make(connection, server, token, name):
    headers = {
        "Host": f"localhost:{server.port}",
        "Accept": "application/vnd.heroku+json; version=3",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
    }
    connection.request("POST", "/apps", f'{{"name":"{name}"}}', headers)
    response = connection.getresponse()
    text = response.read().decode()
    if response.status != 201:
        raise SystemExit(f"making {name}: {response.status} {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--apps", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--platform", action="store_true", help="also a whole server, which takes minutes")
    options = parser.parse_args()
    print(figures.machine(), "\n")
    with tempfile.TemporaryDirectory(prefix="hythe-bench-") as name:
        directory = Path(name)
        backends = Backends(directory)
        with backends.proxy:
            with peers.Alone(directory, f"127.0.0.1:{backends.one}", options.apps) as router:
                _, middle, most = router.order("changes 5000").split()
                print(f"5000 changes among {options.apps} apps of 3 names: median {middle} us, "
                      f"99th percentile {most} us each\n")
                compare(directory, backends, router, options)
                fine = storm(router, options)
    if options.platform:
        platform(options)
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
