"""Verbs on resources: an HTTP request becomes one call of the registry, and its outcome an answer.

In: the method, the path, query, headers and body of a request, and who asks. Out: an aiohttp response. `app` calls
`serve`; `streams` takes over for watches and logs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from aiohttp import web

from iacorch.api import objects, subresources
from iacorch.api.objects import Object
from iacorch.client.contract import PatchType
from iacorch.errors import BadRequest, MethodNotAllowed, NotFound, UnsupportedMedia
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.server.http import negotiation, query, shapes, streams
from iacorch.server.http.paths import ResourcePath
from iacorch.server.http.shapes import View
from iacorch.server.http.whole import WholeJson
from iacorch.server.objects.listing import Listing
from iacorch.server.registry import Registry, Written
from iacorch.server.request import Target, User, WriteOptions
from iacorch.server.tunnel import Tunnels

_WATCH_WORDS: Final = ("true", "1")
_NOTHING_ASKED: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """One request, taken apart."""

    request: web.BaseRequest
    user: User
    target: Target
    query: Mapping[str, str]
    body: bytes
    view: View


class Resources:
    def __init__(self, registry: Registry, tunnels: Tunnels, watches: streams.Watches, clock: Clock) -> None:
        self._registry, self._tunnels, self._watches, self._clock = registry, tunnels, watches, clock

    async def serve(self, request: web.BaseRequest, user: User, path: ResourcePath, body: bytes) -> web.StreamResponse:
        """Raises `ApiError`s."""
        kind = self._registry.kinds.by_resource(path.group, path.version, path.plural)
        if kind is None or (path.namespace and not kind.namespaced):
            raise NotFound("the server could not find the requested resource")
        if path.subresource and kind.subresource(path.subresource) is None:
            # before the body is looked at, which may be none that can be read
            raise NotFound("the server could not find the requested resource")
        target = Target(kind, path.namespace, path.name, path.subresource)
        answer = negotiation.wanted(request.headers.get("Accept", ""))
        asked = request.query if request.rel_url.raw_query_string else _NOTHING_ASKED
        call = Call(request, user, target, asked, body, shapes.view(answer, asked, self._clock.now()))
        match request.method:
            case "GET":
                return await self._read(call)
            case "POST":
                return await self._create(call)
            case "PUT" if target.name:
                return await self._update(call)
            case "PATCH" if target.name:
                return await self._patch(call)
            case "DELETE":
                return await self._delete(call)
        raise MethodNotAllowed("the server does not allow this method on the requested resource")

    async def _read(self, call: Call) -> web.StreamResponse:
        target, registry = call.target, self._registry
        if target.subresource == "log":
            return await streams.logs(call.request, registry, self._tunnels, call.user, target)
        if target.subresource == "scale":
            return _json(call, _shaped_scale(call, await registry.get_scale(call.user, target)))
        watching = call.query.get("watch", "").lower() in _WATCH_WORDS
        if watching:
            return await self._watches.serve(call.request, call.user, target, call.view.answer)
        if not target.name:
            listing = await registry.list(call.user, target, query.read_options(call.query))
            return _list_response(call, listing)
        stored = await registry.get(call.user, target)
        if call.view.is_plain:
            return WholeJson(stored.wire())
        return _json(call, shapes.shaped(target.kind, stored.decode(), call.view))

    async def _create(self, call: Call) -> web.StreamResponse:
        target, registry = call.target, self._registry
        body = self._body(call)
        options = query.write_options(call.query)
        if target.kind.is_virtual:
            return _json(call, registry.review(call.user, target, body), 201)
        match target.subresource:
            case "binding":
                await registry.bind(call.user, target, body, options)
                return _json(call, _success(target, 201), 201)
            case "eviction":
                await registry.evict(call.user, target, body, options)
                return _json(call, _success(target, 201), 201)
        if target.subresource:
            raise NotFound("the server could not find the requested resource")
        if target.name:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        return self._written(call, await registry.create(call.user, target, body, options))

    async def _update(self, call: Call) -> web.StreamResponse:
        body = self._body(call)
        written = await self._registry.update(call.user, call.target, body, _options(call))
        return self._written(call, written)

    async def _patch(self, call: Call) -> web.StreamResponse:
        media = negotiation.media_type(call.request.headers.get("Content-Type", ""))
        try:
            patch_type = PatchType(media)
        except ValueError as error:
            known = ", ".join(PatchType)
            raise UnsupportedMedia(
                f"the body of the request was in an unknown format - accepted media types include: {known}"
            ) from error
        patch = negotiation.read_value(call.body, media)
        if not isinstance(patch, (dict, list)):
            raise BadRequest("the body of a patch must be an object or an array of operations")
        options = query.write_options(call.query) if patch_type is PatchType.APPLY else _options(call)
        written = await self._registry.patch(call.user, call.target, patch, patch_type, options)
        return self._written(call, written)

    async def _delete(self, call: Call) -> web.StreamResponse:
        body = self._body(call) if call.body else None
        options = query.delete_options(call.query, body)
        if not call.target.name:
            selection = query.read_options(call.query)
            listing = await self._registry.delete_collection(call.user, call.target, selection, options)
            return _list_response(call, listing)
        written = await self._registry.delete(call.user, call.target, options)
        if written.stored is not None or written.unstored is not None:
            return self._written(call, written)
        return _json(call, _success(call.target, 200, uid=objects.uid(written.before or {})))

    def _body(self, call: Call) -> Object:
        return negotiation.read_body(call.body, call.request.headers.get("Content-Type", ""))

    def _written(self, call: Call, written: Written) -> web.StreamResponse:
        code = 201 if written.created else 200
        if written.stored is not None and call.view.is_plain and call.target.subresource != "scale":
            if not written.warnings:
                return WholeJson(written.stored.wire(), code)
            response = web.Response(body=written.stored.wire(), status=code, content_type=negotiation.JSON)
            return _with_warnings(response, written.warnings)
        obj = written.obj or {}
        if call.target.subresource == "scale":
            obj = _shaped_scale(call, subresources.to_scale(obj))
        else:
            obj = shapes.shaped(call.target.kind, obj, call.view)
        return _json(call, obj, code, written.warnings)


def _shaped_scale(call: Call, scale: Object) -> Object:
    return shapes.shaped(call.target.kind, scale, call.view, subresource=call.target.subresource)


def _options(call: Call) -> WriteOptions:
    """A writer that does not say who it is goes by its program's name."""
    options = query.write_options(call.query)
    if options.field_manager:
        return options
    return replace(options, field_manager=call.request.headers.get("User-Agent", "").partition("/")[0])


def _list_response(call: Call, listing: Listing) -> web.Response:
    answer = call.view.answer
    body = (
        shapes.list_bytes(listing)
        if call.view.is_plain
        else negotiation.write(shapes.shaped_list(listing, call.view), answer)
    )
    response = web.Response(body=body, content_type=answer.content_type)
    if len(body) > limits.GZIP_BYTES:
        response.enable_compression()
    return response


def _json(call: Call, value: Any, code: int = 200, warnings: Sequence[str] = ()) -> web.Response:
    answer = call.view.answer
    body = negotiation.write(value, answer)
    return _with_warnings(web.Response(body=body, status=code, content_type=answer.content_type), warnings)


def _with_warnings(response: web.Response, warnings: Sequence[str]) -> web.Response:
    for warning in warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        response.headers.add("Warning", f'299 - "{text}"')
    return response


def _success(target: Target, code: int, *, uid: str = "") -> Object:
    details = {"name": target.name, "group": target.kind.group, "kind": target.kind.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": code,
        "details": {field: value for field, value in details.items() if value},
    }
