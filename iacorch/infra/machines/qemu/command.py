"""QEMU's arguments, and what cloud-init is told. Pure, but for writing the seed's bytes into memory.

Called by `driver`. The seed is cloud-init's NoCloud source: an ISO image labelled `cidata`.
"""

from __future__ import annotations

import io
from pathlib import Path, PurePath
from typing import Final

import pycdlib
import yaml

from iacorch.infra.machines.qemu import network
from iacorch.infra.machines.qemu.place import Record
from iacorch.infra.machines.qemu.settings import QemuSettings

LABEL: Final = "cidata"
_PROGRAM: Final = "qemu-system-"


def arguments(settings: QemuSettings, record: Record, folder: Path, *, kvm: bool) -> list[str]:
    """The whole command line. `folder` holds everything of the machine; ports are forwarded from 127.0.0.1."""
    accelerator = "kvm" if kvm else "tcg"
    size = settings.sizes[record.instance_type]
    command = [settings.program, "-name", record.name, "-machine", f"q35,accel={accelerator}"]
    command += ["-cpu", "host" if kvm else "max", "-smp", str(size.cores), "-m", str(size.memory_mib)]
    command += ["-drive", f"file={_quoted(folder / 'disk.qcow2')},if=virtio,format=qcow2"]
    command += ["-drive", f"file={_quoted(folder / 'seed.iso')},if=virtio,format=raw,readonly=on"]
    command += user_network(record)
    if record.address:
        command += network.arguments(settings.network, record.id, segment=str(folder.parent))
    command += ["-device", "virtio-rng-pci", "-display", "none", "-serial", f"file:{folder / 'console.log'}"]
    command += ["-qmp", f"unix:{_quoted(folder / 'monitor')},server=on,wait=off"]
    if settings.kernel:
        command += ["-kernel", settings.kernel, "-append", settings.kernel_arguments]
        command += ["-initrd", settings.initrd] if settings.initrd else []
    return [*command, "-pidfile", str(folder / "pid"), "-daemonize"]


def user_network(record: Record) -> list[str]:
    """The first link: to the world, with ports of 127.0.0.1 that lead to the machine's."""
    ports = {record.ssh_port: 22, **{int(here): there for here, there in record.forward.items()}}
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in sorted(ports.items()))
    device = f"virtio-net-pci,netdev=net0,mac={network.mac(record.id, 0)}"
    return ["-netdev", f"user,id=net0{forwards}", "-device", device]


def arch_of(program: str) -> str:
    """The processor of the machines, which the name of QEMU's program tells."""
    return PurePath(program).name.removeprefix(_PROGRAM)


def _quoted(path: Path) -> str:
    """In a list of QEMU's options a comma ends a value, and two are one."""
    return str(path).replace(",", ",,")


def user_data(*, hostname: str, user: str, ssh_public_key: str) -> str:
    """cloud-init's configuration where the program gave none: a host name, and an administrator with a key."""
    account = {
        "name": user,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "shell": "/bin/bash",
        "lock_passwd": True,
        "ssh_authorized_keys": [ssh_public_key.strip()] if ssh_public_key.strip() else [],
    }
    return "#cloud-config\n" + yaml.safe_dump({"hostname": hostname, "users": [account]}, sort_keys=True)


def seed(record: Record, told: str) -> bytes:
    """The ISO image; `told` is the user data. Another instance ID makes cloud-init begin anew."""
    meta = yaml.safe_dump({"instance-id": record.id, "local-hostname": record.name})
    files = [("USERDATA", "user-data", told), ("METADATA", "meta-data", meta)]
    if record.address:
        links = yaml.safe_dump(network.configuration(record.id, record.address), sort_keys=False)
        files.append(("NETWORK", "network-config", links))
    image, written = pycdlib.PyCdlib(), io.BytesIO()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for short, name, text in files:
        content = text.encode()
        image.add_fp(io.BytesIO(content), len(content), f"/{short}.;1", rr_name=name, joliet_path=f"/{name}")
    image.write_fp(written)
    image.close()
    return written.getvalue()
