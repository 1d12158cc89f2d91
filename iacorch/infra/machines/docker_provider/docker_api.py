"""The door to a Docker Engine: aiodocker, with its errors translated and a way to say "absent is an answer".

Every resource of this provider goes through here, so no aiodocker exception leaves the room.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import aiodocker
import aiohttp

from iacorch.infra.machines.docker_provider.errors import DockerRefused, NotOurs
from iacorch.kit import limits

T = TypeVar("T")

URN_LABEL: Final = "dev.iacorch.urn"
"""On everything made here: the resource it was made for, so that a create that was cut short is found again."""
INPUTS_LABEL: Final = "dev.iacorch.inputs"
"""A digest of the inputs it was made with."""

CONFLICT: Final = 409
"""The engine's status for a name that is taken."""
_NOT_REACHED: Final = 900
"""What aiodocker puts in a status's place when it could not connect."""


def connect(host: str | None) -> aiodocker.Docker:
    """A client for `host` (as in DOCKER_HOST), or for the engine that Docker's own command would use."""
    timeout = aiohttp.ClientTimeout(
        total=None, connect=limits.DOCKER_CONNECT_SECONDS, sock_read=limits.DOCKER_SILENCE_SECONDS
    )
    try:
        return aiodocker.Docker(url=host, timeout=timeout)
    except (AssertionError, ValueError, OSError) as error:
        raise DockerRefused(
            f"no Docker Engine at {host or 'the usual sockets'}: {error}",
            status=0,
            hint="start Docker (scripts/docker up) or set docker:host",
        ) from error


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns what aiodocker and aiohttp raise into `DockerRefused`, saying what was being done."""
    try:
        yield
    except aiodocker.DockerError as error:
        if error.status == _NOT_REACHED:
            raise _silent(doing, error) from error
        raise DockerRefused(f"{doing}: {error.message}", status=error.status) from error
    except (aiohttp.ClientError, OSError) as error:
        raise _silent(doing, error) from error


def _silent(doing: str, error: Exception) -> DockerRefused:
    words = f"{doing}: the Docker Engine does not answer: {error}"
    return DockerRefused(words, status=0, hint="is dockerd running? (docker info)")


async def unless_absent(call: Awaitable[T], *, doing: str) -> T | None:
    """The call's answer, or None where the engine says 404."""
    try:
        with translated(doing):
            return await call
    except DockerRefused as error:
        if error.status == 404:
            return None
        raise


def is_going(status: int, message: str) -> bool:
    """Whether a removal was refused because another one of the same is under way; the engine has no code for it."""
    return status == CONFLICT and "in progress" in message


def marks(urn: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    """The labels that say what something was made for and from."""
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    return {URN_LABEL: urn, INPUTS_LABEL: digest[:32]}


def was_made_for(urn: str, labels: Mapping[str, str] | None) -> bool:
    """Whether something carries the mark of this resource, whatever it was made from."""
    return (labels or {}).get(URN_LABEL) == urn


def is_ours(labels: Mapping[str, str] | None, wanted: Mapping[str, str], *, what: str) -> bool:
    """Whether something found under our name is this resource, made from these very inputs.

    False: this resource, made from other inputs, so it is to be made again. Raises `NotOurs` for anything else.
    """
    found = labels or {}
    if found.get(URN_LABEL) != wanted[URN_LABEL]:
        raise NotOurs(
            f"{what} already exists and does not belong to this resource",
            hint=f"remove or rename {what}, then try again",
        )
    return found.get(INPUTS_LABEL) == wanted[INPUTS_LABEL]
