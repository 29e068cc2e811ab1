"""A process without a port: it logs a tick now and then until it is told to stop."""

import os
import signal
import threading

stop = threading.Event()


def finish(*_):
    print("SIGTERM: finishing", flush=True)
    stop.set()


signal.signal(signal.SIGTERM, finish)
seconds = float(os.environ.get("TICK_SECONDS", "10"))
tick = 0
while not stop.wait(seconds):
    tick += 1
    print(f"tick {tick} from {os.environ.get('DYNO', 'nowhere')}", flush=True)
