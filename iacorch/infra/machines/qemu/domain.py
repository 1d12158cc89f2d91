"""A machine as libvirt is told of it: the domain's XML. Pure. Source: libvirt.org/formatdomain.html.

What the program of `command` says in options is said here in elements, but for the links that libvirt has no words for
(QEMU's user network with forwarded ports, and the network that needs no rights): those stay QEMU's own options.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from iacorch.infra.machines.qemu import command, network
from iacorch.infra.machines.qemu.place import Record
from iacorch.infra.machines.qemu.settings import QemuSettings

_QEMU: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
_SLOTS: Final = ("0x10", "0x11")
"""Where the links that libvirt does not know of are put, away from those that it gives out from the first on."""


def name_of(record: Record) -> str:
    return f"iacorch.{record.cluster}.{record.name}"


def definition(settings: QemuSettings, record: Record, folder: Path, *, program: str, kvm: bool) -> str:
    """The whole XML. `program` is the path of QEMU's program."""
    register_namespace("qemu", _QEMU)
    size = settings.sizes[record.instance_type]
    domain = Element("domain", type="kvm" if kvm else "qemu")
    _add(domain, "name", text=name_of(record))
    _add(domain, "uuid", text=_uuid(record))
    _add(domain, "memory", text=str(size.memory_mib), unit="MiB")
    _add(domain, "vcpu", text=str(size.cores))
    system = _add(domain, "os")
    _add(system, "type", text="hvm", arch=command.arch_of(program), machine="q35")
    if settings.kernel:
        _add(system, "kernel", text=settings.kernel)
        if settings.initrd:
            _add(system, "initrd", text=settings.initrd)
        _add(system, "cmdline", text=settings.kernel_arguments)
    _add(_add(domain, "features"), "acpi")
    _add(domain, "cpu", mode="host-passthrough" if kvm else "maximum")
    devices = _add(domain, "devices")
    _add(devices, "emulator", text=program)
    _disk(devices, folder / "disk.qcow2", "vda", format="qcow2")
    _add(_disk(devices, folder / "seed.iso", "vdb", format="raw"), "readonly")
    _add(_add(devices, "serial", type="file"), "source", path=str(folder / "console.log"))
    _add(_add(devices, "rng", model="virtio"), "backend", text="/dev/urandom", model="random")
    _links(domain, devices, settings, record, segment=str(folder.parent))
    return tostring(domain, encoding="unicode")


def _uuid(record: Record) -> str:
    """Always the same: a machine that is defined again is not taken for another one of its name."""
    digest = hashlib.sha256(record.id.encode()).hexdigest()
    return "-".join(digest[start:end] for start, end in itertools.pairwise((0, 8, 12, 16, 20, 32)))


def _links(domain: Element, devices: Element, settings: QemuSettings, record: Record, *, segment: str) -> None:
    words = [*command.user_network(record)]
    if record.address and settings.network.bridge:
        link = _add(devices, "interface", type="bridge")
        _add(link, "mac", address=network.mac(record.id, 1))
        _add(link, "source", bridge=settings.network.bridge)
        _add(link, "model", type="virtio")
    elif record.address:
        words += network.arguments(settings.network, record.id, segment=segment)
    line = _add(domain, f"{{{_QEMU}}}commandline")
    for word in _placed(words):
        _add(line, f"{{{_QEMU}}}arg", value=word)


def _placed(words: Sequence[str]) -> list[str]:
    """Each device with the slot that it is plugged into."""
    slots = iter(_SLOTS)
    return [
        f"{word},bus=pcie.0,addr={next(slots)}" if before == "-device" else word
        for before, word in zip(["", *words], words, strict=False)
    ]


def _disk(devices: Element, path: Path, target: str, *, format: str) -> Element:
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type=format)
    _add(disk, "source", file=str(path))
    _add(disk, "target", dev=target, bus="virtio")
    return disk


def _add(parent: Element, tag: str, *, text: str = "", **attributes: str) -> Element:
    child = SubElement(parent, tag, attributes)
    child.text = text or None
    return child
