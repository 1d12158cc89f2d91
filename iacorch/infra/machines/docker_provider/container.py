"""`docker:index/container:Container`: made, wired to its networks, filled, started, watched until it runs.

A create that fails after the container exists raises `HalfMade` with its ID; the next update goes through the same
steps, each of which looks first. What reading can find altered (stopped, renamed, other limits, a lost attachment) is
put into the state, where `changes` compares it with the inputs.
"""

from __future__ import annotations

import asyncio
import base64
import io
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiodocker
from aiodocker.containers import DockerContainer
from aiodocker.networks import DockerNetwork

from iacorch.infra.machines.docker_provider import container_spec
from iacorch.infra.machines.docker_provider.container_schema import CONTAINER
from iacorch.infra.machines.docker_provider.docker_api import (
    CONFLICT,
    is_going,
    is_ours,
    marks,
    translated,
    unless_absent,
    was_made_for,
)
from iacorch.infra.machines.docker_provider.errors import DockerRefused, HalfMade
from iacorch.infra.machines.docker_provider.resource import Made, Properties
from iacorch.kit import limits
from iacorch.kit.clock import Clock

_MIB = 1024 * 1024


class Containers:
    schema = CONTAINER

    def __init__(self, docker: aiodocker.Docker, clock: Clock) -> None:
        self._docker, self._clock = docker, clock

    async def create(self, urn: str, inputs: Properties) -> Made:
        name, wanted = inputs["name"], marks(urn, inputs)
        shown = await self._show(name)
        if shown is not None and not is_ours(shown["Config"].get("Labels"), wanted, what=f"container {name}"):
            await self.delete(shown["Id"], inputs)
            shown = None
        if shown is None:
            try:
                with translated(f"creating container {name} from image {inputs['image']}"):
                    body = container_spec.create_body(inputs, labels=wanted)
                    made = await self._docker.containers.create(body, name=name)
                return await self._bring_up(made.id, inputs, fill=True)
            except DockerRefused as error:
                # The engine may still have been at it when an earlier create was cut short.
                shown = await self._show(name) if error.status == CONFLICT else None
                if shown is None or not was_made_for(urn, shown["Config"].get("Labels")):
                    raise
        return await self._bring_up(shown["Id"], inputs, fill=not shown["State"]["Running"])

    async def read(self, id: str, inputs: Properties, state: Properties) -> Made | None:
        shown = await self._show(id)
        return None if shown is None else Made(shown["Id"], outputs(inputs, shown))

    async def find(self, urn: str, inputs: Properties) -> Made | None:
        shown = await self._show(inputs["name"])
        if shown is None or not was_made_for(urn, shown["Config"].get("Labels")):
            return None
        if _never_started(shown) and (inputs.get("start") is not False or inputs.get("uploads")):
            raise HalfMade(
                id=shown["Id"], outputs=outputs(inputs, shown), reasons=["its creation was cut short before it started"]
            )
        return Made(shown["Id"], outputs(inputs, shown))

    async def update(self, id: str, inputs: Properties, state: Properties) -> Made:
        if (shown := await self._show(id)) is None:
            raise DockerRefused(f"container {inputs['name']} is gone", status=404, hint="refresh, then try again")
        container = self._container(id)
        with translated(f"updating container {inputs['name']}"):
            if shown["Name"].lstrip("/") != inputs["name"]:
                await container.rename(inputs["name"])
            # aiodocker has no method for this endpoint; this is the request that all of its methods make
            await self._docker._query_json(
                f"containers/{id}/update", method="POST", data=container_spec.update_body(inputs)
            )
        # Uploads come before the start: what never started may lack them.
        return await self._bring_up(id, inputs, fill=_never_started(shown))

    async def delete(self, id: str, state: Properties) -> None:
        container, doing = self._container(id), f"removing container {state.get('name') or id}"
        if (grace := state.get("destroyGraceSeconds")) is not None:
            await unless_absent(container.stop(t=grace), doing=doing)
        keep_volumes = state.get("removeVolumes") is False
        try:
            await unless_absent(container.delete(force=True, v=not keep_volumes), doing=doing)
        except DockerRefused as error:
            if not is_going(error.status, error.message):
                raise
            await self._gone(id)  # an earlier delete was cut short here, and goes on there

    async def _bring_up(self, id: str, inputs: Properties, *, fill: bool) -> Made:
        """Every step after the container exists; whichever fails, the ID is not lost."""
        shown: dict[str, Any] | None = None
        try:
            await self._attach(id, inputs)
            if fill:
                await self._upload(id, inputs)
            if inputs.get("start") is not False:
                await self._start(id, inputs)
        except DockerRefused as error:
            with suppress(DockerRefused):  # what ended it may end this too
                shown = await self._show(id)
            raise HalfMade(id=id, outputs=outputs(inputs, shown or {}), reasons=[error.message]) from error
        shown = await self._show(id)
        if shown is None and inputs.get("rm"):
            return Made(id, outputs(inputs, {}))
        if shown is None:
            raise DockerRefused(f"container {inputs['name']} vanished while it was started", status=404)
        return Made(id, outputs(inputs, shown))

    async def _attach(self, id: str, inputs: Properties) -> None:
        """Connect what is not connected: all but the first network, or whatever was disconnected since."""
        shown = await self._show(id) or {}
        attached = _networks(shown)
        known = set(attached) | {data["NetworkID"] for data in attached.values()}
        for network in container_spec.networks(inputs):
            if network["name"] in known:
                continue
            with translated(f"connecting container {inputs['name']} to network {network['name']}"):
                await DockerNetwork(self._docker, network["name"]).connect(
                    {"Container": id, "EndpointConfig": container_spec.endpoint(network)}
                )

    async def _upload(self, id: str, inputs: Properties) -> None:
        for upload in inputs.get("uploads") or []:
            doing = f"uploading {upload['file']} to container {inputs['name']}"
            try:
                archive = await asyncio.to_thread(_archive, upload)
            except (OSError, ValueError) as error:
                raise DockerRefused(f"{doing}: {error}", status=0) from error
            with translated(doing):
                await self._container(id).put_archive("/", archive)

    async def _start(self, id: str, inputs: Properties) -> None:
        container = self._container(id)
        with translated(f"starting container {inputs['name']}"):
            if (await container.show())["State"].get("Paused"):
                await container.unpause()
            else:
                await container.start()
            shown = await container.show()
        must_run = inputs.get("mustRun") is not False
        if must_run and not shown["State"]["Running"]:
            with translated(f"reading the log of container {inputs['name']}"):
                log = "".join(await container.log(stdout=True, stderr=True, tail=5)).strip()
            code = shown["State"]["ExitCode"]
            raise DockerRefused(f"container {inputs['name']} exited at once with code {code}: {log}", status=0)
        if inputs.get("wait"):
            await self._healthy(container, inputs)

    async def _healthy(self, container: DockerContainer, inputs: Properties) -> None:
        patience = inputs.get("waitTimeout") or self.schema.inputs["waitTimeout"].default
        deadline, status = self._clock.monotonic() + patience, ""
        while self._clock.monotonic() < deadline:
            with translated(f"reading container {inputs['name']}"):
                status = (await container.show())["State"].get("Health", {}).get("Status", "without a health check")
            if status == "healthy":
                return
            await self._clock.sleep(limits.DOCKER_HEALTH_POLL_SECONDS)
        raise DockerRefused(f"container {inputs['name']} is {status} after {patience} s", status=0)

    async def _gone(self, id: str) -> None:
        deadline = self._clock.monotonic() + limits.MACHINE_GONE_SECONDS
        while await self._show(id) is not None:
            if self._clock.monotonic() >= deadline:
                raise DockerRefused(f"container {id} is being removed and does not go", status=CONFLICT)
            await self._clock.sleep(limits.DOCKER_HEALTH_POLL_SECONDS)

    async def _show(self, id: str) -> dict[str, Any] | None:
        return await unless_absent(self._container(id).show(), doing=f"reading container {id}")

    def _container(self, id: str) -> DockerContainer:
        return self._docker.containers.container(id)


