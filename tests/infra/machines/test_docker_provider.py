"""The docker provider as an engine uses it: its own process, gRPC, a real Docker Engine. Nothing is pulled."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiodocker
import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from iacorch.infra.machines.docker_provider import wire
from tests.agent import busybox

pytestmark = pytest.mark.docker

NETWORK, VOLUME, CONTAINER, REMOTE_IMAGE = (
    f"docker:index/{kind[0].lower()}{kind[1:]}:{kind}" for kind in ("Network", "Volume", "Container", "RemoteImage")
)


class Provider:
    """A running provider process and what a test made with it, which is removed at the end."""

    def __init__(self, stub: Any, run: str) -> None:
        self.stub, self.run = stub, run
        self._made: list[tuple[str, str, dict[str, Any]]] = []

    def urn(self, token: str, name: str) -> str:
        return f"urn:pulumi:{self.run}::test::{token}::{name}"

    async def check(self, token: str, name: str, inputs: dict[str, Any], olds: dict[str, Any] | None = None) -> Any:
        return await self.stub.Check(
            provider_pb2.CheckRequest(
                urn=self.urn(token, name),
                news=wire.encode(inputs),
                olds=wire.encode(olds or {}),
                randomSeed=self.run.encode(),
            )
        )

    async def create(self, token: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Check and create: the ID, the checked inputs, the outputs."""
        checked = await self.check(token, name, inputs)
        assert not checked.failures
        made = await self.stub.Create(provider_pb2.CreateRequest(urn=self.urn(token, name), properties=checked.inputs))
        outputs = wire.decode(made.properties)[0]
        self._made.append((self.urn(token, name), made.id, outputs))
        return made.id, wire.decode(checked.inputs)[0], outputs

    async def read(self, token: str, name: str, id: str, inputs: Any, state: Any) -> tuple[str, dict[str, Any]]:
        answer = await self.stub.Read(
            provider_pb2.ReadRequest(
                id=id, urn=self.urn(token, name), inputs=wire.encode(inputs), properties=wire.encode(state)
            )
        )
        return answer.id, wire.decode(answer.properties)[0]

    async def diff(self, token: str, name: str, id: str, *, inputs: Any, state: Any, wanted: Any) -> Any:
        return await self.stub.Diff(
            provider_pb2.DiffRequest(
                id=id,
                urn=self.urn(token, name),
                olds=wire.encode(state),
                old_inputs=wire.encode(inputs),
                news=wire.encode(wanted),
            )
        )

    async def update(self, token: str, name: str, id: str, *, state: Any, wanted: Any) -> dict[str, Any]:
        answer = await self.stub.Update(
            provider_pb2.UpdateRequest(
                id=id, urn=self.urn(token, name), olds=wire.encode(state), news=wire.encode(wanted)
            )
        )
        return wire.decode(answer.properties)[0]

    async def delete(self, urn: str, id: str, outputs: dict[str, Any]) -> None:
        await self.stub.Delete(provider_pb2.DeleteRequest(id=id, urn=urn, properties=wire.encode(outputs)))

    async def clean(self) -> None:
        for urn, id, outputs in reversed(self._made):
            await self.delete(urn, id, outputs)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "iacorch.infra.machines.docker_provider", "127.0.0.1:1", stdout=asyncio.subprocess.PIPE
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(process.wait)
        stack.callback(process.terminate)
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), timeout=60))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        made = Provider(provider_pb2_grpc.ResourceProviderStub(channel), f"fdtest-{uuid.uuid4().hex[:8]}")
        await made.stub.Configure(provider_pb2.ConfigureRequest())
        stack.push_async_callback(made.clean)
        yield made


@pytest.fixture
async def docker() -> AsyncIterator[aiodocker.Docker]:
    async with aiodocker.Docker() as client:
        yield client


def box(**inputs: Any) -> dict[str, Any]:
    return {"image": busybox.image(), "command": ["sleep", "600"], **inputs}


