"""One question to a container: http, tcp or exec.

In: a handler of a probe or lifecycle hook, as the pod's specification has it. Out: `Reply`. `probes.py` and `hooks.py`
call it through the `Prober` protocol; the simulation brings its own. Source: Kubernetes API reference, HTTPGetAction,
TCPSocketAction, ExecAction.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol

import aiohttp

from iacorch import __version__
from iacorch.agent.runtime.contract import Runtime
from iacorch.errors import RuntimeFailed
from iacorch.kit.sockets import Sockets

_OUTPUT_BYTES: Final = 10 * 1024
_BODY_BYTES: Final = 10 * 1024
_HTTP_GOOD: Final = range(200, 400)


@dataclass(frozen=True, slots=True)
class Reply:
    is_good: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The container that is asked, and where its pod is reached from the node."""

    container_id: str
    address: str
    ports: Mapping[str, int]
    """The container's named ports."""


class Prober(Protocol):
    async def ask(self, handler: Mapping[str, Any], subject: Subject, *, timeout_seconds: float) -> Reply:
        """Never raises for what the container does; a bad answer, no answer and a late answer are not good."""
        ...


class SocketProber:
    """The real one. Use as an async context manager."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._session: aiohttp.ClientSession | None = None
        self._sockets = Sockets()

    async def __aenter__(self) -> SocketProber:
        # Certificates are not checked, as in Kubernetes: a probe asks whether, not who.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=False, force_close=True, limit=0, socket_factory=self._sockets.make),
            headers={"User-Agent": f"kube-probe/iacorch-{__version__}", "Accept": "*/*"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            await self._sockets.hang_up()

    async def ask(self, handler: Mapping[str, Any], subject: Subject, *, timeout_seconds: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_seconds):
                if (action := handler.get("httpGet")) is not None:
                    return await self._http(action, subject)
                if (action := handler.get("tcpSocket")) is not None:
                    return await _tcp(action, subject)
                if (action := handler.get("exec")) is not None:
                    return await self._exec(action, subject, timeout_seconds)
        except TimeoutError:
            return Reply(False, f"{_asked(handler, subject)}no answer within {timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Reply(False, f"{_asked(handler, subject)}{reason(error)}")
        except ValueError as error:
            return Reply(False, str(error))
        except RuntimeFailed as error:
            return Reply(False, error.message)
        return Reply(False, f"probes of kind {sorted(handler)} are not supported by this agent")

    async def _http(self, action: Mapping[str, Any], subject: Subject) -> Reply:
        assert self._session is not None, "use `async with SocketProber(...)`"
        headers = {entry["name"]: entry["value"] for entry in action.get("httpHeaders") or ()}
        async with self._session.get(url_of(action, subject), headers=headers) as response:
            body = await response.content.read(_BODY_BYTES)
            if response.status in _HTTP_GOOD:
                return Reply(True)
            text = body[:200].decode("utf-8", "replace")
            return Reply(False, f"HTTP probe failed with statuscode: {response.status} {text}".strip())

    async def _exec(self, action: Mapping[str, Any], subject: Subject, timeout_seconds: float) -> Reply:
        command = tuple(action.get("command") or ())
        result = await self._runtime.exec(
            subject.container_id, command, timeout_seconds=timeout_seconds, output_bytes=_OUTPUT_BYTES
        )
        return Reply(result.exit_code == 0, result.output.decode("utf-8", "replace").strip())


async def _tcp(action: Mapping[str, Any], subject: Subject) -> Reply:
    host, port = action.get("host") or subject.address, port_number(action.get("port"), subject.ports)
    _, writer = await asyncio.open_connection(host, port)
    writer.transport.abort()
    return Reply(True)


def url_of(action: Mapping[str, Any], subject: Subject) -> str:
    """Where an HTTPGetAction leads. Raises ValueError for a port that the container does not name."""
    host, path = action.get("host") or subject.address, action.get("path") or "/"
    scheme = str(action.get("scheme") or "HTTP").lower()
    port = port_number(action.get("port"), subject.ports)
    return f"{scheme}://{host}:{port}{'' if path.startswith('/') else '/'}{path}"


def reason(error: aiohttp.ClientError | OSError) -> str:
    """What a person needs of it: "connection refused" and not how the library words it."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return os.strerror(error.errno or 0).lower()
    return str(error) or type(error).__name__


def _asked(handler: Mapping[str, Any], subject: Subject) -> str:
    if (action := handler.get("httpGet")) is not None:
        return f'Get "{url_of(action, subject)}": '
    if (action := handler.get("tcpSocket")) is not None:
        address = f"{action.get('host') or subject.address}:{port_number(action.get('port'), subject.ports)}"
        return f"dial tcp {address}: "
    return ""


def port_number(port: int | str | None, named: Mapping[str, int]) -> int:
    """Raises ValueError for a name that no port of the container has."""
    if isinstance(port, int):
        return port
    text = str(port or "")
    if text.isdigit():
        return int(text)
    if text not in named:
        raise ValueError(f"the container has no port named {text!r}")
    return named[text]
