"""Machines by stacks: each claim is a stack of its own, made by whichever engine there is.

In: a `Deployer`, what a node needs to join, hands for what is no deployment (power, looking, listing). Out: `Machines`.
The program is `iacorch.stack.claim`; its project, the states and the orders lie in one folder, which together with its
passphrase is all that is needed to go on elsewhere.

A deployment that was cut off is run again: the engine reads back what was in flight. Destroying needs no program, only
the state; what carries the claim's tag and is in no state is removed afterwards, by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.errors import ConfigError
from iacorch.infra.bootstrap import marks, private, ssh
from iacorch.infra.bootstrap.bundles import bundle
from iacorch.infra.bootstrap.ssh import SshTarget
from iacorch.infra.engine.contract import (
    Deployer,
    Diagnostic,
    Event,
    Op,
    Options,
    ResourceDone,
    ResourcePre,
    Result,
    StackRef,
)
from iacorch.infra.engine.errors import StackMissing
from iacorch.infra.machines.contract import OwnerTags
from iacorch.infra.machines.errors import CannotDo
from iacorch.provision.decisions.lifecycle import Work
from iacorch.provision.machines.contract import Hands, Made, Mended, Order, Owned, Say, View
from iacorch.provision.pools.offers import Offer, offer_of
from iacorch.stack.claim import ORDER

ReadJoining = Callable[[], Awaitable[Mapping[str, str]]]
PROJECT: Final = "iacorch-claims"
_PROGRAM: Final = (
    '"""Made by iacorch: the program of every claim\'s stack."""\n\nfrom iacorch.stack.claim import run\n\nrun()\n'
)


