"""The client over HTTPS.

In: an `Endpoint`. Out: the `Client` contract, spoken to a server over TLS 1.3 with one connection pool. Every call has
a timeout; nobody answering is `Unavailable`; a Status is the `ApiError` of its code. Watches are newline-separated
JSON and may end at any time, which is normal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final

import aiohttp
import orjson

from iacorch import __version__, errors
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.config import Endpoint
from iacorch.client.contract import ObjectList, PatchType, Propagation, WatchEvent, WatchType
from iacorch.kit import limits
from iacorch.kit.sockets import Sockets

_ERRORS: Final[dict[int, type[errors.ApiError]]] = {
    error.code: error
    for error in (
        errors.BadRequest,
        errors.Unauthorized,
        errors.Forbidden,
        errors.NotFound,
        errors.MethodNotAllowed,
        errors.NotAcceptable,
        errors.Conflict,
        errors.Gone,
        errors.TooLarge,
        errors.UnsupportedMedia,
        errors.Invalid,
        errors.TooManyRequests,
        errors.Unavailable,
        errors.Timeout,
    )
}


def error_of(code: int, status: Mapping[str, Any]) -> errors.ApiError:
    """The typed error for a Kubernetes Status and its HTTP code."""
    kind = errors.AlreadyExists if status.get("reason") == "AlreadyExists" else _ERRORS.get(code, errors.InternalError)
    details = status.get("details") or {}
    return kind(
        str(status.get("message") or f"the server answered {code}"),
        group=details.get("group", ""),
        kind=details.get("kind", ""),
        name=details.get("name", ""),
        uid=details.get("uid", ""),
        causes=[
            errors.Cause(c.get("field", ""), c.get("message", ""), c.get("reason", ""))
            for c in details.get("causes") or ()
        ],
        retry_after_seconds=details.get("retryAfterSeconds"),
    )


def path_of(kind: Kind, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The URL path of a collection, an object or a subresource."""
    parts = ["/api" if not kind.group else f"/apis/{kind.group}", kind.version]
    if kind.namespaced and namespace:
        parts += ["namespaces", namespace]
    parts += [part for part in (kind.plural, name, subresource) if part]
    return "/".join(parts)


class HttpClient:
    """Implements `client.contract.Client`. Use as an async context manager; safe for many tasks of one loop."""

    def __init__(self, endpoint: Endpoint, *, user_agent: str = f"iacorch/{__version__}") -> None:
        self._endpoint = endpoint
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._sockets = Sockets()

    async def __aenter__(self) -> HttpClient:
        headers = {"User-Agent": self._user_agent, "Accept": "application/json"}
        if self._endpoint.token:
            headers["Authorization"] = f"Bearer {self._endpoint.token}"
        self._session = aiohttp.ClientSession(
            base_url=self._endpoint.url,
            connector=aiohttp.TCPConnector(ssl=self._endpoint.tls(), limit=0, socket_factory=self._sockets.make),
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=limits.CLIENT_REQUEST_SECONDS, sock_connect=limits.CLIENT_CONNECT_SECONDS
            ),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
            await self._sockets.hang_up()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The authenticated session, for the few streams that are not part of the contract (tunnel, join)."""
        assert self._session is not None, "use `async with HttpClient(...)`"
        return self._session

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._call("GET", path_of(kind, namespace, name))

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        query = _query(labelSelector=label_selector, fieldSelector=field_selector, limit=str(limits.LIST_PAGE_ITEMS))
        items: list[Object] = []
        while True:
            page = await self._call("GET", path_of(kind, namespace), query=query)
            # List entries carry no apiVersion and kind of their own; every reader of an object may rely on them.
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or ()]
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return ObjectList(items, metadata.get("resourceVersion", "0"))
            query["continue"] = metadata["continue"]

    @asynccontextmanager
    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        revision: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        query = _query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=revision,
            timeoutSeconds=str(int(limits.INFORMER_WATCH_SECONDS)),
            labelSelector=label_selector,
            fieldSelector=field_selector,
        )
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=limits.CLIENT_CONNECT_SECONDS,
            sock_read=limits.WATCH_BOOKMARK_SECONDS * 2,  # bookmarks come at least this often, or the peer is gone
        )
        try:
            async with self.session.get(path_of(kind, namespace), params=query, timeout=timeout) as response:
                if response.status != 200:
                    raise error_of(response.status, await _json(response))
                yield _events(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unavailable(error) from error

    async def create(self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        metadata = obj["metadata"]
        name = metadata["name"] if subresource else ""
        path = path_of(kind, metadata.get("namespace", ""), name, subresource)
        return await self._call("POST", path, query=_dry(dry_run), body=obj)

    async def update(self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        metadata = obj["metadata"]
        path = path_of(kind, metadata.get("namespace", ""), metadata["name"], subresource)
        return await self._call("PUT", path, query=_dry(dry_run), body=obj)

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        path = path_of(kind, namespace, name, subresource)
        return await self._call("PATCH", path, query=_dry(dry_run), body=patch, content_type=patch_type)

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> Object | None:
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if preconditions := _query(uid=uid, resourceVersion=resource_version):
            options["preconditions"] = preconditions
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation is not None:
            options["propagationPolicy"] = propagation
        answer = await self._call("DELETE", path_of(kind, namespace, name), body=options)
        return None if answer.get("kind") == "Status" else answer

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What a path answers that is no resource; with a body it is a POST."""
        return await self._call("GET" if body is None else "POST", path, body=body)

    async def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """What a path answers as text: a pod's log, for one."""
        try:
            async with self.session.get(path, params=query) as response:
                if response.status >= 400:
                    raise error_of(response.status, await _json(response))
                return await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unavailable(error) from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        data = None if body is None else orjson.dumps(body)
        headers = {} if data is None else {"Content-Type": content_type}
        try:
            async with self.session.request(method, path, params=query, data=data, headers=headers) as response:
                answer = await _json(response)
                if response.status >= 400:
                    raise error_of(response.status, answer)
                return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> errors.Unavailable:
        found = str(error) or type(error).__name__
        return errors.Unavailable(f"no answer from {self._endpoint.url}: {found}")


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[WatchEvent]:
    """Decode newline-separated watch events of any length. A cut connection ends the iteration, as a timeout does."""
    pending = b""
    try:
        async for chunk in response.content.iter_any():
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise error_of(int(event["object"].get("code", 500)), event["object"])
                yield WatchEvent(WatchType(event["type"]), event["object"])
    except (aiohttp.ClientPayloadError, asyncio.IncompleteReadError, ConnectionResetError):
        return


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The body as a JSON object; anything else becomes a Status-like message with the text that was found."""
    body = await response.read()
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if isinstance(answer, dict):
        return answer
    return {"message": f"the server answered {response.status}: {body[:200].decode('utf-8', 'replace')}"}


def _query(**parameters: str) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