async def test_network_volume_and_container_from_nothing_to_nothing(provider: Provider) -> None:
    _, _, network = await provider.create(NETWORK, "net", {})
    _, _, volume = await provider.create(VOLUME, "vol", {})
    assert network["ipamConfigs"][0]["subnet"]
    assert volume["mountpoint"]
    id, inputs, state = await provider.create(
        CONTAINER,
        "box",
        box(
            networksAdvanced=[{"name": network["name"], "aliases": ["one"]}],
            volumes=[{"volumeName": volume["name"], "containerPath": "/data"}],
            tmpfs={"/run": ""},
            uploads=[{"file": "/etc/told", "content": "hello"}],
            ports=[{"internal": 80, "ip": "127.0.0.1"}],
        ),
    )
    assert state["name"].startswith("box-")
    assert state["networkDatas"][0]["networkName"] == network["name"]
    assert state["networkDatas"][0]["ipAddress"]
    assert state["ports"][0]["external"] > 0
    same = await provider.diff(CONTAINER, "box", id, inputs=inputs, state=state, wanted=inputs)
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE
    await provider.delete(provider.urn(CONTAINER, "box"), id, state)
    assert await provider.read(CONTAINER, "box", id, inputs, state) == ("", {})


async def test_creating_again_finds_what_an_interrupted_create_left(
    provider: Provider, docker: aiodocker.Docker
) -> None:
    id, _, _ = await provider.create(CONTAINER, "box", box(name=f"{provider.run}-box"))
    await docker.containers.container(id).stop(t=0)
    again, _, state = await provider.create(CONTAINER, "box", box(name=f"{provider.run}-box"))
    assert (again, state["mustRun"]) == (id, True)


async def test_a_name_that_someone_else_has_is_not_taken_over(provider: Provider) -> None:
    await provider.create(CONTAINER, "box", box(name=f"{provider.run}-box"))
    with pytest.raises(grpc.aio.AioRpcError, match="does not belong to this resource"):
        await provider.create(CONTAINER, "other", box(name=f"{provider.run}-box"))


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_a_stopped_container_shows_and_is_started_in_place(
    provider: Provider, docker: aiodocker.Docker, how: str
) -> None:
    id, inputs, state = await provider.create(CONTAINER, "box", box())
    container = docker.containers.container(id)
    await (container.pause() if how == "frozen" else container.stop(t=0))
    _, seen = await provider.read(CONTAINER, "box", id, inputs, state)
    found = await provider.diff(CONTAINER, "box", id, inputs=inputs, state=seen, wanted=inputs)
    assert (list(found.diffs), list(found.replaces)) == (["mustRun"], [])
    assert (await provider.update(CONTAINER, "box", id, state=seen, wanted=inputs))["mustRun"] is True


async def test_limits_change_in_place(provider: Provider, docker: aiodocker.Docker) -> None:
    id, inputs, state = await provider.create(CONTAINER, "box", box())
    wanted = {**inputs, "memory": 64, "restart": "always"}
    found = await provider.diff(CONTAINER, "box", id, inputs=inputs, state=state, wanted=wanted)
    assert (sorted(found.diffs), list(found.replaces)) == (["memory", "restart"], [])
    updated = await provider.update(CONTAINER, "box", id, state=state, wanted=wanted)
    assert (updated["memory"], updated["restart"]) == (64, "always")
    shown = await docker.containers.container(id).show()
    assert shown["HostConfig"]["Memory"] == 64 * 1024 * 1024


async def test_a_container_that_exits_at_once_keeps_its_id(provider: Provider) -> None:
    inputs = wire.decode((await provider.check(CONTAINER, "box", box(command=["nosuch"]))).inputs)[0]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await provider.create(CONTAINER, "box", inputs)
    metadata = dict(caught.value.trailing_metadata() or ())
    detail = status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details[0]
    half_made = provider_pb2.ErrorResourceInitFailed()
    assert detail.Unpack(half_made)
    assert half_made.id
    assert half_made.reasons
    await provider.delete(provider.urn(CONTAINER, "box"), half_made.id, inputs)


async def test_secrets_stay_closed_and_previews_promise_nothing(provider: Provider) -> None:
    checked = await provider.check(CONTAINER, "box", {"image": "i"})
    properties = wire.encode({**wire.decode(checked.inputs)[0], "envs": ["A=1"]}, secret=["envs"])
    answer = await provider.stub.Create(
        provider_pb2.CreateRequest(urn=provider.urn(CONTAINER, "box"), properties=properties, preview=True)
    )
    outputs, secret = wire.decode(answer.properties)
    assert (answer.id, secret) == ("", frozenset({"envs"}))
    assert outputs["networkDatas"] == wire.UNKNOWN


