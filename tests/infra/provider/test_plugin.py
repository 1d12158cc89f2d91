"""The plugin as an engine meets it: a process, its port, the protocol."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from iacorch.infra.machines.docker_provider import wire
from iacorch.infra.provider.progress import connected
from iacorch.infra.provider.properties import ResourceSpec
from iacorch.infra.provider.resource import HalfMade, Made, Properties, Request
from iacorch.infra.provider.resources.control_plane import SPEC as CONTROL_PLANE
from iacorch.infra.provider.resources.node import SPEC as NODE
from iacorch.infra.provider.servicer import Provider

URN = "urn:pulumi:dev::shop::{}::one"
KEY = URN.format("iacorch:index:SshKey")


@asynccontextmanager
async def plugin(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "iacorch.infra.provider.main", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            port = int(await process.stdout.readline())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield process, provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_plugin_speaks_the_protocol_from_schema_to_delete() -> None:
    async with plugin() as (process, stub):
        schema = json.loads((await stub.GetSchema(provider_pb2.GetSchemaRequest())).schema)
        assert set(schema["resources"]) == {
            f"iacorch:index:{name}"
            for name in ("SshKey", "ControlPlane", "Node", "Manifest", "VirtualMachine", "MachineClass", "NodePool")
        }
        checked = await stub.Check(provider_pb2.CheckRequest(urn=KEY, news=wire.encode({})))
        assert not checked.failures
        made = await stub.Create(provider_pb2.CreateRequest(urn=KEY, properties=checked.inputs))
        properties, secret = wire.decode(made.properties)
        assert made.id == properties["fingerprint"]
        assert secret == {"privateKey"}
        diff = await stub.Diff(
            provider_pb2.DiffRequest(
                id=made.id, urn=KEY, olds=made.properties, news=checked.inputs, old_inputs=checked.inputs
            )
        )
        assert diff.changes == provider_pb2.DiffResponse.DIFF_NONE
        read = await stub.Read(
            provider_pb2.ReadRequest(id=made.id, urn=KEY, properties=made.properties, inputs=checked.inputs)
        )
        assert wire.decode(read.properties)[0] == properties
        await stub.Delete(provider_pb2.DeleteRequest(id=made.id, urn=KEY, properties=made.properties))
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0


async def test_bad_inputs_are_check_failures_by_path() -> None:
    async with serving([Broken()]) as stub:
        request = provider_pb2.CheckRequest(urn=URN.format(NODE.token), news=wire.encode({"servr": "x"}))
        failures = (await stub.Check(request)).failures
        assert [f.property for f in failures][:2] == ["servr", "connection"]
        with pytest.raises(grpc.aio.AioRpcError, match="there is no resource iacorch:index:Nod;"):
            await stub.Check(provider_pb2.CheckRequest(urn=URN.format("iacorch:index:Nod")))


class Broken:
    """A resource whose creation is left half-made."""

    spec: ResourceSpec = NODE

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        return dict(inputs)

    def check(self, inputs: Properties) -> list[Any]:
        return []

    def delete_first(self, old: Properties, new: Properties, found: Any) -> bool:
        return True

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        return {}

    async def create(self, request: Request, inputs: Properties) -> Made:
        request.say("worker-1: Install")
        raise HalfMade(Made("one.token", {"hostKeys": "h ssh-ed25519 A", "ready": False}), ["worker-1: no space"])

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        return None

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        return Made(id, state)

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        return


@asynccontextmanager
async def serving(
    resources: list[Any], teller: Callable[[str], Callable[[str], None]] = lambda urn: lambda line: None
) -> AsyncIterator[Any]:
    server = grpc.aio.server()
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider("0.1.0", resources, teller), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        await server.stop(grace=None)


async def test_a_half_made_resource_keeps_its_id_and_what_is_known() -> None:
    inputs = {"nodeName": "worker-1", "joinToken": "secret"}
    async with serving([Broken()]) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Create(
                provider_pb2.CreateRequest(
                    urn=URN.format(NODE.token), properties=wire.encode(inputs, secret=["joinToken"])
                )
            )
    error = caught.value
    assert error.details() == "worker-1: no space"
    raw = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    detail = provider_pb2.ErrorResourceInitFailed()
    status = status_of(raw if isinstance(raw, bytes) else raw.encode())
    assert status.details[0].Unpack(detail)
    properties, secret = wire.decode(detail.properties)
    assert (detail.id, list(detail.reasons)) == ("one.token", ["worker-1: no space"])
    assert properties == {**inputs, "hostKeys": "h ssh-ed25519 A", "ready": False}
    assert secret == {"joinToken"}


def status_of(data: bytes) -> Any:
    from pulumi.runtime.proto import status_pb2

    return status_pb2.Status.FromString(data)


async def test_what_is_gone_is_read_as_an_empty_id() -> None:
    async with serving([Broken()]) as stub:
        request = provider_pb2.ReadRequest(id="x", urn=URN.format(NODE.token), inputs=wire.encode({"nodeName": "a"}))
        assert (await stub.Read(request)).id == ""
        with pytest.raises(grpc.aio.AioRpcError, match="cannot be imported"):
            await stub.Read(provider_pb2.ReadRequest(id="x", urn=URN.format(NODE.token)))


class Slow(Broken):
    """One whose creation takes for ever; `begun` is set once it is at it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def create(self, request: Request, inputs: Properties) -> Made:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def test_what_is_cancelled_is_answered() -> None:
    """An engine waits for the answer to each call before it ends."""
    slow = Slow()
    async with serving([slow]) as stub, asyncio.timeout(60):
        call = stub.Create(provider_pb2.CreateRequest(urn=URN.format(NODE.token)))
        await slow.begun.wait()
        await stub.Cancel(empty_pb2.Empty())
        with pytest.raises(grpc.aio.AioRpcError, match="was cancelled") as answered:
            await call
        assert answered.value.code() is grpc.StatusCode.UNKNOWN, "an engine then keeps the operation as pending"


class Engine(engine_pb2_grpc.EngineServicer):  # type: ignore[misc]  # the stubs ship no types
    """An engine that only listens."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, str, bool]] = asyncio.Queue()

    async def Log(self, request: Any, context: Any) -> Any:
        await self.heard.put((request.urn, request.message, request.ephemeral))
        return empty_pb2.Empty()


@asynccontextmanager
async def engine() -> AsyncIterator[tuple[Engine, str, Any]]:
    server, servicer = grpc.aio.server(), Engine()
    engine_pb2_grpc.add_EngineServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield servicer, f"127.0.0.1:{port}", server
    finally:
        await server.stop(grace=None)


async def test_progress_reaches_the_engine_in_order() -> None:
    async with engine() as (servicer, address, _), connected(address) as (log, _lost):
        say = log.teller("urn:x")
        say("first")
        say("second")
        async with asyncio.timeout(30):
            assert await servicer.heard.get() == ("urn:x", "first", True)
            assert await servicer.heard.get() == ("urn:x", "second", True)


def test_the_secrets_of_a_control_plane_are_secret() -> None:
    assert CONTROL_PLANE.secrets == {"connection", "kubeconfig", "joinToken"}
