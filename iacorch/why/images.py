"""Why an image cannot be had, from what the runtime said. Pure.

In: the image's name, the words of the node, images that run elsewhere. Out: a cause and what to do. Called by `pods`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from iacorch.kit.text import near
from iacorch.why.model import Step

_ABSENT: Final = re.compile(r"(?i)not found|manifest unknown|no such image|does not exist|no matching manifest")
_DENIED: Final = re.compile(r"(?i)unauthorized|authentication required|access denied|denied|forbidden")
_AWAY: Final = re.compile(
    r"(?i)dial tcp|lookup|no such host|timeout|timed out|deadline exceeded|refused|unreachable|no route|tls|"
    r"temporary failure|network|EOF"
)


def registry_of(image: str) -> str:
    """`docker.io` where none is named."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def cause(image: str, reason: str, message: str, known: Collection[str]) -> tuple[str, tuple[Step, ...]]:
    """`known`: images that pods elsewhere run with."""
    load = Step(f"iacorch image load {image}", "if this host's Docker Engine has it (docker image ls)")
    close = [each for each in near(image, [k for k in known if k != image], most=2) if each != image]
    same = [k for k in known if k != image and k.rpartition(":")[0] == image.rpartition(":")[0]]
    meant = " or ".join(dict.fromkeys([*same[:2], *close]))
    guess = f"; did you mean {meant}, which runs here?" if meant else ""
    if reason == "InvalidImageName":
        return f"{image!r} is no name of an image{guess}", ()
    if reason == "ErrImageNeverPull":
        return f"the image {image} is not on the node, and imagePullPolicy Never forbids to fetch it", (load,)
    registry = registry_of(image)
    # a registry that hides what is private says "denied" of what does not exist
    if _AWAY.search(message) and not _ABSENT.search(message):
        return f"the image {image} is not on the node, and {registry} cannot be reached from there{guess}", (load,)
    if _DENIED.search(message):
        return (
            f"{registry} gives out no image {image}: it does not exist there, or it is private{guess}",
            (load, Step(f"docker manifest inspect {image}", "does it exist, and for whom?")),
        )
    if _ABSENT.search(message):
        return f"there is no image {image}, neither on the node nor in {registry}{guess}", (load,)
    return f"the image {image} cannot be pulled", (load,)