class StackMachines:
    """Implements `Machines`. `joining` reads that output of the control plane's stack: the CA in it may change."""

    def __init__(self, deployer: Deployer, hands: Hands, *, cluster: str, folder: Path, joining: ReadJoining) -> None:
        self._deployer, self._hands, self._cluster, self._folder = deployer, hands, cluster, folder
        self._joining = joining
        self._project = folder / "project"
        self._backend = f"file://{folder / 'state'}"

    async def offers(self, machine_class: Object) -> tuple[Offer, ...]:
        if listed := objects.spec(machine_class).get("offerings"):
            return tuple(offer_of(offering, objects.name(machine_class)) for offering in listed)
        return await self._hands.offers(machine_class)

    async def launch(self, order: Order, say: Say) -> Made:
        ref = self._ref(order)
        if ref.stack not in await self._deployer.stacks(ref):
            await self._deployer.create_stack(ref)
        joining, build = await self._current()
        result = await self._deployer.up(ref, self._options(order, joining), _telling(say))
        return _made(result, build)

    async def destroy(self, order: Order, say: Say) -> None:
        ref = self._ref(order)
        try:
            # What is destroyed needs no way in: the stack with the control plane may be gone.
            await self._deployer.destroy(ref, self._options(order, {}), _telling(say))
            await self._deployer.remove_stack(ref)
        except StackMissing:
            say("there is no stack")
        for owned in await self._hands.owned(order.machine_class):
            if owned.claim == order.uid:
                say(f"removing {owned.machine_id}, which is in no state")
                await self._hands.remove(order.machine_class, owned)
        for left in (self._order_file(order), self._project / f"Pulumi.{ref.stack}.yaml"):
            left.unlink(missing_ok=True)

    async def survey(self, machine_class: Object) -> Mapping[str, View]:
        return await self._hands.survey(machine_class)

    async def look(self, order: Order) -> View:
        return await self._hands.look(order)

    async def mend(self, order: Order, work: Work, say: Say) -> Mended:
        match work:
            case Work.RESTART_AGENT:
                await self._enter(order, "systemctl restart iacorch-agent")
                return Mended("the agent was started again")
            case Work.BOOTSTRAP:
                joining, build = await self._current()
                options = self._options(order, joining, refresh_first=True)
                result = await self._deployer.up(self._ref(order), options, _telling(say))
                return Mended("bootstrap was run again", _made(result, build))
            case Work.UPDATE:
                joining, build = await self._current()
                if build != order.build:
                    raise _other(order.build, build)
                result = await self._deployer.up(self._ref(order), self._options(order, joining), _telling(say))
                return Mended(f"it runs {build}", _made(result, build))
            case Work.REIMAGE:
                await self.destroy(order, say)
                made = await self.launch(order, say)
                return Mended(f"machine {made.machine_id} took its place", made)
            case Work.REBOOT | Work.FENCE:
                return await self._hands.mend(order, work, say)
            case _:
                raise CannotDo(str(objects.spec(order.machine_class).get("driver")), str(work))

    async def owned(self, machine_class: Object) -> tuple[Owned, ...]:
        return await self._hands.owned(machine_class)

    async def remove(self, machine_class: Object, owned: Owned) -> None:
        await self._hands.remove(machine_class, owned)

    # Inside

    def _ref(self, order: Order) -> StackRef:
        """The project is written when it is needed first; it is the same for every claim."""
        self._project.mkdir(parents=True, exist_ok=True, mode=0o700)
        runtime = (
            {"name": "python", "options": {"virtualenv": sys.prefix}} if sys.prefix != sys.base_prefix else "python"
        )
        project = {"name": PROJECT, "runtime": runtime, "description": "Machines of node claims, one stack each."}
        for name, text in (("Pulumi.yaml", json.dumps(project, indent=1)), ("__main__.py", _PROGRAM)):
            file = self._project / name
            if not file.exists() or file.read_text() != text:
                fresh = file.with_name(f"{name}.new")
                fresh.write_text(text)
                fresh.replace(file)
        return StackRef(self._project, f"{order.name}-{order.uid[:8]}", self._backend)

    async def _current(self) -> tuple[Mapping[str, str], str]:
        """How nodes join now, and the mark of what bootstrap brings now: both may change while this runs."""
        joining = await self._joining()
        return joining, marks.mark(await asyncio.to_thread(bundle.release), joining["ca_cert"])

    def _options(self, order: Order, joining: Mapping[str, str], *, refresh_first: bool = False) -> Options:
        file = self._order_file(order)
        private.write_private(file, json.dumps({**self._order(order), "joining": dict(joining)}))
        return Options(refresh_first=refresh_first, environment={ORDER: str(file)}, message=f"claim {order.name}")

    def _order_file(self, order: Order) -> Path:
        folder = self._folder / "orders"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / f"{order.uid}.json"

    def _order(self, order: Order) -> dict[str, Any]:
        spec = objects.spec(order.machine_class)
        return {
            "name": order.name,
            "nodeName": order.node_name,
            "class": objects.name(order.machine_class),
            "driver": spec["driver"],
            "region": spec.get("region") or "",
            "template": spec.get("template") or {},
            "offering": order.offer.spec(),
            "labels": {**order.offer.node_labels, **order.labels},
            "taints": [dict(taint) for taint in order.taints],
            "tags": OwnerTags(self._cluster, token=order.uid, claim=order.uid).as_tags(),
        }

    async def _enter(self, order: Order, script: str) -> None:
        outputs = await self._deployer.outputs(self._ref(order))
        told = {name: outputs[name].value for name in ("address", "ssh_port", "ssh_user", "ssh_key")}
        target = SshTarget(
            host=str(told["address"]),
            port=int(told["ssh_port"]),
            user=str(told["ssh_user"]),
            private_key=str(told["ssh_key"]),
        )
        async with ssh.session(target) as session:
            await session.run(script)


def _made(result: Result, build: str) -> Made:
    return Made(str(result.outputs["machine_id"].value), str(result.outputs["address"].value), build)


def _other(wanted: str, have: str) -> ConfigError:
    what = "build" if wanted.partition("/")[0] != have.partition("/")[0] else "CA"
    return ConfigError(
        f"another {what} is wanted ({wanted}) than this provisioner brings ({have})",
        where="iacorch provisioner",
        hint="install that build where it runs" if what == "build" else "`iacorch refresh` tells its stack of the CA",
    )


def _telling(say: Say) -> Any:
    """The engine's events as one line of progress."""

    def hear(event: Event) -> None:
        match event:
            case ResourcePre(urn=urn, op=op) if op is not Op.SAME:
                say(f"{op} {urn.rpartition('::')[2]}")
            case ResourceDone(urn=urn, error=error) if error:
                say(f"{urn.rpartition('::')[2]}: {error}")
            case Diagnostic(message=message) if message.strip():
                say(message.strip())
            case _:
                pass

    return hear


def passphrase(folder: Path, token: bytes) -> str:
    """What encrypts the secrets of all claims' states: the environment's, or one made once for this folder."""
    if (given := os.environ.get("PULUMI_CONFIG_PASSPHRASE")) is not None:
        return given
    file = folder / "passphrase"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        private.write_private(file, token.hex())
    return file.read_text().strip()
