"""The gRPC edge: Pulumi's ResourceProvider protocol for the package `iacorch`.

Each request is decoded, completed and checked from the resource's specification, and handed to its module. Errors
become gRPC statuses whose text is for people; a half-made resource travels as `ErrorResourceInitFailed`. Protocol:
pulumi/pulumi, proto/pulumi/provider.proto; method names are the protocol's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2

from iacorch.errors import EngineError, IacorchError, MachineError
from iacorch.infra.machines.docker_provider import wire
from iacorch.infra.protocol import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2
from iacorch.infra.provider.properties import Change, Difference, Failure, check, differences, fill
from iacorch.infra.provider.resource import HalfMade, Importable, Made, Request, Resource, Say, words
from iacorch.infra.provider.schema import package_schema
from iacorch.kit import limits

_SCHEMA_VERSION = 0
_KINDS = {
    Change.ADDED: provider_pb2.PropertyDiff.ADD,
    Change.REMOVED: provider_pb2.PropertyDiff.DELETE,
    Change.CHANGED: provider_pb2.PropertyDiff.UPDATE,
}


class Provider(provider_pb2_grpc.ResourceProviderServicer):  # type: ignore[misc]  # the stubs ship no types
    """Serves the given resources. `teller` makes the progress line of one URN."""

    def __init__(self, version: str, resources: Iterable[Resource], teller: Callable[[str], Say]) -> None:
        self._version = version
        self._resources = {resource.spec.token: resource for resource in resources}
        self._teller = teller
        self._running: set[asyncio.Task[Any]] = set()
        self._told_to_end: set[asyncio.Task[Any]] = set()

    async def Handshake(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    async def Attach(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return empty_pb2.Empty()

    async def GetPluginInfo(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self._version)

    async def GetSchema(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        if request.version != _SCHEMA_VERSION:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"schema version {request.version} is not known; 0 is"
            )
        specs = [resource.spec for resource in self._resources.values()]
        return provider_pb2.GetSchemaResponse(schema=package_schema(self._version, specs))

    async def CheckConfig(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Configure(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    async def Cancel(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Stop what is in work; each call answers that it was cancelled."""
        for task in self._running:
            self._told_to_end.add(task)
            task.cancel()
        return empty_pb2.Empty()

    async def Check(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        async with self._answering(context):
            resource = self._resource(request.urn)
            news, secret = wire.decode(request.news)
            failures: list[Failure] = list(check(resource.spec.inputs, news))
            inputs = fill(resource.spec.inputs, news)
            if not failures:
                inputs = resource.complete(inputs, urn=request.urn)
                failures += resource.check(inputs)
            return provider_pb2.CheckResponse(
                inputs=_closed(resource, inputs, secret),
                failures=[provider_pb2.CheckFailure(property=f.path, reason=f.reason) for f in failures],
            )
        raise AssertionError("unreachable: abort raises")

    async def Diff(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        async with self._answering(context):
            resource = self._resource(request.urn)
            (state, _), (news, _) = wire.decode(request.olds), wire.decode(request.news)
            old_inputs = _inputs(resource, wire.decode(request.old_inputs)[0] or state)
            found = differences(
                resource.spec, old_inputs=old_inputs, state=state, inputs=news, ignore=request.ignoreChanges
            )
            replaces = any(difference.replaces for difference in found)
            return _diff_response(found, replaces and resource.delete_first(old_inputs, news, found))
        raise AssertionError("unreachable: abort raises")

    async def Create(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        inputs, secret = wire.decode(request.properties)
        async with self._answering(context, request.urn, inputs, secret):
            resource, wanted = self._resource(request.urn), self._request(request)
            if request.preview:
                outputs = await resource.preview(wanted, inputs, {})
                return provider_pb2.CreateResponse(properties=_closed(resource, {**inputs, **outputs}, secret))
            made = await resource.create(wanted, inputs)
            return provider_pb2.CreateResponse(id=made.id, properties=_properties(resource, made, inputs, secret))
        raise AssertionError("unreachable: abort raises")

    async def Read(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        (state, kept), (given, secret) = wire.decode(request.properties), wire.decode(request.inputs)
        resource = self._resource(request.urn)
        async with self._answering(context, request.urn, given, secret):
            inputs = given or _inputs(resource, state)
            if not inputs and isinstance(resource, Importable):
                adopted = await resource.adopt(self._request(request), request.id)
                if adopted is None:
                    return provider_pb2.ReadResponse()
                inputs, found = adopted
                return provider_pb2.ReadResponse(
                    id=found.id,
                    properties=_properties(resource, found, inputs, frozenset()),
                    inputs=_closed(resource, inputs, frozenset()),
                )
            if not inputs:
                raise EngineError(
                    f"{request.id} cannot be imported: an ID does not say how the machine is reached",
                    hint="declare the resource; making it goes on with what an earlier try left",
                )
            wanted = self._request(request)
            if request.id:
                made = await resource.read(wanted, request.id, inputs, state)
            else:
                made = await resource.find(wanted, inputs)
            if made is None:
                return provider_pb2.ReadResponse(id="")
            return provider_pb2.ReadResponse(
                id=made.id,
                properties=_properties(resource, made, inputs, secret | kept),
                inputs=_closed(resource, inputs, secret),
            )
        raise AssertionError("unreachable: abort raises")

    async def Update(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        (state, _), (inputs, secret) = wire.decode(request.olds), wire.decode(request.news)
        async with self._answering(context, request.urn, inputs, secret, id=request.id):
            resource, wanted = self._resource(request.urn), self._request(request)
            if request.preview:
                outputs = await resource.preview(wanted, inputs, _outputs(resource, state))
                return provider_pb2.UpdateResponse(properties=_closed(resource, {**inputs, **outputs}, secret))
            old = _inputs(resource, wire.decode(request.old_inputs)[0] or state)
            made = await resource.update(wanted, request.id, inputs, old, _outputs(resource, state))
            return provider_pb2.UpdateResponse(properties=_properties(resource, made, inputs, secret))
        raise AssertionError("unreachable: abort raises")

    async def Delete(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        state, _ = wire.decode(request.properties)
        async with self._answering(context):
            resource = self._resource(request.urn)
            inputs = _inputs(resource, wire.decode(request.old_inputs)[0] or state)
            await resource.delete(self._request(request), request.id, inputs, _outputs(resource, state))
            return empty_pb2.Empty()
        raise AssertionError("unreachable: abort raises")

    def _resource(self, urn: str) -> Resource:
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        if token not in self._resources:
            raise EngineError(f"there is no resource {token}; there are {', '.join(self._resources)}")
        return self._resources[token]

    def _request(self, request: Any) -> Request:
        return Request(request.urn, request.timeout or limits.CREATE_SECONDS, self._teller(request.urn))

    @asynccontextmanager
    async def _answering(
        self,
        context: grpc.aio.ServicerContext,
        urn: str = "",
        inputs: Mapping[str, Any] | None = None,
        secret: frozenset[str] = frozenset(),
        *,
        id: str = "",
    ) -> AsyncIterator[None]:
        """Errors become statuses; a half-made resource carries its ID and properties along."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        except HalfMade as error:
            resource = self._resource(urn)
            detail = provider_pb2.ErrorResourceInitFailed(
                id=id or error.made.id,
                properties=_properties(resource, error.made, inputs or {}, secret),
                inputs=_closed(resource, inputs or {}, secret),
                reasons=error.reasons,
            )
            packed = any_pb2.Any()
            packed.Pack(detail)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[packed])
            await context.abort(
                grpc.StatusCode.UNKNOWN, str(error), (("grpc-status-details-bin", status.SerializeToString()),)
            )
        except IacorchError as error:
            # Only text travels: its name lets a program (`provision`) tell a refusal from a failure.
            name = f"{type(error).__name__}: " if isinstance(error, MachineError) else ""
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, name + words(error))
        except asyncio.CancelledError:
            if task not in self._told_to_end:
                raise  # the engine has hung up, or this process ends: nobody listens
            # Grpc answers nothing by itself, and the engine would wait for ever. Unknown is how it stands.
            await context.abort(grpc.StatusCode.UNKNOWN, "it was cancelled: the next update looks at what became of it")
        finally:
            self._running.discard(task)
            self._told_to_end.discard(task)


def _inputs(resource: Resource, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs among a state's properties."""
    return {p.name: properties[p.name] for p in resource.spec.inputs if p.name in properties}


def _outputs(resource: Resource, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {p.name: properties[p.name] for p in resource.spec.outputs if p.name in properties}


def _closed(resource: Resource, properties: Mapping[str, Any], secret: frozenset[str]) -> Any:
    """Properties for the wire: what came as a secret goes as one, and so does what always is one."""
    return wire.encode(properties, secret=(secret | resource.spec.secrets) & properties.keys())


def _properties(resource: Resource, made: Made, inputs: Mapping[str, Any], secret: frozenset[str]) -> Any:
    return _closed(resource, {**inputs, **made.outputs}, secret)


def _diff_response(found: Sequence[Difference], delete_first: bool) -> Any:
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=[difference.path for difference in found],
        replaces=[difference.path for difference in found if difference.replaces],
        deleteBeforeReplace=delete_first,
        hasDetailedDiff=True,
        detailedDiff={
            # the enum's replacing variant of each kind follows it directly
            difference.path: provider_pb2.PropertyDiff(
                kind=_KINDS[difference.change] + (1 if difference.replaces else 0), inputDiff=difference.input
            )
            for difference in found
        },
    )
