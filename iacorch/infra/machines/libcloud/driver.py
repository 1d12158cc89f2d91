"""The MachineDriver of libcloud's clouds.

In: specifications. Out: machines. Clouds differ in whether a request carries a token, so this driver looks before it
makes, looks again after it made, and of two machines with one token keeps the one with the smaller ID: two operators
come to the same verdict, and a make whose answer was lost is found by the next look.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from libcloud.compute.base import NodeAuthSSHKey
from libcloud.compute.types import NodeState

from iacorch.infra.machines.contract import (
    Capabilities,
    CapacityType,
    Machine,
    MachineId,
    MachinePlan,
    MachineSpec,
    MachineState,
    Offering,
    Power,
)
from iacorch.infra.machines.errors import (
    CannotDo,
    CloudUnavailable,
    InsufficientCapacity,
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    NotOurs,
    Throttled,
    UnknownImage,
    UnknownSize,
    UnknownZone,
)
from iacorch.infra.machines.libcloud import clouds, marks, user_data
from iacorch.infra.machines.libcloud.api import Libcloud, opened
from iacorch.infra.machines.libcloud.clouds import Places
from iacorch.infra.machines.libcloud.settings import LibcloudSettings
from iacorch.infra.machines.retries import Backoff, Retries
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

_METHODS: Final = {Power.ON: "start_node", Power.OFF: "stop_node", Power.REBOOT: "reboot_node"}
_STATES: Final = {
    NodeState.RUNNING: MachineState.RUNNING,
    NodeState.STOPPED: MachineState.STOPPED,
    NodeState.STOPPING: MachineState.STOPPED,
    NodeState.SUSPENDED: MachineState.STOPPED,
    NodeState.PAUSED: MachineState.STOPPED,
    NodeState.ERROR: MachineState.BROKEN,
    NodeState.TERMINATED: MachineState.DELETING,
}
_USER_DATA: Final = ("ex_userdata", "ex_user_data")
_SIZES: Final = ("instance_type", "size_slug", "flavorId")
_PLACES: Final = ("availability", "location", "region")
_IMAGES: Final = ("image_id", "imageId")
"""Where libcloud's drivers put what a machine was made of: EC2's, DigitalOcean's, OpenStack's words."""
_TOKENS: Final = ("ex_clienttoken", "ex_client_token")


class LibcloudDriver:
    """Implements `MachineDriver`."""

    name = "libcloud"

    def __init__(self, settings: LibcloudSettings, clock: Clock, ids: Ids, *, cloud: Libcloud | None = None) -> None:
        """Raises InvalidSpec, MissingCredentials."""
        self._settings = settings
        self._clock = clock
        self._provider = settings.provider.lower()
        if not clouds.takes_marks(self._provider):
            raise InvalidSpec(
                "provider", f"{settings.provider} takes no '--' in names, and names tell whose a machine is"
            )
        self._cloud = cloud or opened(settings, Retries(clock, ids))
        self._places: Places | None = None
        self.capabilities = Capabilities(
            user_data=any(self._cloud.takes("create_node", name) for name in _USER_DATA),
            power=frozenset(power for power, method in _METHODS.items() if self._cloud.does(method)),
            labels=False,
            in_place=frozenset(),
        )

    async def offerings(self) -> tuple[Offering, ...]:
        places = await self._where()
        sizes = await self._cloud.call("list_sizes")
        sold = (self._offering(size, zone) for size in sizes for zone in places.selling(size))
        return tuple(sorted(sold, key=lambda offering: offering.key))

    async def plan(self, spec: MachineSpec) -> MachinePlan:
        existing = await self._existing(spec)
        choice = await self._choose(spec)
        size, image = choice["size"], choice["image"]
        sold = self._offering(size, spec.zone)
        words = f"{size.name} at {self._settings.provider} from {image.name}"
        unknown = ("id", "address", "privateAddress", *(() if spec.zone else ("zone",)))
        return MachinePlan(spec, sold, words, unknown, self._machine(existing).id if existing else None)

    async def create(self, spec: MachineSpec) -> Machine:
        if (existing := await self._existing(spec)) is not None:
            return self._machine(existing, zone=spec.zone, size=spec.instance_type)
        request = await self._choose(spec)
        for generation in range(limits.CREATE_GENERATIONS):
            node = await self._make(spec, {**request, **self._token(spec, generation)})
            if node is not None:
                return self._machine(node, zone=spec.zone, size=spec.instance_type)
        raise InvalidSpec("owner", f"{limits.CREATE_GENERATIONS} machines were made under this token and deleted")

    async def read(self, id: MachineId) -> Machine:
        return self._machine(await self._node(id))

    async def update(self, id: MachineId, spec: MachineSpec) -> Machine:
        machine = await self.read(id)
        for field in ("name", "instance_type"):
            if getattr(machine, field) not in ("", getattr(spec, field)):
                raise CannotDo(self.name, f"change {field} in place", hint="replace the machine")
        return machine

    async def delete(self, id: MachineId, *, cluster: str, discard_data: bool = False) -> None:
        try:
            node = await self._node(id)
            machine = self._machine(node)
            if machine.owner is None or machine.owner.cluster != cluster:
                raise NotOurs(id, operation="delete")
            await self._cloud.call("destroy_node", node, about=id)
        except MachineNotFound:
            return

    async def list_owned(self, cluster: str) -> tuple[Machine, ...]:
        found = (self._machine(node) for node in await self._nodes())
        return tuple(sorted((m for m in found if m.owner and m.owner.cluster == cluster), key=lambda m: m.id))

    async def power(self, id: MachineId, power: Power) -> None:
        if power not in self.capabilities.power:
            raise CannotDo(f"libcloud ({self._settings.provider})", f"power {power.value}")
        await self._cloud.call(_METHODS[power], await self._node(id), about=id)

    async def console(self, id: MachineId) -> str:
        await self._node(id)
        raise CannotDo(self.name, "show their console")

    async def tidy(self, cluster: str) -> tuple[str, ...]:
        return ()

    async def aclose(self) -> None:
        return

    async def _make(self, spec: MachineSpec, request: Mapping[str, Any]) -> Any | None:
        """Make it, and settle who won. None: the cloud remembers the token of one that is gone."""
        name, backoff, attempt = marks.marked(spec), Backoff(), 0
        while True:
            try:
                made = await self._cloud.once("create_node", about=spec.instance_type, name=name, **request)
                break
            except (CloudUnavailable, Throttled):
                attempt += 1
                if attempt >= backoff.attempts:
                    raise
                await self._clock.sleep(backoff.pause_seconds(attempt, 0.5))
                if (found := await self._existing(spec)) is not None:
                    return found  # it was made, and only the answer was lost
            except MachineExists:
                # The token made a machine with another key, say. When that one is gone it is in nobody's way.
                if await self._existing(spec) is not None:
                    raise
                return None
            except InsufficientCapacity as error:
                raise InsufficientCapacity(
                    zone=spec.zone, instance_type=spec.instance_type, capacity_type=spec.capacity_type.value
                ) from error
        deadline = self._clock.monotonic() + limits.CLOUD_VISIBLE_SECONDS
        while True:
            nodes = await self._cloud.call("list_nodes")
            listed = next((node for node in nodes if str(node.id) == str(made.id)), None)
            if listed is not None and listed.state == NodeState.TERMINATED:
                return None
            if listed is not None:
                break
            if self._clock.monotonic() >= deadline:
                raise CloudUnavailable("create_node", f"{made.id} was made and is not listed")
            await self._clock.sleep(limits.CLOUD_POLL_SECONDS)
        same = [node for node in nodes if node.name == name and node.state != NodeState.TERMINATED]
        winner, *surplus = sorted(same or [listed], key=lambda node: str(node.id))
        for node in surplus:
            with contextlib.suppress(MachineNotFound):  # the other operator came to the same verdict
                await self._cloud.call("destroy_node", node, about=str(node.id))
        return winner

    async def _existing(self, spec: MachineSpec) -> Any | None:
        """The node that this token made. Raises MachineExists when another owner of the cluster has the name."""
        mine = []
        for node in await self._nodes():
            machine = self._machine(node)
            if machine.owner is None or machine.owner.cluster != spec.owner.cluster:
                continue
            if machine.owner.token == spec.owner.token:
                mine.append(node)
            elif machine.name == spec.name:
                raise MachineExists(spec.name, machine.id)
        return min(mine, key=lambda node: str(node.id), default=None)

    async def _choose(self, spec: MachineSpec) -> dict[str, Any]:
        """Arguments of libcloud's create_node. Raises the Unknown leaves, InvalidSpec, CannotDo."""
        if spec.capacity_type is not CapacityType.ON_DEMAND:
            raise InvalidSpec("capacity_type", f"libcloud buys on demand, found {spec.capacity_type}")
        if spec.data_disks:
            raise CannotDo(self.name, "carry data disks")
        if unknown := [name for name in spec.options if not name.startswith("ex_")]:
            raise InvalidSpec("options", f"found {unknown[0]}; libcloud's own arguments begin with ex_")
        request: dict[str, Any] = dict(spec.options)
        for name in request:
            if not self._cloud.takes("create_node", name):
                raise InvalidSpec("options", f"{self._settings.provider} does not take {name}")
        sizes = {str(size.id): size for size in await self._cloud.call("list_sizes")}
        if spec.instance_type not in sizes:
            raise UnknownSize(spec.instance_type, known=sizes, field="instance_type")
        places = await self._where()
        if spec.zone and spec.zone not in places.zones:
            raise UnknownZone(spec.zone, known=set(places.zones), field="zone")
        size = sizes[spec.instance_type]
        if self._cloud.takes("create_node", "location") and places.listed:
            sold_at = places.selling(size)
            request["location"] = places.find(spec.zone or (sold_at or places.zones)[0])
        request |= {"size": size, "image": await self._image(spec.image or self._settings.image)}
        return request | self._access(spec)

    def _access(self, spec: MachineSpec) -> dict[str, Any]:
        """How to get in. The key travels in user data where a cloud has that: keys of their own are rarer."""
        me = f"libcloud ({self._settings.provider})"
        argument = next((name for name in _USER_DATA if self._cloud.takes("create_node", name)), "")
        key = "" if self._settings.account_keys else spec.ssh_public_key
        if argument:
            text = user_data.with_key(spec.user_data, key)
            return {argument: text} if text else {}
        if spec.user_data:
            raise CannotDo(me, "take user data")
        if not key:
            return {}
        if self._cloud.takes_keys():
            return {"auth": NodeAuthSSHKey(key)}
        raise CannotDo(
            me,
            "take an SSH key of their own",
            hint="set `account_keys: true` where each machine gets a key of the account, or options bring one",
        )

    def _token(self, spec: MachineSpec, generation: int) -> dict[str, str]:
        """A client token, where the cloud takes one."""
        digest = hashlib.sha256(f"{spec.owner.cluster}/{spec.owner.token}/{generation}".encode()).digest()
        token = base64.b32encode(digest[:20]).decode().lower()
        return {name: token for name in _TOKENS if self._cloud.takes("create_node", name)}

    async def _image(self, name: str) -> Any:
        narrowed = {}
        if name.startswith("ami-") and self._cloud.takes("list_images", "ex_image_ids"):
            narrowed = {"ex_image_ids": [name]}  # EC2 has tens of thousands
        images = await self._cloud.call("list_images", about=name, **narrowed)
        found = [image for image in images if name in (str(image.id), image.name)]
        if not found:
            raise UnknownImage(name, known={str(image.name) for image in images}, field="image")
        return found[0]

    async def _where(self) -> Places:
        """Asked once: places come and go with years."""
        if self._places is None:
            does = self._cloud.does("list_locations")
            self._places = Places(tuple(await self._cloud.call("list_locations")) if does else ())
        return self._places

    async def _nodes(self) -> list[Any]:
        await self._where()  # in whose words machines are read
        nodes: Iterable[Any] = await self._cloud.call("list_nodes")
        return [node for node in nodes if node.state != NodeState.TERMINATED]

    async def _node(self, id: MachineId) -> Any:
        for node in await self._nodes():
            if str(node.id) == id:
                return node
        raise MachineNotFound(id)

    def _offering(self, size: Any, zone: str) -> Offering:
        price = clouds.micros_per_hour(self._provider, size, self._settings.prices)
        return Offering(str(size.id), zone, CapacityType.ON_DEMAND, clouds.capacity(size), price)

    def _machine(self, node: Any, *, zone: str = "", size: str = "") -> Machine:
        name, owner = marks.read(str(node.name))
        public, private = _addresses(node.public_ips), _addresses(node.private_ips)
        extra: Mapping[str, Any] = node.extra or {}
        told = _id(node.size) or clouds.first(extra, _SIZES) or size
        place = clouds.first(extra, _PLACES)
        return Machine(
            id=MachineId(str(node.id)),
            name=name,
            state=_STATES.get(node.state, MachineState.PENDING),
            instance_type=str(told),
            zone=(self._places or Places()).told(place) if place else zone,
            capacity_type=CapacityType.ON_DEMAND,
            owner=owner,
            image=_id(node.image) or str(clouds.first(extra, _IMAGES) or ""),
            address=next(iter([*public, *private]), ""),
            ssh_user=self._settings.ssh_user,
            private_address=next(iter([*private, *public]), ""),
            created_at=node.created_at,
            problem=str((extra.get("fault") or {}).get("message") or ""),
        )


def _addresses(listed: Iterable[Any] | None) -> list[str]:
    """Some clouds say 0.0.0.0 of a machine that has none yet."""
    return [str(address) for address in listed or () if str(address) not in ("", "0.0.0.0")]


def _id(part: Any) -> str:
    """Of a size or an image; some drivers give a node the ID itself."""
    return part if isinstance(part, str) else str(getattr(part, "id", "") or "")