def _never_started(shown: Mapping[str, Any]) -> bool:
    return bool(shown["State"]["Status"] == "created")


def outputs(inputs: Properties, shown: Mapping[str, Any]) -> dict[str, Any]:
    """All properties: the inputs, overlaid with what the engine shows (`ContainerInspect`; empty where it is gone)."""
    if not shown:
        return {**inputs, "networkDatas": []}
    host, state = shown["HostConfig"], shown["State"]
    must_run = inputs.get("mustRun") is not False
    started = inputs.get("start") is not False
    observed: dict[str, Any] = {
        "name": shown["Name"].lstrip("/"),
        "restart": host["RestartPolicy"]["Name"] or "no",
        "memory": host["Memory"] // _MIB,
        "cpuShares": host["CpuShares"],
        "cpuSet": host["CpusetCpus"],
        # The engine says of a container that is frozen that it runs.
        "mustRun": state["Running"] and not state.get("Paused") if must_run and started else must_run,
        "networkDatas": [_network_data(name, data) for name, data in _networks(shown).items()],
        "bridge": shown["NetworkSettings"].get("Bridge") or "",
        "hostname": inputs.get("hostname") or shown["Config"]["Hostname"],
    }
    if not state["Running"]:
        observed["exitCode"] = state["ExitCode"]
    if inputs.get("networksAdvanced") is not None:
        observed["networksAdvanced"] = _attachments(inputs["networksAdvanced"], shown)
    if inputs.get("ports"):
        observed["ports"] = [_published(port, shown) for port in inputs["ports"]]
    return {**inputs, **observed}