async def test_what_a_create_left_is_found_by_its_name_and_its_mark(provider: Provider) -> None:
    for token, name, inputs in ((NETWORK, "net", {}), (VOLUME, "vol", {}), (CONTAINER, "box", box(start=False))):
        id, checked, state = await provider.create(token, name, inputs)
        assert await provider.read(token, name, "", checked, {}) == (id, state)
        assert await provider.read(token, "other", "", checked, {}) == ("", {}), "somebody else's"
        assert await provider.read(token, name, "", {**checked, "name": "nowhere"}, {}) == ("", {})


async def test_a_container_that_was_never_started_is_found_half_made_and_finished(
    provider: Provider, docker: aiodocker.Docker
) -> None:
    inputs = box(uploads=[{"file": "/etc/told", "content": "hello"}])
    id, checked, _ = await provider.create(CONTAINER, "box", {**inputs, "start": False, "uploads": []})
    wanted = {**checked, **inputs, "start": True}
    with pytest.raises(grpc.aio.AioRpcError, match="cut short") as caught:
        await provider.read(CONTAINER, "box", "", wanted, {})
    details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    half = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(details).details[0].Unpack(half)
    assert half.id == id
    await provider.update(CONTAINER, "box", id, state=wire.decode(half.properties)[0], wanted=wanted)
    container = docker.containers.container(id)
    assert (await container.show())["State"]["Running"]
    assert (await container.get_archive("/etc/told")).getnames() == ["told"]


async def test_a_chosen_name_is_kept_and_differs_between_seeds(provider: Provider) -> None:
    first = wire.decode((await provider.check(VOLUME, "vol", {})).inputs)[0]
    again = wire.decode((await provider.check(VOLUME, "vol", {}, olds=first)).inputs)[0]
    assert again == first
    assert first["name"] != "vol"


async def test_an_image_that_is_here_is_not_pulled(provider: Provider) -> None:
    _, _, state = await provider.create(REMOTE_IMAGE, "image", {"name": busybox.image(), "keepLocally": True})
    assert state["imageId"].startswith("sha256:")


async def test_a_replacement_keeps_the_tag_that_it_shares_with_what_it_replaces(
    provider: Provider, docker: aiodocker.Docker
) -> None:
    """Another trigger asks for the same image anew; the old resource is deleted once the new one is made."""
    name = f"{provider.run}:1"
    await docker.images.tag(busybox.image(), repo=provider.run, tag="1")
    try:
        id, _, old = await provider.create(REMOTE_IMAGE, "image", {"name": name, "triggers": {"day": "1"}})
        await provider.create(REMOTE_IMAGE, "image", {"name": name, "triggers": {"day": "2"}})
        await provider.delete(provider.urn(REMOTE_IMAGE, "image"), id, old)
        assert (await docker.images.inspect(name))["Id"] == old["imageId"]
    finally:
        with suppress(aiodocker.DockerError):
            await docker.images.delete(name)


async def test_an_image_that_nothing_replaces_goes(provider: Provider, docker: aiodocker.Docker) -> None:
    name = f"{provider.run}:1"
    await docker.images.tag(busybox.image(), repo=provider.run, tag="1")
    shown = await docker.images.inspect(name)
    state = {"name": name, "imageId": shown["Id"]}
    await provider.delete(provider.urn(REMOTE_IMAGE, "image"), f"{shown['Id']}{name}", state)
    with pytest.raises(aiodocker.DockerError, match="No such image"):
        await docker.images.inspect(name)


async def test_a_file_that_is_not_there_to_be_uploaded_is_named(provider: Provider) -> None:
    nowhere = {"file": "/etc/told", "source": "/nonexistent/told"}
    name = f"{provider.run}-box"
    try:
        for upload, words in ((nowhere, "No such file"), ({"file": "/etc/told", "contentBase64": "%"}, "base64")):
            inputs = box(name=name, uploads=[upload], start=False)
            with pytest.raises(grpc.aio.AioRpcError, match=rf"uploading /etc/told .*{words}") as refused:
                await provider.create(CONTAINER, "box", inputs)
            assert "does not answer" not in str(refused.value.details())
    finally:
        await provider.delete(provider.urn(CONTAINER, "box"), name, {})


async def test_another_resource_type_is_refused_by_name(provider: Provider) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="docker:index/service:Service"):
        await provider.check("docker:index/service:Service", "web", {})
