#!/usr/bin/env python3
"""From line to reader: what it costs, how long it takes, what is lost; beside rsyslog.

usage: bench/logplex.py [--rounds N] [--seconds S] [--lines N] [--only NAME …]

Twenty dynos of one app print numbered lines of some 160 bytes: 500 a second each, or as fast as they
can. The way is the whole one: a real pipe of a real dyno, the ring, segments on disk and one syslog
drain over TCP, whose receiver checks that every line of every dyno came, or was said to be lost. CPU
time is that of the whole server process. rsyslog gets the same lines from as many processes over its
Unix stream socket and sends them to the same receiver.
"""

import argparse
import base64
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit
import http.client

import figures
from hythe import BENCH, Server, deployed

APP = "lines"
PRODUCERS = 20
RATE = 500
START_SECONDS = 12
QUIET_SECONDS = 2.5
SETTINGS = "[drains]\nnetworks = ['127.0.0.0/8']\n"

# What a dyno runs: MODE COUNT START, and for rsyslog NAME SOCKET. All begin at the same time, and in a
# flood the lines are made before, so that what is measured is not how fast Python makes them.
PRODUCER = r'''
import os, sys, time
mode, count, start = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
who, path = (sys.argv[4], sys.argv[5]) if len(sys.argv) > 4 else (os.environ["DYNO"], None)
if path:
    import socket
    out = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    out.connect(path)
    begin, send = b"<190>", out.sendall
else:
    begin, send = b"", lambda data: os.write(1, data)
rnd = __import__("random").Random(f"{who}{start}")
def line(n):
    r = rnd.getrandbits(128)
    key = f"{r >> 96:08x}-{r >> 80 & 0xffff:04x}-4{r >> 68 & 0xfff:03x}-a{r >> 56 & 0xfff:03x}-{r & 0xffffffffffff:012x}"
    tag = f"{who}: " if path else ""
    text = f"seq={n} t={time.time():.6f} request_id={key} method=GET path=/users/{r % 5000}/orders status={200 if r % 9 else 404} duration={r % 977}ms bytes={r % 20011}"
    return begin + (tag + text + (" cache=miss queue=default job=mailer" if n % 3 == 0 else "") + "\n").encode()
def whole(data):
    while data:
        sent = send(data)
        data = data[sent:] if sent is not None else b""
part = 400
flood = [b"".join(line(n) for n in range(at, min(at + part, count))) for at in range(0, count, part)] if mode == "flat" else []
time.sleep(max(0, start - time.time()))
if mode == "flat":
    for data in flood:
        whole(data)
else:
    period, at = 1.0 / float(mode), time.time()
    for n in range(count):
        whole(line(n))
        at += period
        wait = at - time.time()
        if wait > 0:
            time.sleep(wait)
if not path:
    while True:
        time.sleep(1000)
'''

SEQUENCE = re.compile(rb"seq=(\d+) t=([0-9.]+)")
PROCESS = re.compile(rb" (worker\.\d+|p\d+):? ")
LOST = re.compile(rb"Error L1[012]\b.*?(\d+) messages dropped")


