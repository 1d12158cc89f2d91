"""`docker:index/network:Network`: user-defined networks. Nothing about one changes in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiodocker

from iacorch.infra.machines.docker_provider import schema
from iacorch.infra.machines.docker_provider.container_spec import label_map
from iacorch.infra.machines.docker_provider.docker_api import (
    CONFLICT,
    is_ours,
    marks,
    translated,
    unless_absent,
    was_made_for,
)
from iacorch.infra.machines.docker_provider.errors import DockerRefused
from iacorch.infra.machines.docker_provider.resource import Made, Properties


class Networks:
    schema = schema.NETWORK

    def __init__(self, docker: aiodocker.Docker) -> None:
        self._docker = docker

    async def create(self, urn: str, inputs: Properties) -> Made:
        name, wanted = inputs["name"], marks(urn, inputs)
        if (found := await self._show(name)) is not None and found["Name"] == name:
            if is_ours(found.get("Labels"), wanted, what=f"network {name}"):
                return Made(found["Id"], outputs(inputs, found))
            await self.delete(found["Id"], {})
        try:
            with translated(f"creating network {name}"):
                network = await self._docker.networks.create(create_body(inputs, labels=wanted))
                shown = await network.show()
        except DockerRefused as error:
            if error.status != CONFLICT or (made := await self.find(urn, inputs)) is None:
                raise
            return made  # the engine was still at it when an earlier create was cut short
        return Made(shown["Id"], outputs(inputs, shown))

    async def read(self, id: str, inputs: Properties, state: Properties) -> Made | None:
        found = await self._show(id)
        return None if found is None else Made(found["Id"], outputs(inputs, found))

    async def find(self, urn: str, inputs: Properties) -> Made | None:
        found = await self._show(inputs["name"])
        if found is None or not was_made_for(urn, found.get("Labels")):
            return None
        return Made(found["Id"], outputs(inputs, found))

    async def update(self, id: str, inputs: Properties, state: Properties) -> Made:
        if (made := await self.read(id, inputs, state)) is None:
            raise DockerRefused(f"network {inputs['name']} is gone", status=404, hint="refresh, then try again")
        return made

    async def delete(self, id: str, state: Properties) -> None:
        await unless_absent(aiodocker.networks.DockerNetwork(self._docker, id).delete(), doing=f"removing network {id}")

    async def _show(self, id: str) -> dict[str, Any] | None:
        return await unless_absent(
            aiodocker.networks.DockerNetwork(self._docker, id).show(), doing=f"reading network {id}"
        )


def create_body(inputs: Properties, *, labels: Mapping[str, str]) -> dict[str, Any]:
    """The body of NetworkCreate."""
    body: dict[str, Any] = {
        "Name": inputs["name"],
        "CheckDuplicate": True,
        "Driver": inputs.get("driver") or "bridge",
        "Internal": bool(inputs.get("internal")),
        "Attachable": bool(inputs.get("attachable")),
        "Ingress": bool(inputs.get("ingress")),
        "EnableIPv6": bool(inputs.get("ipv6")),
        "Options": inputs.get("options") or {},
        "Labels": label_map(inputs.get("labels")) | dict(labels),
    }
    if configs := inputs.get("ipamConfigs"):
        keys = {"subnet": "Subnet", "gateway": "Gateway", "ipRange": "IPRange", "auxAddress": "AuxiliaryAddresses"}
        body["IPAM"] = {
            "Driver": inputs.get("ipamDriver") or "default",
            "Config": [{keys[name]: value for name, value in c.items() if name in keys} for c in configs],
            "Options": inputs.get("ipamOptions") or {},
        }
    return body


def outputs(inputs: Properties, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with what the engine chose filled in."""
    configs = (shown.get("IPAM") or {}).get("Config") or []
    observed = [
        {
            name: config[key]
            for name, key in (("subnet", "Subnet"), ("gateway", "Gateway"), ("ipRange", "IPRange"))
            if config.get(key)
        }
        for config in configs
    ]
    return {
        **inputs,
        "name": shown["Name"],
        "driver": shown["Driver"],
        "internal": shown["Internal"],
        "scope": shown["Scope"],
        "ipamConfigs": inputs.get("ipamConfigs") or observed,
    }
