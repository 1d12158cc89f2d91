"""`docker:index/volume:Volume`: named volumes. Nothing about one changes in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiodocker

from iacorch.infra.machines.docker_provider import schema
from iacorch.infra.machines.docker_provider.container_spec import label_map
from iacorch.infra.machines.docker_provider.docker_api import is_ours, marks, translated, unless_absent, was_made_for
from iacorch.infra.machines.docker_provider.errors import DockerRefused
from iacorch.infra.machines.docker_provider.resource import Made, Properties


class Volumes:
    schema = schema.VOLUME

    def __init__(self, docker: aiodocker.Docker) -> None:
        self._docker = docker

    async def create(self, urn: str, inputs: Properties) -> Made:
        name, wanted = inputs["name"], marks(urn, inputs)
        if (found := await self._show(name)) is not None:
            if is_ours(found.get("Labels"), wanted, what=f"volume {name}"):
                return Made(name, outputs(inputs, found))
            await self.delete(name, {})
        with translated(f"creating volume {name}"):
            volume = await self._docker.volumes.create(
                {
                    "Name": name,
                    "Driver": inputs.get("driver") or "local",
                    "DriverOpts": inputs.get("driverOpts") or {},
                    "Labels": label_map(inputs.get("labels")) | wanted,
                }
            )
            shown = await volume.show()
        return Made(name, outputs(inputs, shown))

    async def read(self, id: str, inputs: Properties, state: Properties) -> Made | None:
        found = await self._show(id)
        return None if found is None else Made(id, outputs(inputs, found))

    async def find(self, urn: str, inputs: Properties) -> Made | None:
        found = await self._show(inputs["name"])
        if found is None or not was_made_for(urn, found.get("Labels")):
            return None
        return Made(found["Name"], outputs(inputs, found))

    async def update(self, id: str, inputs: Properties, state: Properties) -> Made:
        if (made := await self.read(id, inputs, state)) is None:
            raise DockerRefused(f"volume {id} is gone", status=404, hint="refresh, then try again")
        return made

    async def delete(self, id: str, state: Properties) -> None:
        await unless_absent(aiodocker.volumes.DockerVolume(self._docker, id).delete(), doing=f"removing volume {id}")

    async def _show(self, id: str) -> dict[str, Any] | None:
        return await unless_absent(
            aiodocker.volumes.DockerVolume(self._docker, id).show(), doing=f"reading volume {id}"
        )


def outputs(inputs: Properties, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with what the engine chose filled in."""
    return {**inputs, "name": shown["Name"], "driver": shown["Driver"], "mountpoint": shown["Mountpoint"]}
