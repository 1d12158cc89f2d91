"""`RemoteImage` (pull, or build from a folder) and `Image` (build from a folder, never pushed).

Both end as a tag in the local engine. Where the tag is present already, RemoteImage pulls nothing: that is what lets a
host without a registry use an image that was built here.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiodocker

from iacorch.infra.machines.docker_provider import schema
from iacorch.infra.machines.docker_provider.docker_api import translated, unless_absent
from iacorch.infra.machines.docker_provider.errors import DockerRefused
from iacorch.infra.machines.docker_provider.resource import Made, Properties


class RemoteImages:
    schema = schema.REMOTE_IMAGE

    def __init__(self, docker: aiodocker.Docker) -> None:
        self._docker = docker
        self._made: set[str] = set()  # names, in this deployment: the process serves no other one

    async def create(self, urn: str, inputs: Properties) -> Made:
        name = inputs["name"]
        self._made.add(name)
        if build := inputs.get("build"):
            shown = await _build(self._docker, name, build, args=build.get("buildArgs"), labels=build.get("labels"))
        elif (found := await _inspect(self._docker, name)) is not None:
            shown = found
        else:
            with translated(f"pulling image {name}"):
                await self._docker.images.pull(name, platform=inputs.get("platform"))
                shown = await self._docker.images.inspect(name)
        return _remote(inputs, shown)

    async def read(self, id: str, inputs: Properties, state: Properties) -> Made | None:
        found = await _inspect(self._docker, inputs.get("name") or state["name"])
        return None if found is None else _remote(inputs, found)

    async def find(self, urn: str, inputs: Properties) -> Made | None:
        """One that was pulled is complete. What was to be built may be older than its folder: it is built again."""
        return None if inputs.get("build") else await self.read("", inputs, {})

    async def update(self, id: str, inputs: Properties, state: Properties) -> Made:
        return await self.create("", inputs)

    async def delete(self, id: str, state: Properties) -> None:
        if state.get("keepLocally"):
            return
        if state["name"] in self._made:
            return  # a replacement was made first, and the tag is its own by now
        found = await _inspect(self._docker, state["name"])
        if found is not None and found["Id"] == state.get("imageId", found["Id"]):
            await _remove(self._docker, state["name"], force=bool(state.get("forceRemove")))


class Images:
    schema = schema.IMAGE

    def __init__(self, docker: aiodocker.Docker) -> None:
        self._docker = docker

    async def create(self, urn: str, inputs: Properties) -> Made:
        if inputs.get("skipPush") is not True:
            raise DockerRefused(
                f"image {inputs['imageName']}: pushing to a registry needs the real docker plugin",
                status=0,
                hint="set skip_push=True, or use the Pulumi CLI",
            )
        build = inputs.get("build") or {}
        await _build(self._docker, inputs["imageName"], build, args=build.get("args"), labels=None)
        return self._made(inputs)

    async def read(self, id: str, inputs: Properties, state: Properties) -> Made | None:
        found = await _inspect(self._docker, state.get("imageName") or id)
        return None if found is None else self._made(inputs)

    async def find(self, urn: str, inputs: Properties) -> Made | None:
        """Nothing: what is there may be older than its folder, and building again makes no second one."""
        return None

    async def update(self, id: str, inputs: Properties, state: Properties) -> Made:
        return await self.create("", inputs)

    async def delete(self, id: str, state: Properties) -> None:
        """pulumi-docker leaves built images where they are; so do we."""

    def _made(self, inputs: Properties) -> Made:
        name = inputs["imageName"]
        return Made(name, {**inputs, "baseImageName": name, "registryServer": "", "repoDigest": ""})


def _remote(inputs: Properties, shown: Mapping[str, Any]) -> Made:
    digests = shown.get("RepoDigests") or []
    outputs = {**inputs, "imageId": shown["Id"], "repoDigest": digests[0] if digests else ""}
    return Made(f"{shown['Id']}{inputs['name']}", outputs)


async def _build(
    docker: aiodocker.Docker,
    name: str,
    build: Mapping[str, Any],
    *,
    args: Mapping[str, str] | None,
    labels: Mapping[str, str] | None,
) -> dict[str, Any]:
    context = await asyncio.to_thread(_context, name, Path(build.get("context") or "."))
    with translated(f"building image {name}"):
        await docker.images.build(
            fileobj=context,
            encoding="gzip",
            tag=name,
            path_dockerfile=build.get("dockerfile") or "Dockerfile",
            buildargs=args,
            labels=labels,
            platform=build.get("platform"),
            nocache=bool(build.get("noCache")),
        )
        return await docker.images.inspect(name)


def _context(name: str, folder: Path) -> io.BytesIO:
    if not folder.is_dir():
        raise DockerRefused(f"image {name}: build context {folder} is not a folder", status=0)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        archive.add(folder, arcname=".")
    buffer.seek(0)
    return buffer


async def _inspect(docker: aiodocker.Docker, name: str) -> dict[str, Any] | None:
    return await unless_absent(docker.images.inspect(name), doing=f"reading image {name}")


async def _remove(docker: aiodocker.Docker, name: str, *, force: bool) -> None:
    await unless_absent(docker.images.delete(name, force=force), doing=f"removing image {name}")