def _attachments(wanted: list[dict[str, Any]], shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The wanted attachments that exist. A stopped container shows its networks too, without addresses."""
    attached = _networks(shown)
    known = set(attached) | {data["NetworkID"] for data in attached.values()}
    return [network for network in wanted if network["name"] in known]


def _published(port: dict[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    """A port with the host port that the engine drew, where the program left it open."""
    key = f"{port['internal']}/{port.get('protocol') or 'tcp'}"
    bindings = (shown["NetworkSettings"].get("Ports") or {}).get(key) or []
    if port.get("external") or not bindings:
        return port
    return {**port, "external": int(bindings[0]["HostPort"])}


def _networks(shown: Mapping[str, Any]) -> dict[str, Any]:
    return (shown.get("NetworkSettings") or {}).get("Networks") or {}


def _network_data(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "networkName": name,
        "ipAddress": data["IPAddress"],
        "ipPrefixLength": data["IPPrefixLen"],
        "gateway": data["Gateway"],
        "globalIpv6Address": data["GlobalIPv6Address"],
        "globalIpv6PrefixLength": data["GlobalIPv6PrefixLen"],
        "ipv6Gateway": data["IPv6Gateway"],
        "macAddress": data["MacAddress"],
    }


def _archive(upload: Mapping[str, Any]) -> bytes:
    """One upload as a tar that is unpacked at the container's root. Raises OSError, ValueError."""
    if (encoded := upload.get("contentBase64")) is not None:
        content = base64.b64decode("".join(encoded.split()), validate=True)
    elif (source := upload.get("source")) is not None:
        content = Path(source).read_bytes()
    else:
        content = (upload.get("content") or "").encode()
    member = tarfile.TarInfo(upload["file"].lstrip("/"))
    member.size = len(content)
    member.mode = int(upload.get("permissions") or ("0744" if upload.get("executable") else "0644"), 8)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
