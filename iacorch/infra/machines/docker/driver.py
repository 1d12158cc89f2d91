"""The MachineDriver of a Docker Engine.

In: specifications. Out: containers that behave like small Debian servers. A container's name is made from cluster and
machine, and the engine gives a name once: that is what keeps two operators from making two, without asking first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import aiodocker

from iacorch.infra.machines.contract import (
    TAG_CLUSTER,
    Capabilities,
    CapacityType,
    Machine,
    MachineId,
    MachinePlan,
    MachineSpec,
    MachineState,
    Offering,
    OwnerTags,
    Power,
)
from iacorch.infra.machines.docker.properties import container_inputs
from iacorch.infra.machines.docker.settings import DockerSettings, offerings
from iacorch.infra.machines.docker_provider import docker_api
from iacorch.infra.machines.docker_provider.container_spec import create_body
from iacorch.infra.machines.docker_provider.errors import DockerRefused
from iacorch.infra.machines.errors import (
    CannotDo,
    CloudRefused,
    CloudUnavailable,
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    NotOurs,
    QuotaExceeded,
    UnknownImage,
    UnknownSize,
    UnknownZone,
)
from iacorch.infra.machines.images.build import node_reference
from iacorch.infra.machines.retries import Retries
from iacorch.kit import limits
from iacorch.kit.clock import Clock, parse_rfc3339
from iacorch.kit.ids import Ids

T = TypeVar("T")
NAME: Final = "iacorch.dev/name"
SIZE: Final = "iacorch.dev/size"
FROZEN: Final = "it is frozen (docker pause)"
_LABEL: Final = "iacorch.dev/label."
_STATES: Final = {
    "created": MachineState.PENDING,
    "restarting": MachineState.PENDING,
    "running": MachineState.RUNNING,
    "paused": MachineState.STOPPED,
    "exited": MachineState.STOPPED,
    "removing": MachineState.DELETING,
    "dead": MachineState.BROKEN,
}


class DockerDriver:
    """Implements `MachineDriver`."""

    name = "docker"
    capabilities = Capabilities(user_data=False, power=frozenset(Power), console=True, in_place=frozenset())

    def __init__(self, settings: DockerSettings, clock: Clock, ids: Ids, *, retries: Retries | None = None) -> None:
        self._settings = settings
        self._retries = retries or Retries(clock, ids)
        self._engine: aiodocker.Docker | None = None

    @property
    def _docker(self) -> aiodocker.Docker:
        """Opened at the first call: a session belongs to the loop that uses it."""
        if self._engine is None:
            self._engine = docker_api.connect(self._settings.host or None)
        return self._engine

    async def offerings(self) -> tuple[Offering, ...]:
        info = await self._call("info", lambda: self._docker.system.info())
        alive = len(await self._listed(TAG_CLUSTER))
        return offerings(self._settings, alive=alive, cores=int(info["NCPU"]), memory_bytes=int(info["MemTotal"]))

    async def plan(self, spec: MachineSpec) -> MachinePlan:
        offering, image = await self._check(spec)
        existing = await self._by_name(spec)
        if existing is None:
            self._refuse_full(offering)
        words = f"container {container_name(spec)} ({spec.instance_type}) from {image}"
        return MachinePlan(spec, offering, words, existing=existing.id if existing else None)

    async def create(self, spec: MachineSpec) -> Machine:
        existing = await self._by_name(spec)
        if existing is None:
            offering, image = await self._check(spec)
            self._refuse_full(offering)
            existing = await self._make(
                spec,
                create_body(
                    container_inputs(
                        image=image,
                        hostname=spec.name,
                        authorized_key=spec.ssh_public_key,
                        network=self._settings.network,
                        cpus=offering.capacity.cpu_millis / 1000,
                        memory_mib=offering.capacity.memory_bytes // 1024**2,
                    ),
                    labels=_labels(spec),
                ),
            )
        if existing.state is MachineState.PENDING:
            # Also what an earlier try made and did not start any more.
            await self._call("start", lambda: self._docker.containers.container(existing.id).start(), id=existing.id)
        return await self.read(existing.id)

    async def read(self, id: MachineId) -> Machine:
        found = await self._call("read", lambda: self._docker.containers.container(id).show(), id=id)
        return _machine(found, zone=self._settings.zone)

    async def update(self, id: MachineId, spec: MachineSpec) -> Machine:
        machine = await self.read(id)
        for field in ("name", "instance_type", "labels"):
            if getattr(machine, field) != getattr(spec, field):
                raise CannotDo(self.name, f"change {field} in place", hint="replace the machine")
        return machine

    async def delete(self, id: MachineId, *, cluster: str, discard_data: bool = False) -> None:
        try:
            machine = await self.read(id)
            if machine.owner is None or machine.owner.cluster != cluster:
                raise NotOurs(id, operation="delete")
            container = self._docker.containers.container(id)
            await self._call("delete", lambda: container.delete(force=True, v=True), id=id)
        except MachineNotFound:
            return
        except CloudRefused as error:
            if not docker_api.is_going(int(error.code), error.message):
                raise

    async def list_owned(self, cluster: str) -> tuple[Machine, ...]:
        found = []
        for id in await self._listed(f"{TAG_CLUSTER}={cluster}"):
            try:
                found.append(await self.read(id))
            except MachineNotFound:
                continue  # it went between the list and the look
        return tuple(sorted(found, key=lambda machine: machine.id))

    async def power(self, id: MachineId, power: Power) -> None:
        machine = await self.read(id)
        container = self._docker.containers.container(id)
        match power:
            case Power.ON if machine.problem == FROZEN:
                await self._call("unpause", lambda: container.unpause(), id=id)
            case Power.ON:
                await self._call("start", lambda: container.start(), id=id)
            case Power.OFF:
                await self._call("stop", lambda: container.stop(t=limits.CONTAINER_HALT_SECONDS), id=id)
            case Power.REBOOT:
                await self._call("restart", lambda: container.restart(t=limits.CONTAINER_HALT_SECONDS), id=id)
            case Power.RESET:
                await self._call("restart", lambda: container.restart(t=0), id=id)

    async def console(self, id: MachineId) -> str:
        container = self._docker.containers.container(id)
        lines = await self._call("log", lambda: container.log(stdout=True, stderr=True, tail=200), id=id)
        return "".join(lines)[-limits.CONSOLE_BYTES :]

    async def tidy(self, cluster: str) -> tuple[str, ...]:
        return ()

    async def aclose(self) -> None:
        if self._engine is not None:
            await self._engine.close()
            self._engine = None

    async def _check(self, spec: MachineSpec) -> tuple[Offering, str]:
        if spec.options:
            raise InvalidSpec("options", f"this driver has none, found {', '.join(sorted(spec.options))}")
        if spec.capacity_type is not CapacityType.OWNED:
            raise InvalidSpec(
                "capacity_type", f"containers on a host of one's own are owned, found {spec.capacity_type}"
            )
        if spec.data_disks:
            raise CannotDo(self.name, "carry data disks")
        if spec.user_data:
            raise CannotDo(self.name, "take user data")
        if spec.zone not in ("", self._settings.zone):
            raise UnknownZone(spec.zone, known=(self._settings.zone,), field="zone")
        sold = {offering.instance_type: offering for offering in await self.offerings()}
        if spec.instance_type not in sold:
            raise UnknownSize(spec.instance_type, known=sold, field="instance_type")
        image = spec.image or self._settings.image or node_reference()
        try:
            await self._call("image", lambda: self._docker.images.inspect(image), id=image)
        except MachineNotFound:
            raise UnknownImage(image, known=await self._images(), field="image") from None
        return sold[spec.instance_type], image

    def _refuse_full(self, offering: Offering) -> None:
        if offering.free == 0:
            raise QuotaExceeded("machines", limit=self._settings.machines)

    async def _images(self) -> list[str]:
        found = await self._call("images", lambda: self._docker.images.list())
        return [tag for image in found for tag in image.get("RepoTags") or ()]

    async def _make(self, spec: MachineSpec, body: Mapping[str, Any]) -> Machine:
        name = container_name(spec)
        try:
            made = await self._call("create", lambda: self._docker.containers.create(dict(body), name=name), id=name)
            return await self.read(MachineId(made.id))
        except CloudRefused as error:
            if error.code != "409":
                raise
        return await self._other(spec)

    async def _other(self, spec: MachineSpec) -> Machine:
        """What another operator was faster to make; the engine gives the name away before it shows the container."""
        deadline = self._retries.clock.monotonic() + limits.CLOUD_VISIBLE_SECONDS
        while (found := await self._by_name(spec)) is None:
            if self._retries.clock.monotonic() >= deadline:
                raise CloudUnavailable("create", f"{container_name(spec)} is taken and is not shown")
            await self._retries.clock.sleep(limits.DOCKER_HEALTH_POLL_SECONDS)
        return found

    async def _by_name(self, spec: MachineSpec) -> Machine | None:
        """The container that has this machine's name. Raises MachineExists when it is another owner's."""
        try:
            found = await self.read(MachineId(container_name(spec)))
        except MachineNotFound:
            return None
        if found.owner is None or found.owner.token != spec.owner.token:
            raise MachineExists(spec.name, found.id)
        if found.instance_type != spec.instance_type:
            raise MachineExists(spec.name, found.id, f"this token made {found.id}, which is {found.instance_type}")
        return found

    async def _listed(self, label: str) -> list[MachineId]:
        filters = {"label": [label]}
        found = await self._call("list", lambda: self._docker.containers.list(all=True, filters=filters))
        return [MachineId(container.id) for container in found]

    async def _call(self, operation: str, call: Callable[[], Awaitable[T]], *, id: str = "") -> T:
        """One call of the engine, its refusals as leaves of MachineError."""

        async def once() -> T:
            try:
                with docker_api.translated(operation):
                    async with asyncio.timeout(limits.RUNTIME_CALL_SECONDS):
                        return await call()
            except DockerRefused as error:
                if error.status == 404:
                    raise MachineNotFound(id) from error
                if error.status == 0 or error.status >= 500:
                    raise CloudUnavailable(operation, error.message) from error
                raise CloudRefused(operation, code=str(error.status), message=error.message) from error
            except TimeoutError as error:
                raise CloudUnavailable(operation, "the Docker Engine does not answer") from error

        return await self._retries.run(once)


def container_name(spec: MachineSpec) -> str:
    """One for each machine of a cluster; the digest keeps `a-b` in `c` apart from `b` in `c-a`."""
    digest = hashlib.sha256(f"{spec.owner.cluster}/{spec.name}".encode()).hexdigest()[:6]
    return f"iacorch-{spec.owner.cluster}-{spec.name}-{digest}"


def _labels(spec: MachineSpec) -> dict[str, str]:
    own = {f"{_LABEL}{name}": value for name, value in spec.labels.items()}
    return {**own, **spec.owner.as_tags(), NAME: spec.name, SIZE: spec.instance_type}


def _machine(found: Mapping[str, Any], *, zone: str) -> Machine:
    labels: Mapping[str, str] = found["Config"].get("Labels") or {}
    networks: Mapping[str, Any] = found["NetworkSettings"].get("Networks") or {}
    address = next((n["IPAddress"] for n in networks.values() if n.get("IPAddress")), "")
    state = found["State"]
    return Machine(
        id=MachineId(found["Id"]),
        name=labels.get(NAME, found["Name"].removeprefix("/")),
        state=_STATES.get(state["Status"], MachineState.BROKEN),
        instance_type=labels.get(SIZE, ""),
        zone=zone,
        capacity_type=CapacityType.OWNED,
        owner=OwnerTags.from_tags(labels),
        image=found["Config"].get("Image", ""),
        address=address,
        private_address=address,
        labels={name.removeprefix(_LABEL): value for name, value in labels.items() if name.startswith(_LABEL)},
        created_at=_moment(found["Created"]),
        problem=FROZEN if state.get("Paused") else state.get("Error") or "",
    )


def _moment(text: str) -> datetime:
    """Docker gives nanoseconds, Python reads six digits."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return parse_rfc3339(f"{whole}.{fraction[:6]:0<6}Z")
