"""nginx, HAProxy and the router alone as proxies, with settings that are equal where they can be."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import figures
from hythe import BENCH, ROOT

CORES = os.cpu_count()

NGINX_HEAD = """
daemon off;
worker_processes {workers};
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; }}
"""

NGINX = NGINX_HEAD + """
http {{
    log_format bench '$time_iso8601 $remote_addr $request_method "$request_uri" $host $status '
                     '$body_bytes_sent $request_time $upstream_connect_time $upstream_addr '
                     '$http_x_request_id $server_protocol';
    access_log {dir}/nginx-access.log bench;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 120s;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    upstream dyno {{ server {dyno}; keepalive 128; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl http2 backlog=4096;
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

HAPROXY = """
global
    nbthread {workers}
    maxconn 8000
    log stdout format raw local0
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    log global
    option httplog
    option http-keep-alive
    http-reuse always
    timeout client 120s
    timeout server 60s
    timeout connect 5s
    timeout http-keep-alive 120s
frontend front
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{tls_port} ssl crt {pem} alpn h2,http/1.1
    option forwardfor
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Request-Id %[uuid()]
    http-request set-header X-Request-Start %[date(0,ms)]
    http-request set-header Via "1.1 haproxy"
    default_backend dyno
backend dyno
    server dyno {dyno} pool-max-conn 256
"""


def program(name):
    """Where a program is, also when the operator's directories are not in the path."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        raise SystemExit(f"{name} is missing: apt-get install nginx-light haproxy wrk nghttp2-client")
    return found


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Proxy:
    """A process tree that listens. Use it with `with`."""

    def __init__(self, name, arguments, ports, output=subprocess.DEVNULL):
        self.name = name
        self.arguments = [str(argument) for argument in arguments]
        self.ports = ports
        self.output = output
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(
            self.arguments, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.DEVNULL
        )
        for port in self.ports:
            wait_for_port(port, self.process)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            for pid in self.pids():
                os.kill(pid, 9)
            self.process.wait()

    def pids(self):
        return family(self.process.pid)

    def cpu_seconds(self):
        """Of all processes that live now."""
        return sum(cpu_seconds(pid) for pid in self.pids())

    def pss_mib(self):
        return sum(figures.pss_mib(pid) for pid in self.pids())


def family(pid):
    """A process and all its descendants."""
    return [pid, *(one for child in figures.children(pid) for one in family(child))]


def cpu_seconds(pid):
    try:
        return figures.cpu_seconds(pid)
    except FileNotFoundError:
        return 0  # it ended while we looked


def wait_for_port(port, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")


def nginx(directory, dyno, host, tls):
    """nginx with a worker for each core in front of the dyno."""
    port, tls_port = free_port(), free_port()
    config = directory / "nginx.conf"
    config.write_text(
        NGINX.format(
            dir=directory, dyno=dyno, host=host, workers=CORES, port=port, tls_port=tls_port,
            cert=tls / "server.pem", key=tls / "server.key",
        )
    )
    proxy = Proxy("nginx", [program("nginx"), "-c", config], [port, tls_port])
    proxy.port, proxy.tls_port = port, tls_port
    return proxy


def haproxy(directory, dyno, tls):
    """HAProxy with a thread for each core in front of the dyno."""
    port, tls_port = free_port(), free_port()
    pem = directory / "haproxy.pem"
    pem.write_text((tls / "server.pem").read_text() + (tls / "server.key").read_text())
    pem.chmod(0o600)
    config = directory / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(dyno=dyno, workers=CORES, port=port, tls_port=tls_port, pem=pem)
    )
    log = open(directory / "haproxy-access.log", "ab")
    proxy = Proxy("haproxy", [program("haproxy"), "-f", config], [port, tls_port], output=log)
    proxy.port, proxy.tls_port = port, tls_port
    return proxy


class Alone:
    """Hythe's router without the platform (`crates/router/examples/alone.rs`)."""

    def __init__(self, directory, dyno, apps):
        target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
        self.program = Path(target) / "release/examples/alone"
        if not self.program.exists():
            raise SystemExit(f"{self.program} is missing: cargo build --release -p router --example alone")
        self.first = f"{dyno} {apps} {directory / 'alone.log'}"

    def __enter__(self):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([self.program], stdin=pipe, stdout=pipe, text=True)
        answer = self.order(self.first)
        self.port = self.tls_port = int(answer.rpartition(":")[2])
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)

    def order(self, line):
        """Gives an order and waits for what comes of it."""
        self.begin(line)
        return self.outcome()

    def begin(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def outcome(self):
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise SystemExit("the router alone has ended")
        return answer

    def cpu_seconds(self):
        return figures.cpu_seconds(self.process.pid)

    def pss_mib(self):
        return figures.pss_mib(self.process.pid)


__all__ = ["BENCH", "Alone", "Proxy", "free_port", "haproxy", "nginx", "program"]
