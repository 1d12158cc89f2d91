"""Whether an image is on the node as its pull policy wants it.

In: a reference and a policy. Out: the image, or `ImageTrouble` with the reason Kubernetes gives. The worker calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from iacorch.agent.runtime.contract import ImagePullFailed, ImageState, NoSuchImage, Runtime
from iacorch.errors import RuntimeFailed

# name[:tag][@digest], where the name may begin with a host and a port
_REFERENCE: Final = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?"
)

_IMAGE_REASONS: Final = frozenset({"ErrImageNeverPull", "InvalidImageName"})


class ImageTrouble(RuntimeFailed):
    """`reason` is what `state.waiting.reason` says."""

    def __init__(self, reason: str, message: str, *, subject: str) -> None:
        super().__init__(message, operation="get the image", subject=subject)
        self.reason = reason


def event_words(reason: str, message: str) -> str:
    """What an Event says of a container that could not be made: as Kubernetes does, not quite what its status says."""
    if reason == "ErrImagePull":
        return f"{message[:1].upper()}{message[1:]}"
    return message if reason in _IMAGE_REASONS else f"Error: {message}"


def policy_of(reference: str, policy: str | None) -> str:
    """The given policy, or Kubernetes' default: Always for `latest` and for no tag, else IfNotPresent."""
    if policy:
        return policy
    last = reference.rpartition("/")[2]
    has_version = "@" in last or (":" in last and not last.endswith(":latest"))
    return "IfNotPresent" if has_version else "Always"


def _nobody(reason: str, message: str) -> None:
    return None


async def ensure(
    runtime: Runtime, reference: str, policy: str, *, tell: Callable[[str, str], None] = _nobody
) -> ImageState:
    """Raises ImageTrouble. `tell` hears (reason, message) of what an Event should say."""
    if not reference.startswith("sha256:") and not _REFERENCE.fullmatch(reference):
        raise ImageTrouble(
            "InvalidImageName", f'couldn\'t parse image name "{reference}": invalid reference format', subject=reference
        )
    if policy != "Always" and (found := await runtime.image(reference)) is not None:
        tell("Pulled", f'Container image "{reference}" already present on machine')
        return found
    if policy == "Never":
        raise ImageTrouble(
            "ErrImageNeverPull",
            f'Container image "{reference}" is not present with pull policy of Never',
            subject=reference,
        )
    tell("Pulling", f'Pulling image "{reference}"')
    try:
        found = await runtime.pull(reference)
    except (ImagePullFailed, NoSuchImage) as error:
        message = f'failed to pull image "{reference}": {error.message}'
        raise ImageTrouble("ErrImagePull", message, subject=reference) from error
    tell("Pulled", f'Successfully pulled image "{reference}"')
    return found
