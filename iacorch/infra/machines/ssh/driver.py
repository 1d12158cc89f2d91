"""The MachineDriver of owned hosts.

In: specifications. Out: hosts of the inventory, each adopted by one owner at a time. An adoption is a file on the host,
made with `ln`, which either makes it or finds another one: that is what decides between two operators, and what a
process that crashed finds again. Giving back removes the file; the host itself is left as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from iacorch.infra.bootstrap.errors import HostError, HostUnreachable
from iacorch.infra.bootstrap.ssh import SshTarget, session
from iacorch.infra.machines.contract import (
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
from iacorch.infra.machines.errors import (
    CannotDo,
    CloudRefused,
    CloudUnavailable,
    InsufficientCapacity,
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    MissingCredentials,
    NotOurs,
    UnknownSize,
    UnknownZone,
)
from iacorch.infra.machines.ssh import power as switching
from iacorch.infra.machines.ssh.ledger import Adoption, Ledger, Remembered
from iacorch.infra.machines.ssh.settings import Host, SshSettings, offerings
from iacorch.kit import limits
from iacorch.kit.clock import Clock, parse_rfc3339, rfc3339
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks

FILE: Final = "/etc/iacorch/machine.json"
_READ: Final = f"cat {FILE} 2>/dev/null || true\n"
_ADOPT: Final = """set -e
mkdir -p /etc/iacorch
fresh=$(mktemp /etc/iacorch/.machine.XXXXXX)
printf '%s' {content} >"$fresh"
ln "$fresh" {file} 2>/dev/null || true
rm -f "$fresh"
cat {file}
"""
_REPLACE: Final = """set -e
grep -qF {token} {file}
fresh=$(mktemp /etc/iacorch/.machine.XXXXXX)
printf '%s' {content} >"$fresh"
mv "$fresh" {file}
cat {file}
"""
_GIVE_BACK: Final = """if grep -qF {token} {file} 2>/dev/null; then rm -f {file}; fi
# nothing of ours stays behind, and nothing of others' goes
rmdir {folder} 2>/dev/null || true
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One host as it was found: whether it answers, and who has it (from the ledger where it does not answer)."""

    host: Host
    answers: bool
    adoption: Adoption | None
    words: str = ""


class SshDriver:
    """Implements `MachineDriver`."""

    name = "ssh"

    def __init__(self, settings: SshSettings, clock: Clock, ids: Ids) -> None:
        """Raises MissingCredentials."""
        self._settings = settings
        self._clock = clock
        self._hosts = {host.name: host for host in settings.hosts}
        self._ledger = Ledger(settings.ledger)
        self._key = _private_key(settings)
        self._asking = asyncio.Semaphore(limits.HOSTS_AT_ONCE)
        switchable = {p for p in (Power.ON, Power.OFF, Power.RESET) for h in settings.hosts if switching.command(h, p)}
        self.capabilities = Capabilities(
            creates=False, user_data=False, power=frozenset({Power.REBOOT, *switchable}), in_place=frozenset({"labels"})
        )

    async def offerings(self) -> tuple[Offering, ...]:
        taken = {seen.host.name for seen in await self._look(self._hosts.values()) if seen.adoption or not seen.answers}
        return offerings(self._settings, taken=taken)

    async def plan(self, spec: MachineSpec) -> MachinePlan:
        self._check(spec)
        seen = await self._look(self._hosts.values())
        existing = self._owned(seen, spec)
        taken = {s.host.name for s in seen if s.adoption or not s.answers}
        free = [host for host in self._fitting(spec) if host.name not in taken]
        if existing is None and not free:
            self._refuse_silent(seen, spec)
            raise InsufficientCapacity(zone=spec.zone, instance_type=spec.instance_type, capacity_type="owned")
        host = existing.host if existing else free[0]
        sold = offerings(self._settings, taken=taken)
        offering = next(o for o in sold if (o.instance_type, o.zone) == (host.instance_type, host.zone))
        words = f"adopt {host.name} ({host.address})"
        return MachinePlan(spec, offering, words, ("id",), _id(host, spec.owner.token) if existing else None)

    async def create(self, spec: MachineSpec) -> Machine:
        self._check(spec)
        seen = await self._look(self._hosts.values())
        existing = self._owned(seen, spec)
        if existing is not None:
            return await self._machine(existing)
        open_now = {s.host.name for s in seen if s.answers}
        wanted = Adoption(
            spec.owner.cluster,
            spec.owner.token,
            spec.owner.claim,
            spec.name,
            rfc3339(self._clock.now()),
            dict(spec.labels),
        )
        script = _ADOPT.format(content=shlex.quote(wanted.to_json()), file=FILE)
        for host in self._fitting(spec):
            if host.name not in open_now:
                continue
            # Silence now is told, not passed over: this host may be adopted, and going on would adopt a second one.
            found = Adoption.from_json(await self._run(host, script))
            if found is not None and found.token == wanted.token and found.cluster == wanted.cluster:
                self._remember(host, found)
                return await self._machine(Seen(host, True, found))
        self._refuse_silent(seen, spec)
        raise InsufficientCapacity(zone=spec.zone, instance_type=spec.instance_type, capacity_type="owned")

    async def read(self, id: MachineId) -> Machine:
        return await self._machine(await self._seen(id))

    async def update(self, id: MachineId, spec: MachineSpec) -> Machine:
        seen = await self._seen(id)
        assert seen.adoption is not None
        if seen.host.instance_type != spec.instance_type:
            raise CannotDo(self.name, "change instance_type in place", hint="replace the machine")
        wanted = replace(seen.adoption, labels=dict(spec.labels))
        script = _REPLACE.format(
            token=shlex.quote(f'"{wanted.token}"'), content=shlex.quote(wanted.to_json()), file=FILE
        )
        await self._run(seen.host, script)
        self._remember(seen.host, wanted)
        return await self._machine(replace(seen, adoption=wanted))

    async def delete(self, id: MachineId, *, cluster: str, discard_data: bool = False) -> None:
        try:
            seen = await self._seen(id)
        except MachineNotFound:
            return
        if seen.adoption is None or seen.adoption.cluster != cluster:
            raise NotOurs(id, operation="give back")
        if not seen.answers:
            raise CloudUnavailable("give back", f"{seen.host.name} does not answer: {seen.words}")
        await self._run(
            seen.host,
            _GIVE_BACK.format(token=shlex.quote(f'"{seen.adoption.token}"'), file=FILE, folder=FILE.rpartition("/")[0]),
        )
        self._remember(seen.host, None)

    async def list_owned(self, cluster: str) -> tuple[Machine, ...]:
        seen = await self._look(self._hosts.values())
        found = [await self._machine(s) for s in seen if s.adoption is not None and s.adoption.cluster == cluster]
        return tuple(sorted(found, key=lambda machine: machine.id))

    async def power(self, id: MachineId, power: Power) -> None:
        seen = await self._seen(id)
        if power is Power.REBOOT:
            # In the background and a moment later: the answer must not be lost with the connection.
            await self._run(seen.host, "(sleep 1; systemctl reboot || reboot) >/dev/null 2>&1 &\n")
            return
        await switching.switch(seen.host, power)

    async def console(self, id: MachineId) -> str:
        await self._seen(id)
        raise CannotDo(self.name, "show their console")

    async def tidy(self, cluster: str) -> tuple[str, ...]:
        return ()

    async def aclose(self) -> None:
        return

    def _check(self, spec: MachineSpec) -> None:
        hosts = self._settings.hosts
        if spec.options:
            raise InvalidSpec("options", f"this driver has none, found {', '.join(sorted(spec.options))}")
        if spec.capacity_type is not CapacityType.OWNED:
            raise InvalidSpec("capacity_type", f"hosts of an inventory are owned, found {spec.capacity_type}")
        for field in ("data_disks", "user_data", "image"):
            if getattr(spec, field):
                raise CannotDo(self.name, f"be given {field}")
        if spec.instance_type not in (types := {host.instance_type for host in hosts}):
            raise UnknownSize(spec.instance_type, known=types, field="instance_type")
        if spec.zone and spec.zone not in (zones := {host.zone for host in hosts}):
            raise UnknownZone(spec.zone, known=zones, field="zone")

    def _refuse_silent(self, seen: Iterable[Seen], spec: MachineSpec) -> None:
        """A host that does not answer may be free: that is not known, which is another thing than none being free."""
        fitting = {host.name for host in self._fitting(spec)}
        if silent := [s for s in seen if s.host.name in fitting and not s.answers and s.adoption is None]:
            raise CloudUnavailable("adopt", "; ".join(s.words for s in silent))

    def _fitting(self, spec: MachineSpec) -> list[Host]:
        """Hosts of the type and zone, in an order of the owner's own: two operators begin at different hosts."""
        fitting = [
            host
            for host in self._settings.hosts
            if host.instance_type == spec.instance_type and spec.zone in ("", host.zone)
        ]
        return sorted(fitting, key=lambda host: hashlib.sha256(f"{spec.owner.token}/{host.name}".encode()).digest())

    def _owned(self, seen: Iterable[Seen], spec: MachineSpec) -> Seen | None:
        """The host that this owner has. Raises MachineExists when another owner of the cluster has the name."""
        for found in seen:
            if found.adoption is None or found.adoption.cluster != spec.owner.cluster:
                continue
            if found.adoption.token == spec.owner.token:
                return found
            if found.adoption.name == spec.name:
                raise MachineExists(spec.name, _id(found.host, found.adoption.token))
        return None

    async def _seen(self, id: MachineId) -> Seen:
        """Raises MachineNotFound when the host is not in the inventory or another owner's by now."""
        host = self._hosts.get(id.rpartition("/")[0])
        if host is None:
            raise MachineNotFound(id)
        seen = (await self._look([host]))[0]
        if seen.adoption is None or _id(host, seen.adoption.token) != id:
            raise MachineNotFound(id)
        return seen

    async def _look(self, hosts: Iterable[Host]) -> list[Seen]:
        async with Tasks("ssh-hosts") as tasks:
            looks = [tasks.spawn(self._look_at(host), name=host.name) for host in hosts]
            return [await look for look in looks]

    async def _look_at(self, host: Host) -> Seen:
        try:
            adoption = Adoption.from_json(await self._run(host, _READ))
        except CloudUnavailable as error:
            kept = self._ledger.read().get(host.name, Remembered())
            return Seen(host, False, Adoption.from_json(kept.adoption), error.message)
        self._remember(host, adoption)
        return Seen(host, True, adoption)

    async def _machine(self, seen: Seen) -> Machine:
        host, adoption = seen.host, seen.adoption
        assert adoption is not None
        state, problem = MachineState.RUNNING, ""
        if not seen.answers:
            # Silence is no verdict: it may be starting. Who waits for it does so with a bound.
            state = MachineState.STOPPED if await switching.is_on(host) is False else MachineState.PENDING
            problem = seen.words
        return Machine(
            id=_id(host, adoption.token),
            name=adoption.name,
            state=state,
            instance_type=host.instance_type,
            zone=host.zone,
            capacity_type=CapacityType.OWNED,
            owner=OwnerTags(adoption.cluster, adoption.token, adoption.claim),
            address=host.address,
            ssh_port=host.port,
            ssh_user=host.user,
            private_address=host.address,
            labels=adoption.labels,
            created_at=parse_rfc3339(adoption.adopted_at),
            problem=problem,
        )

    def _remember(self, host: Host, adoption: Adoption | None) -> None:
        keys = self._ledger.read().get(host.name, Remembered()).host_keys
        self._ledger.remember(host.name, Remembered(keys, adoption.to_json() if adoption else ""))

    async def _run(self, host: Host, script: str) -> str:
        """A script as root on one host. Raises CloudUnavailable (silence), MissingCredentials, CloudRefused."""
        kept = self._ledger.read().get(host.name, Remembered())
        target = SshTarget(
            host.address, host.port, host.user, private_key=self._key, host_keys=host.host_keys or kept.host_keys
        )
        try:
            async with self._asking, session(target) as opened:
                answer = await opened.run(script, timeout_seconds=limits.HOST_ANSWER_SECONDS)
                if not kept.host_keys:
                    self._ledger.remember(host.name, replace(kept, host_keys=opened.host_keys()))
                return answer
        except HostUnreachable as error:
            raise CloudUnavailable("ssh", error.message) from error
        except HostError as error:
            raise CloudRefused("ssh", code=type(error).__name__, message=f"{error.message} {error.hint}") from error


def _id(host: Host, token: str) -> MachineId:
    """A host that is adopted again by another owner is another machine."""
    return MachineId(f"{host.name}/{hashlib.sha256(token.encode()).hexdigest()[:12]}")


def _private_key(settings: SshSettings) -> str:
    given = settings.private_key.get_secret_value()
    if given:
        return given
    looked_in = ("private_key", "private_key_file")
    if settings.private_key_file is None:
        raise MissingCredentials("ssh", looked_in=looked_in)
    try:
        return settings.private_key_file.expanduser().read_text()
    except OSError as error:
        raise MissingCredentials("ssh", looked_in=looked_in, found=str(error)) from error
