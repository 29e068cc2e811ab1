"""A steady load: requests at fixed times, however long the answers take."""

import asyncio
import collections
import threading
import time

TIMEOUT_SECONDS = 35


class Load:
    """Requests per second, half on kept connections and half on fresh ones. Use it with `with`."""

    def __init__(self, port, host, per_second=100, kept_connections=10):
        self.port = port
        self.head = f"GET / HTTP/1.1\r\nHost: {host}\r\n"
        self.interval = 1 / per_second
        self.kept_connections = kept_connections
        self.good = 0
        self.failures = collections.Counter()
        self.bodies = collections.Counter()
        self.slowest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    async def _run(self):
        self._idle = collections.deque()
        running = set()
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        number = 0
        while not self._stop.is_set():
            await asyncio.sleep(max(0, next_at - loop.time()))
            next_at += self.interval
            kind = self._kept if number % 2 else self._fresh
            number += 1
            task = asyncio.create_task(self._request(kind))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
        for _, writer in self._idle:
            writer.close()

    async def _request(self, kind):
        begin = time.monotonic()
        try:
            status, body = await asyncio.wait_for(kind(), TIMEOUT_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, a visitor saw it
            self.failures[f"{kind.__name__.strip('_')}: {type(error).__name__} {error}"] += 1
            return
        self.slowest = max(self.slowest, time.monotonic() - begin)
        if status == 200:
            self.good += 1
            self.bodies[body.strip().decode()] += 1
        else:
            self.failures[f"{kind.__name__.strip('_')}: status {status}"] += 1

    async def _fresh(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"{self.head}Connection: close\r\n\r\n".encode())
            status, body, _ = await _answer(reader)
            return status, body
        finally:
            writer.close()

    async def _kept(self):
        if len(self._idle) >= self.kept_connections:
            reader, writer = self._idle.popleft()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"{self.head}\r\n".encode())
            status, body, keeps = await _answer(reader)
        except BaseException:
            writer.close()
            raise
        # A server may say that it closes; that is no failure, and the connection is not used again.
        if keeps:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return status, body


async def _answer(reader):
    """Status, body, and whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    status = int(lines[0].split()[1])
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if fields.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(fields.get("content-length", 0)))
    return status, body, fields.get("connection") != "close"


async def _chunks(reader):
    body = b""
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return body
        body += chunk[:-2]