class Receiver:
    """A syslog receiver that counts; newline or octet counted, the lines are the same."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.seen = {}
        self.lost = self.repeated = self.disordered = 0
        self.chunks = None
        self.newest = 0.0
        self.latencies = []
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        rest = b""
        while data := connection.recv(1 << 18):
            now = self.newest = time.time()
            if self.chunks is not None:
                # In a flood there is no time to look at lines; they are looked at afterwards.
                self.chunks.append((connection, data, now))
                continue
            data = rest + data
            lines = data.split(b"\n")
            rest = lines.pop()
            with self.lock:
                for line in lines:
                    self._take(line, now)

    def _take(self, line, now):
        if lost := LOST.search(line):
            self.lost += int(lost.group(1))
            return
        found = SEQUENCE.search(line)
        who = PROCESS.search(line)
        if not found or not who:
            return
        number = int(found.group(1))
        before = self.seen.setdefault(who.group(1), [-1, 0])
        if number == before[0]:
            self.repeated += 1
        elif number < before[0]:
            self.disordered += 1
        before[0] = max(before[0], number)
        before[1] += 1
        if number % 50 == 0:
            self.latencies.append((now - float(found.group(2))) * 1000)

    @property
    def received(self):
        with self.lock:
            return sum(count for _, count in self.seen.values())

    def reset(self, mode):
        with self.lock:
            self.seen, self.latencies = {}, []
            self.lost = self.repeated = self.disordered = 0
            self.chunks = [] if mode == "flat" else None
            self.newest = 0.0

    def settle(self, start, limit):
        """Waits until nothing has come for a while; gives the time of the last that came."""
        deadline = time.time() + limit
        while time.time() < deadline:
            if self.newest > start and time.time() - self.newest > QUIET_SECONDS:
                break
            time.sleep(0.1)
        last, chunks, self.chunks = self.newest, self.chunks or [], None
        rests = {}
        for connection, data, now in chunks:
            lines = (rests.get(connection, b"") + data).split(b"\n")
            rests[connection] = lines.pop()
            for line in lines:
                self._take(line, now)
        return last


def wait_for(what, limit, condition):
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise SystemExit(f"{what} did not come true within {limit} s")


def app(directory):
    """Workers whose command is in the config var `MODE`."""
    source = directory / "app"
    shutil.copytree(BENCH / "apps/node-plain", source)
    (source / "producer.py").write_text(PRODUCER)
    with open(source / "Procfile", "a") as procfile:
        procfile.write("\nworker: exec /usr/bin/python3 producer.py $MODE\n")
    return source


def run_dynos(server, receiver, mode, count, limit):
    """Lets the dynos print; gives CPU seconds, by thread too, and wall seconds."""
    scale(server, 0)
    receiver.reset(mode)
    start = time.time() + START_SECONDS
    server.api("PATCH", f"/apps/{APP}/config-vars", {"MODE": f"{mode} {count} {start}"})
    scale(server, PRODUCERS)
    time.sleep(max(0, start - 0.3 - time.time()))
    before, threads = figures.cpu_seconds(server.pid), figures.thread_cpu_seconds(server.pid)
    wall = receiver.settle(start, limit) - start
    cpu = figures.cpu_seconds(server.pid) - before
    after = figures.thread_cpu_seconds(server.pid)
    by_thread = {name: after[name] - threads.get(name, 0) for name in after}
    return cpu, {k: round(v, 2) for k, v in by_thread.items() if v >= 0.02}, wall


def scale(server, quantity):
    server.api("PATCH", f"/apps/{APP}/formation/worker", {"quantity": quantity})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        dynos = server.api("GET", f"/apps/{APP}/dynos")
        workers = [dyno for dyno in dynos if dyno["type"] == "worker"]
        if len(workers) == quantity:
            return
        time.sleep(0.1)
    raise SystemExit("the dynos did not become so many")


class Rsyslog:
    """Debian's rsyslogd with one stream socket in and one TCP connection out."""

    def __init__(self, directory, port):
        self.socket = directory / "rsyslog.sock"
        config = directory / "rsyslog.conf"
        config.write_text(
            f'''
global(workDirectory="{directory}" maxMessageSize="16k")
module(load="imptcp")
input(type="imptcp" path="{self.socket}" unlink="on")
main_queue(queue.type="FixedArray" queue.size="100000" queue.dequeueBatchSize="512")
template(name="line" type="string" string="<%pri%>1 - host %syslogtag%%msg%\\n")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" template="line")
'''
        )
        self.process = subprocess.Popen(
            ["/usr/sbin/rsyslogd", "-n", "-f", str(config), "-i", str(directory / "rsyslog.pid")],
            stderr=subprocess.DEVNULL,
        )
        wait_for("rsyslog's socket", 20, self.socket.exists)

    def run(self, receiver, directory, mode, count, limit):
        receiver.reset(mode)
        program = directory / "producer.py"
        program.write_text(PRODUCER)
        start = time.time() + 5
        before = figures.cpu_seconds(self.process.pid)
        producers = [
            subprocess.Popen(
                ["/usr/bin/python3", program, str(mode), str(count), str(start), f"p{n}", self.socket],
                env={"PATH": os.environ["PATH"]},
            )
            for n in range(PRODUCERS)
        ]
        wall = receiver.settle(start, limit) - start
        for producer in producers:
            producer.wait()
        return figures.cpu_seconds(self.process.pid) - before, wall

    def end(self):
        self.process.terminate()
        self.process.wait()


