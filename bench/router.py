#!/usr/bin/env python3
"""The router's CPU time per request beside nginx's, in front of the same dyno.

usage: bench/router.py [--rounds N] [--seconds N] [--connections N]
Needs nginx and wrk (Debian: nginx-light, wrk).
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import time

import figures
from hythe import BENCH, Server, deployed

APP = "router"

NGINX = """
daemon off;
worker_processes {workers};
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log warn;
worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
    log_format bench '$remote_addr $request_method "$request_uri" $host $status $body_bytes_sent '
                     '$request_time $upstream_addr $http_x_request_id';
    access_log {dir}/nginx-access.log bench;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 1000000000;
    upstream dyno {{ server {dyno}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        server_name {host};
        location / {{
            proxy_pass http://dyno;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Request-Id $request_id;
            proxy_set_header X-Request-Start $msec;
            proxy_set_header Via "1.1 nginx";
        }}
    }}
}}
"""

SCENARIOS = {
    "small, kept connections": ("/", []),
    "small, a connection each": ("/", ["-H", "Connection: close"]),
    "100 KB, kept connections": ("/large", []),
}


class Nginx:
    """nginx with a worker per core in front of the dyno. Use it with `with`."""

    def __init__(self, server, dyno):
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if not self.program:
            raise SystemExit("nginx is missing: apt-get install nginx-light")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = server.dir / "nginx.conf"
        host = server.host(APP).split(":")[0]
        workers = os.cpu_count()
        text = NGINX.format(dir=server.dir, dyno=dyno, port=self.port, host=host, workers=workers)
        self.config.write_text(text)

    def __enter__(self):
        self.process = subprocess.Popen([self.program, "-c", self.config], stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise SystemExit("nginx did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def cpu_seconds(self):
        pids = [self.process.pid, *figures.children(self.process.pid)]
        return sum(figures.cpu_seconds(pid) for pid in pids)


def load(port, host, path, extra, options):
    """One run of wrk. Gives its requests per second and their number."""
    wrk = [
        "wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s",
        "-H", f"Host: {host}", *extra, f"http://127.0.0.1:{port}{path}",
    ]
    out = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
    if bad := re.search(r"Non-2xx.*|Socket errors.*", out):
        raise SystemExit(f"{' '.join(wrk)}: {bad.group()}")
    return int(re.search(r"(\d+) requests in", out).group(1))


def micros_per_request(cpu_seconds, run):
    before = cpu_seconds()
    requests = run()
    return (cpu_seconds() - before) * 1e6 / requests, requests


def measure(server, nginx, name, options):
    path, extra = SCENARIOS[name]
    host = server.host(APP)
    proxies = {
        "hythe": (lambda: figures.cpu_seconds(server.pid), server.port),
        "nginx": (nginx.cpu_seconds, nginx.port),
    }
    cost = {proxy: [] for proxy in proxies}
    rate = {proxy: [] for proxy in proxies}
    for number in range(options.rounds):
        order = list(proxies) if number % 2 == 0 else list(reversed(proxies))
        for proxy in order:
            cpu_seconds, port = proxies[proxy]
            run = lambda port=port: load(port, host, path, extra, options)  # noqa: E731
            micros, requests = micros_per_request(cpu_seconds, run)
            cost[proxy].append(micros)
            rate[proxy].append(requests / options.seconds)
    cpu = figures.ratio_of_rounds(cost["hythe"], cost["nginx"])
    speed = figures.ratio_of_rounds(rate["hythe"], rate["nginx"])
    print(
        f"{name:26} CPU per request: hythe {figures.spread(cost['hythe'])} us, "
        f"nginx {figures.spread(cost['nginx'])} us, ratio {cpu:.2f}; requests/s ratio {speed:.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    print(figures.machine())
    print("hythe counts the whole server, with its log stream; nginx writes an access log.")
    with Server() as server:
        deployed(server, APP, BENCH / "apps/nginx-plain")
        dyno = server.get(APP, "/address")[1].decode()
        with Nginx(server, dyno) as nginx:
            for name in SCENARIOS:
                measure(server, nginx, name, options)
        threads = figures.thread_cpu_seconds(server.pid)
        busiest = sorted(threads.items(), key=lambda item: -item[1])[:5]
        print("server's threads: " + ", ".join(f"{name} {s:.1f} s" for name, s in busiest))


if __name__ == "__main__":
    main()
