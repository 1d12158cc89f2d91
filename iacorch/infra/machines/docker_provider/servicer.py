"""The gRPC edge: Pulumi's ResourceProvider protocol for the package `docker`.

Requests come from an engine (ours or Pulumi's); each is decoded (`wire`), decided (`schema`, `changes`) and handed to
the resource's module. Errors become gRPC statuses whose text is for people; a half-made resource travels as
`ErrorResourceInitFailed`. Protocol: pulumi/pulumi, proto/pulumi/provider.proto; method names are the protocol's.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiodocker
import grpc
from google.protobuf import any_pb2, empty_pb2

from iacorch.errors import EngineError
from iacorch.infra.machines.docker_provider import wire
from iacorch.infra.machines.docker_provider.changes import Change, Difference, delete_first, differences
from iacorch.infra.machines.docker_provider.container import Containers
from iacorch.infra.machines.docker_provider.docker_api import connect
from iacorch.infra.machines.docker_provider.errors import HalfMade
from iacorch.infra.machines.docker_provider.images import Images, RemoteImages
from iacorch.infra.machines.docker_provider.network import Networks
from iacorch.infra.machines.docker_provider.resource import Made, Resource
from iacorch.infra.machines.docker_provider.schema import DEFAULTS_KEY, Schema, failures
from iacorch.infra.machines.docker_provider.volume import Volumes
from iacorch.infra.protocol import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2
from iacorch.kit.clock import Clock

VERSION: Final = "5.2.0"
"""The pulumi-docker release whose tokens and properties these are."""
_ENGINE_SETTINGS: Final = frozenset({"version", "pluginDownloadURL", "__internal"})
"""What engines put among a provider's settings for their own use."""
_PREVIEW_ID: Final = ""


