"""Copies images from this host's Docker Engine onto the nodes of a stack, over SSH, in parallel.

In: image references and the fleet that the stack's state tells of. Out: one `Loading` a node. A node that has every
image under the same ID is left alone; nothing runs on the nodes but `docker image inspect` and `docker load`. Called by
`iacorch image load` and `make up`.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iacorch.drift.fleet import Fleet
from iacorch.errors import ConfigError, IacorchError
from iacorch.infra.bootstrap import ssh
from iacorch.infra.bootstrap.errors import HostUnreachable, RemoteFailed
from iacorch.infra.machines.images.docker import Progress, docker, image_id
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks
from iacorch.kit.text import did_you_mean

_NO_ENGINE: Final = re.compile(r"(?i)docker: (command )?not found|docker: No such file|docker daemon|docker\.sock")
_LOAD: Final = 'if [ "$(id -u)" = 0 ]; then exec docker load -q; else exec sudo -n docker load -q; fi'


class LoadFailed(IacorchError):
    """Images could not be copied onto some nodes; the others have them."""


@dataclass(frozen=True, slots=True)
class Loading:
    """What happened at one node. `copied` is false where it had the images; `error` is empty where all went well."""

    node: str
    copied: bool
    error: str = ""


async def load(images: Sequence[str], fleet: Fleet, *, only: Collection[str], say: Progress) -> tuple[Loading, ...]:
    """Raises ConfigError for a stack or image that will not do, LoadFailed naming each node that failed."""
    targets = targets_of(fleet, only)
    wanted = {image: await asyncio.to_thread(_local_id, image) for image in images}
    with tempfile.TemporaryDirectory(prefix="iacorch-load-") as folder:
        archive = _Archive(tuple(images), Path(folder) / "images.tar", say)
        async with Tasks("image-load") as tasks:
            running = [
                tasks.spawn(_load_one(name, at, wanted, archive, say), name=name) for name, at in targets.items()
            ]
            done = tuple(await asyncio.gather(*running))
    if failed := [loading for loading in done if loading.error]:
        raise LoadFailed(
            "\n".join(
                f"{'' if at == 0 else '       '}{loading.node}: {loading.error}" for at, loading in enumerate(failed)
            ),
            hint="a machine that is still being made gets it when `iacorch up` is done: run this again then; "
            "`iacorch why` tells of nodes that are not well",
        )
    return done


def targets_of(fleet: Fleet, only: Collection[str]) -> dict[str, ssh.SshTarget]:
    """Node name -> how to get in, from the states of the stacks. Pure."""
    nodes = {host.name: host.target for host in fleet.hosts if host.is_node}
    if not nodes:
        raise ConfigError(
            "it has no nodes: its machines are not made yet, or none of them runs containers",
            where="stack",
            hint="wait for `iacorch up` to end, or run it",
        )
    if unknown := sorted(set(only) - set(nodes)):
        raise ConfigError(
            f"no node {', '.join(unknown)}; there are {', '.join(sorted(nodes))}",
            where="--nodes",
            hint=did_you_mean(unknown[0], nodes),
        )
    return {name: target for name, target in nodes.items() if not only or name in only}


class _Archive:
    """`docker save` into one file, made when the first node needs it and read by all that do."""

    def __init__(self, images: Sequence[str], path: Path, say: Progress) -> None:
        self._images, self._path, self._say = images, path, say
        self._lock = asyncio.Lock()

    async def path(self) -> Path:
        async with self._lock:
            if not self._path.exists():
                self._say(f"saving {', '.join(self._images)}")
                await asyncio.to_thread(docker, "save", "--output", str(self._path), *self._images)
        return self._path


async def _load_one(
    name: str, target: ssh.SshTarget, wanted: Mapping[str, str], archive: _Archive, say: Progress
) -> Loading:
    try:
        async with ssh.session(target) as session:
            inspect = " ".join(
                f"docker image inspect -f '{{{{.Id}}}}' {shlex.quote(image)} 2>/dev/null || echo;" for image in wanted
            )
            if (await session.run(inspect)).split() == list(wanted.values()):
                say(f"{name}: has it")
                return Loading(name, copied=False)
            path = await archive.path()
            say(f"{name}: copying {path.stat().st_size / 1e6:.0f} MB")
            await _copy(session, path)
            say(f"{name}: loaded")
            return Loading(name, copied=True)
    except IacorchError as error:
        return Loading(name, copied=False, error=words_of(error, target.host))


def words_of(error: IacorchError, address: str) -> str:
    """What is wrong with one machine, in words of machines and not of ssh's or Docker's. Pure."""
    if isinstance(error, HostUnreachable):
        return f"its machine does not answer at {address}: it is not there, not running, or still being made"
    if isinstance(error, RemoteFailed) and _NO_ENGINE.search(error.message):
        return f"its machine ({address}) runs and has no Docker Engine that answers: it is still being made a node"
    return error.message


async def _copy(session: ssh.SshSession, archive: Path) -> None:
    """`docker load` on the node, reading the archive from here."""
    target = session.target
    with archive.open("rb") as reading:
        process = await asyncio.create_subprocess_exec(
            "ssh",
            *ssh.options(target, session.directory),
            "-l",
            target.user,
            "--",
            target.host,
            _LOAD,
            stdin=reading,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(limits.IMAGE_LOAD_SECONDS):
                _, said = await process.communicate()
        except TimeoutError as error:
            raise LoadFailed(f"docker load took longer than {limits.IMAGE_LOAD_SECONDS:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        raise ssh.failure(target, process.returncode or 0, said.decode(errors="replace"))


def _local_id(image: str) -> str:
    if (found := image_id(image)) is None:
        raise ConfigError(
            f"the image {image} is not in this host's Docker Engine", hint="build it with `iacorch image build`"
        )
    return found
