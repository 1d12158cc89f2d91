"""Whether machines run on KVM or are emulated, and why.

`choose` is pure: what the settings want and what was seen of this host in, the choice and its reason out. `look` sees.
Called by `driver`, which says the reason in its plans, and by those who start machines. As `kvm-ok` does, x86 takes KVM
only where the processor offers virtualisation: inside some virtual machines /dev/kvm is there and boots nothing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, Literal

from iacorch.infra.machines.qemu.command import arch_of
from iacorch.infra.machines.qemu.settings import QemuSettings

_DEVICE: Final = Path("/dev/kvm")
_X86: Final = frozenset({"x86_64", "i386", "i686", "amd64"})
_EXTENSIONS: Final = frozenset({"vmx", "svm"})


@dataclass(frozen=True, slots=True)
class Host:
    """What decides. `device` is what opening /dev/kvm said; empty when it can be opened."""

    arch: str
    cpu_flags: frozenset[str]
    device: str = ""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The choice."""

    kvm: bool
    reason: str

    def __str__(self) -> str:
        return f"{'run by KVM' if self.kvm else 'emulated'}: {self.reason}"


def choose(wanted: Literal["auto", "kvm", "tcg"], seen: Callable[[], Host], *, program: str) -> Accelerator:
    """`program` is QEMU's; its name tells which processor the machines have. The host is looked at where it decides."""
    if wanted != "auto":
        return Accelerator(wanted == "kvm", f"the setting accelerator is {wanted}")
    host = seen()
    guest = arch_of(program)
    if guest != host.arch and not (guest in _X86 and host.arch in _X86):
        return Accelerator(False, f"{PurePath(program).name} on {host.arch}")
    if host.arch in _X86 and not host.cpu_flags & _EXTENSIONS:
        return Accelerator(False, "this processor shows neither vmx nor svm")
    if host.device:
        return Accelerator(False, f"{_DEVICE}: {host.device}")
    return Accelerator(True, f"{_DEVICE} can be opened")


def of(settings: QemuSettings) -> Accelerator:
    """The choice on this host."""
    return choose(settings.accelerator, look, program=settings.program)


def look() -> Host:
    """This host."""
    flags: frozenset[str] = frozenset()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            flags = frozenset(value.split())
            break
    try:
        os.close(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return Host(platform.machine(), flags, error.strerror or str(error))
    return Host(platform.machine(), flags)