class DockerProvider(provider_pb2_grpc.ResourceProviderServicer):  # type: ignore[misc]  # the stubs ship no types
    """One process serves one configuration; `close` ends its connection to the Docker Engine."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._host: str | None = None
        self._docker: aiodocker.Docker | None = None
        self._kinds: dict[str, Resource] = {}

    async def close(self) -> None:
        if self._docker is not None:
            await self._docker.close()

    async def Handshake(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    async def GetPluginInfo(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    async def Cancel(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return empty_pb2.Empty()

    async def CheckConfig(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        settings, _ = wire.decode(request.news)
        refused = [
            provider_pb2.CheckFailure(property=name, reason=f"the built-in docker provider has no setting {name!r}")
            for name in settings
            if name not in _ENGINE_SETTINGS and name != "host"
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=refused)

    async def DiffConfig(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Another host is another world: everything there is to be replaced."""
        (old, _), (new, _) = wire.decode(request.old_inputs or request.olds), wire.decode(request.news)
        if old.get("host") == new.get("host"):
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_SOME, diffs=["host"], replaces=["host"])

    async def Configure(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        settings, _ = wire.decode(request.args)
        host = settings.get("host") or request.variables.get("docker:config:host")
        self._host = None if host == wire.UNKNOWN else host
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    async def Check(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        async with self._answering(context):
            schema = (await self._kind(request.urn)).schema
            (olds, _), (news, secret) = wire.decode(request.olds), wire.decode(request.news)
            if schema.known_by_name:
                news = _named(news, olds, name=request.name or _name(request.urn), seed=request.randomSeed)
            refused = [provider_pb2.CheckFailure(property=at, reason=why) for at, why in failures(schema, news)]
            return provider_pb2.CheckResponse(inputs=wire.encode(news, secret=secret), failures=refused)
        raise AssertionError("unreachable: abort raises")

    async def Diff(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        async with self._answering(context):
            schema = (await self._kind(request.urn)).schema
            (state, _), (news, _) = wire.decode(request.olds), wire.decode(request.news)
            old_inputs, _ = wire.decode(request.old_inputs)
            found = differences(
                schema, old_inputs=old_inputs or state, state=state, inputs=news, ignore=request.ignoreChanges
            )
            return _diff_response(schema, news, found)
        raise AssertionError("unreachable: abort raises")

    async def Create(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        inputs, secret = wire.decode(request.properties)
        async with self._answering(context, inputs, secret):
            kind = await self._kind(request.urn)
            if request.preview:
                return provider_pb2.CreateResponse(
                    id=_PREVIEW_ID, properties=wire.encode(_expected(kind.schema, inputs), secret=secret)
                )
            made = await kind.create(request.urn, _plain(inputs))
            return provider_pb2.CreateResponse(id=made.id, properties=_properties(made, inputs, secret))
        raise AssertionError("unreachable: abort raises")

    async def Read(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        (state, _), (inputs, secret) = wire.decode(request.properties), wire.decode(request.inputs)
        async with self._answering(context, inputs, secret):
            kind = await self._kind(request.urn)
            if not state and not inputs:
                raise EngineError(
                    f"importing {request.id} is not something the built-in docker provider does",
                    hint="use the Pulumi CLI with the docker plugin",
                )
            if request.id:
                made = await kind.read(request.id, _plain(inputs or state), state)
            else:
                made = await kind.find(request.urn, _plain(inputs))
            if made is None:
                return provider_pb2.ReadResponse(id="")
            return provider_pb2.ReadResponse(
                id=made.id, properties=_properties(made, inputs, secret), inputs=request.inputs
            )
        raise AssertionError("unreachable: abort raises")

    async def Update(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        (state, _), (inputs, secret) = wire.decode(request.olds), wire.decode(request.news)
        async with self._answering(context, inputs, secret):
            kind = await self._kind(request.urn)
            if request.preview:
                return provider_pb2.UpdateResponse(properties=wire.encode({**state, **inputs}, secret=secret))
            made = await kind.update(request.id, _plain(inputs), state)
            return provider_pb2.UpdateResponse(properties=_properties(made, inputs, secret))
        raise AssertionError("unreachable: abort raises")

    async def Delete(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        async with self._answering(context):
            state, _ = wire.decode(request.properties)
            await (await self._kind(request.urn)).delete(request.id, state)
            return empty_pb2.Empty()
        raise AssertionError("unreachable: abort raises")

    async def _kind(self, urn: str) -> Resource:
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        if self._docker is None:
            self._docker = connect(self._host)
            kinds: Iterable[Resource] = (
                Networks(self._docker),
                Volumes(self._docker),
                RemoteImages(self._docker),
                Images(self._docker),
                Containers(self._docker, self._clock),
            )
            self._kinds = {kind.schema.token: kind for kind in kinds}
        if token not in self._kinds:
            raise EngineError(
                f"the built-in docker provider has no {token}; it has {', '.join(self._kinds)}",
                hint="use the Pulumi CLI with the docker plugin",
            )
        return self._kinds[token]

    @asynccontextmanager
    async def _answering(
        self,
        context: grpc.aio.ServicerContext,
        inputs: Mapping[str, Any] | None = None,
        secret: frozenset[str] = frozenset(),
    ) -> AsyncIterator[None]:
        """Errors of this room become statuses; a half-made resource carries its ID and properties along."""
        try:
            yield
        except HalfMade as error:
            detail = provider_pb2.ErrorResourceInitFailed(
                id=error.id,
                properties=wire.encode({**(inputs or {}), **error.outputs}, secret=secret),
                inputs=wire.encode(inputs or {}, secret=secret),
                reasons=error.reasons,
            )
            packed = any_pb2.Any()
            packed.Pack(detail)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[packed])
            await context.abort(
                grpc.StatusCode.UNKNOWN, str(error), (("grpc-status-details-bin", status.SerializeToString()),)
            )
        except EngineError as error:
            text = f"{error.message} ({error.hint})" if error.hint else error.message
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)


def _named(news: dict[str, Any], olds: Mapping[str, Any], *, name: str, seed: bytes) -> dict[str, Any]:
    """Inputs with a name: the program's, or the one chosen before, or a new one from the engine's random seed."""
    if news.get("name") is not None:
        return {**news, DEFAULTS_KEY: []}
    if "name" in olds.get(DEFAULTS_KEY, ()):
        return {**news, "name": olds["name"], DEFAULTS_KEY: ["name"]}
    suffix = hashlib.sha256(seed + name.encode()).hexdigest()[:7]
    return {**news, "name": f"{name}-{suffix}", DEFAULTS_KEY: ["name"]}


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def _plain(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name != DEFAULTS_KEY and value is not None}


def _expected(schema: Schema, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a preview can say of a resource that does not exist yet."""
    return {**_plain(inputs), **{name: wire.UNKNOWN for name in schema.computed if name not in inputs}}


def _properties(made: Made, inputs: Mapping[str, Any], secret: frozenset[str]) -> Any:
    kept = {DEFAULTS_KEY: inputs[DEFAULTS_KEY]} if DEFAULTS_KEY in inputs else {}
    return wire.encode({**made.outputs, **kept}, secret=secret)


def _diff_response(schema: Schema, inputs: Mapping[str, Any], found: tuple[Difference, ...]) -> Any:
    kinds = {
        Change.ADDED: provider_pb2.PropertyDiff.ADD,
        Change.REMOVED: provider_pb2.PropertyDiff.DELETE,
        Change.CHANGED: provider_pb2.PropertyDiff.UPDATE,
    }
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=[difference.name for difference in found],
        replaces=[difference.name for difference in found if difference.replaces],
        deleteBeforeReplace=delete_first(schema, inputs, found),
        hasDetailedDiff=True,
        detailedDiff={
            # the enum's replacing variant of each kind follows it directly
            difference.name: provider_pb2.PropertyDiff(
                kind=kinds[difference.change] + (1 if difference.replaces else 0), inputDiff=difference.inputs
            )
            for difference in found
        },
    )
