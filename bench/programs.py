"""The small web programs that starts are measured with. Each answers with the time at which it began."""

import shutil
import subprocess
from pathlib import Path

STATIC = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  char body[64], answer[256], request[4096];
  snprintf(body, sizeof body, "%ld.%09ld", (long)now.tv_sec, now.tv_nsec);
  snprintf(answer, sizeof answer,
           "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(body), body);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) return 1;
  for (;;) {
    int client = accept(listener, 0, 0);
    if (client < 0) continue;
    if (read(client, request, sizeof request) > 0) write(client, answer, strlen(answer));
    close(client);
  }
}
"""
NODE = """\
const { performance } = require('node:perf_hooks');
const began = (performance.timeOrigin / 1000).toFixed(6);
require('node:http').createServer((_, response) => response.end(began)).listen(process.env.PORT);
"""
PYTHON = """\
import time
BEGAN = b"%.6f" % time.time()
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BEGAN)))
        self.end_headers()
        self.wfile.write(BEGAN)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Hello).serve_forever()
"""


def compiled(directory):
    """The static program in `directory`, or why there is none."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        return None
    source = directory / "hello.c"
    source.write_text(STATIC)
    done = subprocess.run(
        [compiler, "-static", "-O2", "-o", directory / "hello", source], capture_output=True, check=False
    )
    source.unlink()
    return None if done.returncode else directory / "hello"


def written(directory):
    """Writes all programs to `directory`; gives the command of each."""
    directory.mkdir(exist_ok=True)
    (directory / "server.js").write_text(NODE)
    (directory / "hello.py").write_text(PYTHON)
    commands = {}
    if compiled(directory):
        commands["static"] = "/app/hello"
    else:
        print("no static program: there is no C compiler that links statically")
    for name, program, file in [("Node", "node", "server.js"), ("Python", "python3", "hello.py")]:
        # A dyno sees nothing of this machine but its /usr.
        places = [shutil.which(program), f"/usr/bin/{program}"]
        paths = [Path(place).resolve() for place in places if place and Path(place).exists()]
        visible = [path for path in paths if path.is_relative_to("/usr")]
        if visible:
            commands[name] = f"{visible[0]} /app/{file}"
        else:
            print(f"no {name}: there is no {program} below /usr, which is all that a dyno sees")
    return commands
