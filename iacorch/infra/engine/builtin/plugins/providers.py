"""Provider resources: which plugin serves which resource, and what registering a provider means.

A provider is a resource itself (`pulumi:providers:PKG`), so it is checked, diffed, created and kept in the state like
any other, but by this module: creating one means to configure a plugin, deleting one means nothing. Resources name
their provider by `URN::ID`. `Providers` answers with the plugin behind such a reference, starting it from the state
if needed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from iacorch.infra.engine.builtin.decisions.steps import Diff, compare
from iacorch.infra.engine.builtin.plugins.host import PluginHost
from iacorch.infra.engine.builtin.plugins.own_provider import OwnProvider
from iacorch.infra.engine.builtin.plugins.plugin import Plugin, Read
from iacorch.infra.engine.builtin.values import urn, wire
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.builtin.values.wire import Props
from iacorch.infra.engine.errors import StateBroken, Unsupported
from iacorch.kit.ids import Ids

#: What the engine keeps among a provider's inputs for itself; plugins never see it.
INTERNAL: Final = "__internal"

Serving = Plugin | OwnProvider


class Operations(Protocol):
    """What can be done to a resource: a plugin does it to ordinary ones, `Providers` to providers."""

    async def check(self, urn_: str, old: Props, new: Props, seed: bytes) -> Props: ...

    async def diff(
        self, urn_: str, id_: str, *, old: Props, outputs: Props, new: Props, ignore: Sequence[str] = ()
    ) -> Diff: ...

    async def create(self, urn_: str, inputs: Props, *, timeout: float, preview: bool) -> tuple[str, Props]: ...

    async def update(
        self, urn_: str, id_: str, *, old: Props, outputs: Props, new: Props, ignore: Sequence[str], timeout: float,
        preview: bool,
    ) -> Props: ...  # fmt: skip

    async def delete(self, urn_: str, id_: str, *, inputs: Props, outputs: Props, timeout: float) -> None: ...

    async def read(self, urn_: str, id_: str, *, inputs: Props, outputs: Props, timeout: float = 0.0) -> Read: ...


def visible(inputs: Props) -> Props:
    """A provider's inputs without what the engine keeps there."""
    return {key: value for key, value in inputs.items() if key != INTERNAL}


def with_version(inputs: Props, version: str) -> Props:
    """A provider's inputs with the version its SDK asks for, where Pulumi keeps it."""
    return inputs | {INTERNAL: inputs.get(INTERNAL, {}), "version": version} if version else inputs


def default_name(version: str) -> str:
    """The name of the default provider for a version of a package."""
    if not version:
        return "default"
    for mark in ".-+":
        version = version.replace(mark, "_")
    return f"default_{version}"


class Providers:
    """The plugins of one deployment by provider reference."""

    def __init__(
        self, host: PluginHost, ids: Ids, find: Callable[[str, str], Resource | None], own: OwnProvider
    ) -> None:
        """`find` gives the provider resource with a URN and an ID from the state, or None; `own` is the engine's."""
        self._host, self._ids, self._find, self._own = host, ids, find, own
        self._ready: dict[str, Serving] = {}
        self._checked: dict[str, Serving] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def serving(self, reference: str) -> Serving:
        """The configured plugin behind a reference; one that is only in the state is started with its old inputs."""
        async with self._locks[reference]:
            if (plugin := self._ready.get(reference)) is None:
                urn_, id_ = urn.split_reference(reference)
                if (resource := self._find(urn_, id_)) is None:
                    raise StateBroken(f"the provider {reference} is not in the state")
                plugin = await self._load(resource.urn, resource.inputs)
                await plugin.configure(urn_, id_, visible(resource.inputs))
                self._ready[reference] = plugin
            return plugin

    async def _load(self, urn_: str, inputs: Props) -> Serving:
        if (package := urn.package_of(urn.type_of(urn_))) == self._own.package:
            return self._own
        internal = inputs.get(INTERNAL) or {}
        for key in ("name", "parameterization", "envVarMappings"):
            if internal.get(key):
                raise Unsupported(f"{key} of a provider", where=urn_)
        return await self._host.load(package)

    async def check(self, urn_: str, old: Props, new: Props, seed: bytes) -> Props:
        plugin = await self._load(urn_, new)
        self._checked[urn_] = plugin
        inputs = await plugin.check_config(urn_, visible(old), visible(new))
        kept = {key: new[key] for key in ("version", INTERNAL) if key in new}
        return inputs | kept

    async def diff(
        self, urn_: str, id_: str, *, old: Props, outputs: Props, new: Props, ignore: Sequence[str] = ()
    ) -> Diff:
        plugin = self._checked.get(urn_) or await self.serving(urn.reference(urn_, id_))
        answer = await plugin.diff_config(urn_, id_, visible(old), outputs, visible(new))
        changes = answer.changes or (compare(visible(old), visible(new)) if answer.changed else ())
        return Diff(answer.changed, answer.replaces, answer.delete_first, changes, answer.keys)

    async def create(self, urn_: str, inputs: Props, *, timeout: float, preview: bool) -> tuple[str, Props]:
        id_ = wire.UNKNOWN if preview else self._ids.uid()
        await self._configure(urn_, id_, inputs)
        return id_, visible(inputs)

    async def update(
        self, urn_: str, id_: str, *, old: Props, outputs: Props, new: Props, ignore: Sequence[str], timeout: float,
        preview: bool,
    ) -> Props:  # fmt: skip
        await self._configure(urn_, id_, new)
        return visible(new)

    async def same(self, urn_: str, id_: str, old_inputs: Props) -> None:
        """An unchanged provider serves with the inputs it had."""
        if urn.reference(urn_, id_) not in self._ready:
            await self._configure(urn_, id_, old_inputs)

    async def delete(self, urn_: str, id_: str, *, inputs: Props, outputs: Props, timeout: float) -> None:
        """Nothing: a provider has nothing outside."""

    async def read(self, urn_: str, id_: str, *, inputs: Props, outputs: Props, timeout: float = 0.0) -> Read:
        return Read(id_, inputs, outputs)

    async def _configure(self, urn_: str, id_: str, inputs: Props) -> None:
        plugin = self._checked.pop(urn_, None) or await self._load(urn_, inputs)
        await plugin.configure(urn_, id_, visible(inputs))
        self._ready[urn.reference(urn_, id_)] = plugin
