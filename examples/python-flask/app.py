"""A small Flask app that shows what a dyno gives to its process."""

import os
import platform
import time

from flask import Flask, Response, abort, request

app = Flask(__name__)


def text(body):
    return Response(body, mimetype="text/plain")


@app.get("/")
def hello():
    env = os.environ
    lines = [
        f"{env.get('GREETING', 'Hello from Hythe')}!",
        "",
        f"dyno:            {env.get('DYNO', 'none')}",
        f"stack:           {env.get('STACK', 'none')}",
        f"python:          {platform.python_version()}",
        f"web concurrency: {env.get('WEB_CONCURRENCY', 'unset')}",
        f"request id:      {request.headers.get('X-Request-Id', 'none')}",
        f"you are:         {request.headers.get('X-Forwarded-For', request.remote_addr)}",
        "",
    ]
    return text("\n".join(lines))


@app.get("/health")
def health():
    return text("ok\n")


@app.get("/env/<name>")
def variable(name):
    """The value of one variable, byte for byte."""
    value = os.environb.get(name.encode())
    if value is None:
        abort(404)
    return Response(value, mimetype="application/octet-stream")


@app.get("/slow")
def slow():
    ms = min(request.args.get("ms", 1000, type=int), 25_000)
    time.sleep(ms / 1000)
    return text(f"waited {ms} ms\n")


@app.get("/stream")
def stream():
    """Ten lines, one at a time."""

    def lines():
        for number in range(1, 11):
            time.sleep(0.2)
            yield f"line {number}\n"

    return text(lines())
