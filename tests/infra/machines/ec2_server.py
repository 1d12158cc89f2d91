"""An EC2 to try drivers against: moto's server, and before it what moto leaves out.

What is added is what EC2's documentation says: client tokens (the same request answers the same machine, another one
is refused), quotas, capacity that runs out, throttling, machines that are listed late, connections that break before
or after the work was done. Faults are scripted per action; everything else is moto's.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from moto.server import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

_ERROR = (
    '<?xml version="1.0"?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>'
    "<RequestID>1</RequestID></Response>"
)
_accounts = itertools.count(1)
BREAK_BEFORE, BREAK_AFTER = "break-before", "break-after"


class Broken(Exception):
    """Ends the connection without an answer. No ConnectionError: the server would take the client for gone."""


class Behind(Protocol):
    """What stands behind the instances. Called when moto has done an action; answers what to change in moto's words."""

    def __call__(self, action: str, asked: Mapping[str, str], ids: Sequence[str]) -> Mapping[str, str]: ...


@dataclass
class Ec2Server:
    """A running server. `script` holds, by action, the next calls' fates: an error code, or a break."""

    url: str = ""
    account: str = ""
    """moto keeps what there is by account and for the whole process; each server answers for one of its own."""
    script: dict[str, deque[str]] = field(default_factory=dict)
    machines: int | None = None
    """Quota of machines that live at once."""
    late: int = 0
    """How many describes of a new machine answer that there is none."""
    calls: list[str] = field(default_factory=list)
    machines_behind: Behind | None = None
    """What makes instances real (`ec2_machines`); None: they are words."""
    _inner: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _tokens: dict[str, tuple[bytes, list[Any]]] = field(default_factory=dict)
    _hidden: dict[str, int] = field(default_factory=dict)
    _alive: set[str] = field(default_factory=set)

    @property
    def living(self) -> int:
        """Machines that were made and not terminated."""
        return len(self._alive)

    def then(self, action: str, *fates: str) -> None:
        self.script.setdefault(action, deque()).extend(fates)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body: bytes = environ["wsgi.input"].read(size)
        asked = dict(parse_qsl(body.decode() or environ.get("QUERY_STRING", ""), keep_blank_values=True))
        action = asked.get("Action", "")
        with self._lock:  # moto's models are not made for threads
            self.calls.append(action)
            waiting = self.script.get(action)
            fate = waiting.popleft() if waiting else ""
            if fate == BREAK_BEFORE:
                raise Broken
            if fate and fate != BREAK_AFTER:
                return _answer(start, [_error(fate)])
            refused = self._refuse(action, asked)
            answer = refused if refused is not None else self._ask(action, asked, environ, body)
            if fate == BREAK_AFTER:
                raise Broken
        return _answer(start, answer)

    def _refuse(self, action: str, asked: dict[str, str]) -> list[Any] | None:
        if action == "RunInstances":
            if (known := self._tokens.get(asked.get("ClientToken", ""))) is not None:
                return known[1] if known[0] == _without_signature(asked) else [_error("IdempotentParameterMismatch")]
            if self.machines is not None and len(self._alive) >= self.machines:
                return [_error("InstanceLimitExceeded")]
        id = asked.get("InstanceId.1", "")
        if action == "DescribeInstances" and self._hidden.get(id, 0) > 0:
            self._hidden[id] -= 1
            return [_error("InvalidInstanceID.NotFound")]
        return None

    def _ask(self, action: str, asked: dict[str, str], environ: dict[str, Any], body: bytes) -> list[Any]:
        answer: list[Any] = []

        def keep(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            answer[:] = [(status, [header for header in headers if header[0] != "Content-Length"])]

        if "/ec2/" not in environ.get("HTTP_AUTHORIZATION", ""):
            environ = {**environ, "HTTP_HOST": "ec2.us-east-1.amazonaws.com"}  # an old signature names no service
        environ = {**environ, "HTTP_X_MOTO_ACCOUNT_ID": self.account, "wsgi.input": io.BytesIO(body)}
        content = b"".join(self._inner(environ, keep))
        answer.append(content.replace(b'/doc/2016-11-15">', b'/doc/2016-11-15/">'))  # as EC2 writes its namespace
        if answer[0][0].startswith("200"):
            ids: list[str] = []
            if action == "RunInstances":
                made = re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", content)
                ids = [id.decode() for id in made]
                self._alive.update(ids)
                self._hidden.update(dict.fromkeys(ids, self.late))
                if token := asked.get("ClientToken"):
                    self._tokens[token] = (_without_signature(asked), answer)
            named = [value for name, value in asked.items() if name.startswith("InstanceId.")]
            if action == "TerminateInstances":
                self._alive -= set(named)
            if self.machines_behind is not None:
                for said, true in self.machines_behind(action, asked, named or ids).items():
                    answer[1] = answer[1].replace(said.encode(), true.encode())
        return answer


def _without_signature(asked: dict[str, str]) -> bytes:
    own = {name: value for name, value in asked.items() if not name.startswith(("X-Amz", "AWSAccess", "Signature"))}
    return urlencode(sorted((n, v) for n, v in own.items() if n not in ("Timestamp", "Version"))).encode()


def _error(code: str) -> Any:
    status = "503 Service Unavailable" if code in ("RequestLimitExceeded", "InternalError") else "400 Bad Request"
    content = _ERROR.format(code=code, message=f"scripted: {code}").encode()
    return status, [("Content-Type", "text/xml")], content


def _answer(start: Callable[..., Any], answer: list[Any]) -> list[bytes]:
    if len(answer) == 1:
        status, headers, content = answer[0]
    else:
        (status, headers), content = answer
    start(status, headers)
    return [content]


class _Quiet(WSGIRequestHandler):  # type: ignore[misc]  # it comes without types
    def log(self, type: str, message: str, *arguments: Any) -> None:
        pass

    def run_wsgi(self) -> None:
        try:
            super().run_wsgi()
        except Broken:
            self.close_connection = True


@contextmanager
def ec2_server() -> Iterator[Ec2Server]:
    """A server at a free port with an account of its own for as long as the block lasts."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # hundreds of images, seconds for each question about one
    server = Ec2Server(account=f"{next(_accounts):012}", _inner=create_backend_app("ec2"))

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return server(environ, start)

    running = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet, passthrough_errors=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{running.server_port}"
    try:
        yield server
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
