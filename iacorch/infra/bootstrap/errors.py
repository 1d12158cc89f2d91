"""What can go wrong between a machine and being a node, named per host with what to do.

BootstrapError
+-- HostError                one host; `host` says which
|   +-- HostUnreachable      nobody answers there (yet)
|   +-- HostKeyChanged       somebody else answers there
|   +-- KeyRefused           the host answers and does not take our key
|   +-- NotPrivileged        we are in, but neither root nor allowed to sudo without a password
|   +-- RemoteFailed         a command on the host failed
|   +-- PreflightRefused     the plan refused the host; nothing on it was changed
+-- WentBack                 another build did not work; the one before runs again
+-- PlaybookFailed           Ansible failed on some hosts; one `HostFailure` each
+-- BundleFailed             the archive for the nodes could not be built
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from iacorch.errors import BootstrapError

RefusalCode = Literal[
    "no-python",
    "wrong-os",
    "wrong-arch",
    "no-systemd",
    "kernel-lacks",
    "no-space",
    "clock-off",
    "port-taken",
    "owned-by-other",
    "range-overlaps",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason against a machine: what was found (and expected), and what to do about it."""

    code: RefusalCode
    found: str
    remedy: str


class HostError(BootstrapError):
    """Something is wrong with one host."""

    def __init__(self, host: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{host}: {message}", hint=hint)
        self.host = host


class HostUnreachable(HostError):
    """No SSH server answered within the time allowed."""


class HostKeyChanged(HostError):
    """The host presents another key than the one that was pinned: a new machine at this address, or an imposter."""


class KeyRefused(HostError):
    """The SSH server does not accept the private key for this user."""


class NotPrivileged(HostError):
    """The user is not root and may not use sudo without a password."""


class RemoteFailed(HostError):
    """A command ended with an error on the host."""


class PreflightRefused(HostError):
    """The plan refused the host for the named reasons, before anything on it was changed."""

    def __init__(self, host: str, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        found = "; ".join(f"{refusal.code}: {refusal.found}" for refusal in self.refusals)
        super().__init__(
            host,
            f"cannot become a node, nothing on it was changed: {found}",
            hint="; ".join(refusal.remedy for refusal in self.refusals),
        )


@dataclass(frozen=True, slots=True)
class HostFailure:
    """The task that failed on `host`, in Ansible's words, and what to do."""

    host: str
    task: str
    message: str
    hint: str = ""


class PlaybookFailed(BootstrapError):
    """Ansible did not finish on every host."""

    def __init__(self, playbook: str, failures: Sequence[HostFailure]) -> None:
        self.failures = tuple(failures)
        words = "; ".join(f"{f.host}: {f.task}: {f.message}" for f in self.failures)
        hints = dict.fromkeys(f.hint for f in self.failures if f.hint)
        super().__init__(f"{playbook} failed: {words}", hint="; ".join(hints))


class WentBack(BootstrapError):
    """Another build of the daemon did not work, and the machine runs the one before again."""


class BundleFailed(BootstrapError):
    """The bundle for the nodes could not be built."""