class Tail:
    """Reads the app's tail as the CLI does; milliseconds from a line's time to here."""

    def __init__(self, server):
        session = server.api("POST", f"/apps/{APP}/log-sessions", {"tail": True, "lines": 1})
        url = urlsplit(session["logplex_url"])
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        path = url.path + (f"?{url.query}" if url.query else "")
        headers = {"Host": url.netloc, "Accept": "text/event-stream"}
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.latencies = []
        self.stopped = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        rest = b""
        while not self.stopped:
            try:
                data = self.answer.read1(1 << 16)
            except (OSError, http.client.HTTPException, ValueError):
                return
            if not data:
                return
            now = time.time()
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            for line in lines:
                if found := SEQUENCE.search(line):
                    self.latencies.append((now - float(found.group(2))) * 1000)

    def end(self):
        self.stopped = True
        self.connection.sock and self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        return self.latencies


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def steady(server, receiver, rsyslog, directory, arguments):
    count = RATE * arguments.seconds
    ours, theirs, tails = [], [], []
    for _ in range(arguments.rounds):
        cpu, threads, _ = run_dynos(server, receiver, RATE, count, arguments.seconds + 90)
        check(receiver, count)
        ours.append(cpu / (count * PRODUCERS) * 100_000)
        print(f"  steady: {ours[-1]:.3f} s per 100k lines {threads}", flush=True)
        if rsyslog:
            cpu, _ = rsyslog.run(receiver, directory, RATE, count, arguments.seconds + 90)
            theirs.append(cpu / (count * PRODUCERS) * 100_000)
            print(f"  rsyslog: {theirs[-1]:.3f}", flush=True)
    # Another round with a reader, which costs CPU too.
    tail = Tail(server)
    run_dynos(server, receiver, RATE, count, arguments.seconds + 90)
    tails += tail.end()
    print(f"steady 10k lines/s, CPU s per 100k lines: {figures.spread(ours)}")
    if theirs:
        ratio = figures.ratio_of_rounds(ours, theirs)
        print(f"  rsyslog: {figures.spread(theirs)}; ours / rsyslog's {ratio:.2f} (aim 0.20)")
    if tails:
        p50, p99 = percentile(tails, 50), percentile(tails, 99)
        print(f"  written to seen in a tail: p50 {p50:.1f} ms, p99 {p99:.1f} ms (aim 10, 50)")


def flat(server, receiver, rsyslog, directory, arguments):
    count = arguments.lines // PRODUCERS
    ours, speeds, theirs = [], [], []
    for _ in range(arguments.rounds):
        cpu, threads, wall = run_dynos(server, receiver, "flat", count, 180)
        reported = check(receiver, count)
        ours.append(cpu / (count * PRODUCERS) * 100_000)
        speeds.append(count * PRODUCERS / wall / 1e6)
        print(f"  flat: {ours[-1]:.3f}, {speeds[-1]:.2f} M/s, {reported} lost {threads}", flush=True)
        if rsyslog:
            cpu, wall = rsyslog.run(receiver, directory, "flat", count, 180)
            theirs.append(cpu / (count * PRODUCERS) * 100_000)
            print(f"  rsyslog: {theirs[-1]:.3f}", flush=True)
    print(f"flat out, CPU s per 100k lines: {figures.spread(ours)} (aim 0.10)")
    print(f"  million lines/s: {figures.spread(speeds)} (aim 0.4)")
    if theirs:
        print(f"  rsyslog: {figures.spread(theirs)}")


def check(receiver, count):
    """Every line of every dyno came once and in order, or was said to be lost."""
    sent = count * PRODUCERS
    received, lost = receiver.received, receiver.lost
    # Among the lost may be lines of the platform: each dyno has a few.
    same = sent <= received + lost <= sent + (8 * PRODUCERS if lost else 0)
    if not same or receiver.repeated or receiver.disordered:
        print(
            f"  NOT THE SAME: sent {sent}, received {received}, reported {lost}, repeated "
            f"{receiver.repeated}, out of order {receiver.disordered}"
        )
    return lost


def search(server, arguments):
    """One id in everything that is kept."""
    wanted = {"dyno": "worker.7", "lines": 1, "query": "seq=4321"}
    found = server.api("GET", f"/apps/{APP}/log-search?{urlencode(wanted)}")["lines"]
    if not found:
        raise SystemExit("nothing to look for")
    key = re.search(r"request_id=([0-9a-f-]{36})", found[0]["message"]).group(1)
    times = []
    for _ in range(15):
        begin = time.monotonic()
        path = f"/apps/{APP}/log-search?{urlencode({'request_id': key, 'lines': 1})}"
        lines = server.api("GET", path)["lines"]
        times.append((time.monotonic() - begin) * 1000)
        assert any(key in line["message"] for line in lines)
    print(f"one id, over the API with its connection: {figures.spread(times)} ms (aim 5)")
    before = figures.cpu_seconds(server.pid)
    for _ in range(200):
        server.api("GET", path)
    each = (figures.cpu_seconds(server.pid) - before) / 200 * 1000
    print(f"  the server's CPU time for it: {each:.1f} ms")
    begin = time.monotonic()
    server.api("GET", f"/apps/{APP}/log-search?{urlencode({'query': 'absentword', 'lines': 5})}")
    print(f"  an absent word: {(time.monotonic() - begin) * 1000:.1f} ms")


