"""Counts visits in Redis and says who answered. Standard library only, so the image needs nothing but Debian.

    GET /         a line of text (or a page for a browser): count, version, pod, node
    GET /healthz  200 while the process can answer
    GET /readyz   200 while Redis answers, 503 while it does not or while the process is ending

Configured by the environment: REDIS_HOST, REDIS_PORT, REDIS_PASSWORD, GREETING, VERSION, POD_NAME, NODE_NAME.
"""

from __future__ import annotations

import html
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REDIS = (os.environ.get("REDIS_HOST", "redis"), int(os.environ.get("REDIS_PORT", "6379")))
PASSWORD = os.environ.get("REDIS_PASSWORD", "")
GREETING = os.environ.get("GREETING", "Hello")
VERSION = os.environ.get("VERSION", "dev")
POD = os.environ.get("POD_NAME", socket.gethostname())
NODE = os.environ.get("NODE_NAME", "?")
ending = threading.Event()


class RedisError(OSError):
    """Redis did not answer as expected."""


def redis(*words: str) -> str:
    """One command on a connection of its own: the first line of the answer without its type mark."""
    commands = ([("AUTH", PASSWORD)] if PASSWORD else []) + [words]
    with socket.create_connection(REDIS, timeout=2) as connection, connection.makefile("rb") as answers:
        for command in commands:
            parts = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
            connection.sendall(b"*%d\r\n%s" % (len(command), parts))
            line = answers.readline().decode().rstrip()
            if not line or line[0] == "-":
                raise RedisError(line or "Redis closed the connection")
    return line[1:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(200, "ok")
        elif self.path == "/readyz":
            self.ready()
        elif self.path == "/":
            self.visit()
        else:
            self.answer(404, "not found")

    def ready(self) -> None:
        if ending.is_set():
            self.answer(503, "ending")
            return
        try:
            redis("PING")
        except OSError as error:
            self.answer(503, f"redis: {error}")
        else:
            self.answer(200, "ok")

    def visit(self) -> None:
        try:
            count = redis("INCR", "visits")
        except OSError as error:
            self.answer(503, f"redis: {error}")
            return
        line = f"{GREETING}: visit {count}, {VERSION}, from {POD} on {NODE}"
        if "text/html" in self.headers.get("Accept", ""):
            page = f"<!doctype html><title>visits</title><h1>{html.escape(line)}</h1>"
            self.answer(200, page, "text/html; charset=utf-8")
        else:
            self.answer(200, line)

    def answer(self, code: int, text: str, content_type: str = "text/plain; charset=utf-8") -> None:
        body = text.encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if ending.is_set():
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        if self.path not in ("/healthz", "/readyz"):
            sys.stdout.write(f"{self.address_string()} {format % args}\n")  # in one piece: threads share the stream


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # the library's 5 are fewer than a burst of visitors
    daemon_threads = False  # requests in flight are answered before the process ends


def main() -> None:
    server = Server(("", int(os.environ.get("PORT", "8080"))), Handler)

    def end(signum: int, frame: object) -> None:
        ending.set()
        # New connections may still be on their way here until every node has heard that this pod is ending.
        threading.Timer(float(os.environ.get("LINGER_SECONDS", "3")), server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    print(f"visits {VERSION} listening on {server.server_port}, counting in {REDIS[0]}:{REDIS[1]}")
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    print("ended")


if __name__ == "__main__":
    main()
