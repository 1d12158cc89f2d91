"""The HTTPS server and its one entrance.

In: a registry, the PKI, the authenticator. Out: a running server. Every request comes through `ApiServer.handle`: who
asks, what the path names, one answer; every error leaves from here as a Status. The outermost request handler: one of
the two places where `except Exception` is allowed.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Final

import orjson
import structlog
from aiohttp import web

from iacorch.client.tunnel import CERTIFICATES_PATH, JOIN_PATH, TUNNEL_PATH
from iacorch.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    InternalError,
    NotFound,
    StoreBroken,
    Timeout,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.server import join
from iacorch.server.http import negotiation, paths
from iacorch.server.http.connections import Bounds, Connections, error_response
from iacorch.server.http.documents import Documents
from iacorch.server.http.metrics import Metrics
from iacorch.server.http.resources import Resources
from iacorch.server.http.streams import Watches
from iacorch.server.identity import authz
from iacorch.server.identity.authn import Authenticator, Certified
from iacorch.server.identity.authz import Attributes
from iacorch.server.identity.pki import Pki
from iacorch.server.identity.rotation import Rotation
from iacorch.server.identity.signing import LEAF_LIFE
from iacorch.server.registry import Registry
from iacorch.server.request import MASTERS, User
from iacorch.server.tunnel import Tunnels

log = structlog.get_logger(__name__)

OPEN_TO_ALL: Final = frozenset({"/healthz", "/livez", "/readyz", "/version"})


class ApiServer:
    """Make, `start`, and `stop`. `ready` turns /readyz on."""

    def __init__(
        self,
        registry: Registry,
        *,
        pki: Pki,
        authenticator: Authenticator,
        clock: Clock,
        ids: Ids,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
        rotation: Rotation | None = None,
    ) -> None:
        self._registry, self._pki, self._authenticator, self._clock = registry, pki, authenticator, clock
        self._bounds = bounds
        self._rotation = rotation or Rotation(pki, registry.certificates, clock)
        self._tunnels = Tunnels()
        self._watches = Watches(registry, clock, ids, bounds)
        self._resources = Resources(registry, self._tunnels, self._watches, clock)
        self._documents = Documents(registry.kinds)
        self._metrics = Metrics()
        self._connections = Connections(self.handle, bounds)
        registry.certificates.on_withdrawn = self._connections.cut_node
        self._tells_all = bool(log.is_enabled_for(logging.DEBUG))  # asking costs more than most of what a request needs
        self._listener: asyncio.Server | None = None
        self._runner: web.ServerRunner | None = None
        self.ready = False

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Listen; returns the port, which is drawn by the system where 0 was asked for."""
        await self._registry.certificates.load(self._clock.now(), LEAF_LIFE)
        self._runner = web.ServerRunner(self._connections, shutdown_timeout=limits.SHUTDOWN_SECONDS)
        await self._runner.setup()
        self._listener = await asyncio.get_running_loop().create_server(
            self._connections,
            host,
            port,
            ssl=context,
            ssl_handshake_timeout=self._bounds.handshake_seconds,
            backlog=limits.LISTEN_BACKLOG,
        )
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self.ready = False
        await self._tunnels.close()
        self._watches.end_all()
        if self._listener is not None:
            self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began = self._clock.monotonic()
        user: User | None = None
        try:
            certified = self._connections.certified(request)
            known = self._still_good(certified) if certified is not None else None
            user = self._authenticator.identify(known, request.headers.get("Authorization", ""))
            response = await self._dispatch(request, user, certified)
        except ApiError as error:
            response = error_response(error)
        except StoreBroken as error:
            log.error("the store does not answer", error=error.message, hint=error.hint)
            response = error_response(Unavailable(f"{error.message} ({error.hint})" if error.hint else error.message))
        except web.HTTPRequestEntityTooLarge:
            response = error_response(TooLarge(f"Request entity too large: limit is {self._bounds.body_bytes}"))
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            log.error("a request failed", method=request.method, path=request.path, exc_info=error)
            response = error_response(InternalError("Internal error occurred: the server's log says more"))
        seconds = self._clock.monotonic() - began
        self._metrics.count(request.method, response.status, seconds)
        if self._tells_all:
            name = user.name if user else ""
            log.debug("request", method=request.method, path=request.path_qs, user=name, code=response.status)
        return response

    def _still_good(self, certified: Certified) -> User:
        """TLS has seen that the certificate is in date and of a CA that it trusts. Raises Unauthorized."""
        name = certified.user.node_name
        if name and not self._registry.certificates.is_good(name, certified.serial):
            raise Unauthorized(f'this certificate of node "{name}" was withdrawn: the node was removed, or joined anew')
        if not self._rotation.trusts(certified.authority):
            raise Unauthorized(f'the CA "{certified.authority}" of this certificate was replaced')
        return certified.user

    async def _dispatch(
        self, request: web.BaseRequest, user: User | None, certified: Certified | None
    ) -> web.StreamResponse:
        path = request.rel_url.raw_path.removesuffix("/") or "/"
        if path in OPEN_TO_ALL:
            return await self._public(path, verbose="verbose" in request.query)
        if user is None:
            raise Unauthorized("Unauthorized")
        if path == JOIN_PATH:
            wish = negotiation.read_body(await self._body(request), request.headers.get("Content-Type", ""))
            serial = certified.serial if certified is not None else ""
            found = await join.join(self._registry, self._pki, self._clock, user, wish, serial=serial)
            return web.Response(body=orjson.dumps(found), content_type=negotiation.JSON)
        if path == CERTIFICATES_PATH:
            return await self._certificates(request, user)
        if path == TUNNEL_PATH:
            if not user.node_name:
                raise Forbidden("only node agents open tunnels")
            return await self._tunnels.serve(user.node_name, request)
        if (resource := paths.parse(path)) is not None:
            body = await self._body(request) if request.can_read_body else b""
            return await self._resources.serve(request, user, resource, body)
        return self._document(request, user, path)

    async def _certificates(self, request: web.BaseRequest, user: User) -> web.Response:
        """The list; with POST first what `do` says. For administrators."""
        if MASTERS not in user.groups:
            raise Forbidden("certificates are listed and made anew for administrators only")
        if request.method == "POST":
            wish = negotiation.read_body(await self._body(request), request.headers.get("Content-Type", ""))
            match wish.get("do"):
                case "renew":
                    self._rotation.renew(all_of_them=True)
                case "begin":
                    self._rotation.begin()
                case "end":
                    self._rotation.end(force=wish.get("force") is True)
                case "withdraw":
                    await self._registry.certificates.withdraw(str(wish.get("node", "")), self._clock.now())
                case other:
                    raise BadRequest(f"do: Unsupported value: {other!r}: supported are renew, begin, end, withdraw")
        return web.Response(body=orjson.dumps(self._rotation.listing()), content_type=negotiation.JSON)

    async def _public(self, path: str, *, verbose: bool) -> web.Response:
        if path == "/version":
            return web.Response(body=self._documents.version().body, content_type=negotiation.JSON)
        if path == "/readyz" and not self.ready:
            raise Unavailable("the server is starting or stopping")
        await self._registry.check_store()
        return web.Response(text=f"[+]ping ok\n[+]store ok\n{path[1:]} check passed\n" if verbose else "ok")

    def _document(self, request: web.BaseRequest, user: User, path: str) -> web.Response:
        authz.authorise(user, Attributes(request.method.lower(), path=path))
        if path == "/metrics":
            return web.Response(
                body=self._metrics.text(self._watches.count), headers={"Content-Type": Metrics.CONTENT_TYPE}
            )
        document = self._documents.find(path, request.headers.get("Accept", ""))
        if document is None:
            raise NotFound("the server could not find the requested resource")
        etag = f'"{document.etag}"'
        headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "no-cache, private"}
        if request.query.get("hash") == document.etag:
            headers["Cache-Control"] = "public, immutable"
        if etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        response = web.Response(body=document.body, headers=headers | {"Content-Type": document.content_type})
        if len(document.body) > limits.GZIP_BYTES:
            response.enable_compression()
        return response

    async def _body(self, request: web.BaseRequest) -> bytes:
        """The body, once, within its bounds of size and time."""
        if (length := request.content_length) is not None and length > self._bounds.body_bytes:
            raise TooLarge(f"Request entity too large: limit is {self._bounds.body_bytes}")
        try:
            if length is not None and request.content.is_eof():  # usual: it came in one piece with the head
                return request.content.read_nowait()
            async with asyncio.timeout(self._bounds.body_seconds):
                return await request.read()
        except TimeoutError as error:
            raise Timeout("the body of the request did not arrive in time") from error
        except ValueError as error:
            raise BadRequest(f"the body of the request cannot be read: {error}") from error