def hole():
    """A receiver that accepts and never reads."""
    connections = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)

    def accept():
        while True:
            connections.append(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def stuck(server, receiver, arguments):
    """Four stuck drains beside the good one, which must get everything."""
    port, count = hole(), RATE * arguments.seconds
    for index in range(4):
        url = f"syslog://127.0.0.1:{port}/?{index}"
        server.api("POST", f"/apps/{APP}/log-drains", {"url": url})
    run_dynos(server, receiver, RATE, count, 120)
    lost = check(receiver, count)
    print(
        f"beside four stuck drains the good one got {receiver.received} of {count * PRODUCERS} lines, "
        f"{lost} reported lost"
    )


def hundred(server):
    """A hundred stuck drains, five on each of twenty apps, whose lines are posted."""
    port = hole()
    frame = b"<190>1 2026-01-02T03:04:05.000000+00:00 host app web.1 - " + b"x" * 150
    body = b"".join(str(len(frame)).encode() + b" " + frame for _ in range(1000))
    apps = []
    for number in range(20):
        name = f"stuck-{number}"
        server.api("POST", "/apps", {"name": name})
        made = server.api("POST", f"/apps/{name}/log-inputs", {"name": "bench"})
        apps.append((name, made["token"]))
    before = resident(server.pid)
    for name, _ in apps:
        for index in range(5):
            url = f"syslog://127.0.0.1:{port}/?{index}"
            server.api("POST", f"/apps/{name}/log-drains", {"url": url})
    time.sleep(2)
    for _ in range(30):
        for _, token in apps:
            post_lines(server, token, body)
    time.sleep(2)
    grown = (resident(server.pid) - before) / 1e6
    print(f"100 stuck drains with 30,000 lines each: the server grew by {grown:.0f} MB (aim 100)")


def post_lines(server, token, body):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    basic = base64.b64encode(f"token:{token}".encode()).decode()
    headers = {
        "Host": f"localhost:{server.port}",
        "Authorization": f"Basic {basic}",
        "Content-Type": "application/logplex-1",
    }
    connection.request("POST", "/logs", body, headers)
    answer = connection.getresponse()
    if answer.status >= 300:
        raise SystemExit(f"posting lines: {answer.status} {answer.read()}")
    connection.close()


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines of a flat-out round")
    parser.add_argument("--only", nargs="*", default=["steady", "flat", "disk", "stuck", "hundred"])
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="hythe-bench-logs-"))
    receiver = Receiver()
    has_rsyslog = Path("/usr/sbin/rsyslogd").exists()
    if not has_rsyslog:
        print("rsyslog is not installed (Debian: rsyslog): no comparison")
    rsyslog = Rsyslog(directory, receiver.port) if has_rsyslog else None
    try:
        with Server(SETTINGS) as server:
            deployed(server, APP, app(directory))
            server.api("PATCH", f"/apps/{APP}/formation/web", {"quantity": 0})
            server.api("POST", f"/apps/{APP}/log-drains", {"url": f"syslog://127.0.0.1:{receiver.port}"})
            if "steady" in arguments.only:
                steady(server, receiver, rsyslog, directory, arguments)
            if "flat" in arguments.only:
                flat(server, receiver, rsyslog, directory, arguments)
            if "disk" in arguments.only:
                million(server, receiver, arguments)
            if "stuck" in arguments.only:
                stuck(server, receiver, arguments)
            if "hundred" in arguments.only:
                hundred(server)
    finally:
        if rsyslog:
            rsyslog.end()
        shutil.rmtree(directory, ignore_errors=True)


def million(server, receiver, arguments):
    """What a known number of lines takes on disk, and how long one of them is looked for."""
    before = server.api("GET", f"/apps/{APP}/log-status")["disk"]
    run_dynos(server, receiver, "flat", arguments.lines // PRODUCERS, 180)
    after = server.api("GET", f"/apps/{APP}/log-status")["disk"]
    kept = arguments.lines - (after["unkept"] - before["unkept"])
    per_line = (after["bytes"] - before["bytes"]) / kept
    print(f"on disk: {per_line:.1f} bytes a line over {kept} lines (aim 60)")
    search(server, arguments)


if __name__ == "__main__":
    main()
