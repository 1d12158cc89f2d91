"""A virtual machine's image from Debian packages, for `stacks/qemu.py` where no cloud image can be downloaded.

In: a folder. Out: in it a disk (`disk.qcow2`), and the kernel and initial RAM disk that boot it: there is no boot
loader, QEMU loads both itself. Inside is what a cloud image has (systemd, SSH, sudo, cloud-init), and in the package
cache what bootstrap installs. Needs Debian or Ubuntu, root, e2fsprogs, qemu-utils. Called by `iacorch image machine`.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iacorch.infra.machines.images.base import EXCLUDED, SUITE, ensure_mmdebstrap, sources
from iacorch.infra.machines.images.docker import ImageFailed, Progress, run

PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "udev", "linux-image-cloud-amd64", "initramfs-tools", "kmod", "e2fsprogs"),
    *("openssh-server", "sudo", "cloud-init", "python3", "python3-apt", "ca-certificates", "procps"),
    *("iproute2", "iputils-ping", "netbase", "ifupdown", "isc-dhcp-client"),
)
CACHED: Final = ("docker.io", "nftables", "iptables")
"""Bootstrap installs them: they wait in the package cache."""
DISK_GIB: Final = 3
"""Of the file system as it is made; cloud-init lets it grow into the machine's disk."""
BUILD_SECONDS: Final = 1_200


@dataclass(frozen=True, slots=True)
class MachineImage:
    """What the driver `qemu` is told."""

    image: Path
    kernel: Path
    initrd: Path


def machine_image(folder: Path, progress: Progress) -> MachineImage:
    """Make it, unless it is there. Raises ImageFailed."""
    made = MachineImage(folder / "disk.qcow2", folder / "vmlinuz", folder / "initrd")
    if all(path.is_file() for path in (made.image, made.kernel, made.initrd)):
        return made
    for program, package in (("mke2fs", "e2fsprogs"), ("qemu-img", "qemu-utils")):
        if shutil.which(program) is None:
            raise ImageFailed(f"{program} is not installed", hint=f"sudo apt-get install {package}")
    ensure_mmdebstrap(progress)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="iacorch-machine-", dir=folder) as scratch:
        root = Path(scratch) / "root"
        progress("making a Debian from packages (mmdebstrap, a minute or two)")
        run(_debian(root), timeout_seconds=BUILD_SECONDS)
        for name, target in (("vmlinuz", made.kernel), ("initrd.img", made.initrd)):
            shutil.copyfile(newest(root / "boot", name), target)
        progress("making its disk")
        raw, disk = Path(scratch) / "disk.raw", Path(scratch) / "disk.qcow2"
        run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", str(root), str(raw), f"{DISK_GIB}G"])
        run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(disk)])
        disk.replace(made.image)  # last: a folder with a disk is whole
    return made


def newest(boot: Path, name: str) -> Path:
    """The file of the newest kernel. Raises ImageFailed."""
    found = sorted(boot.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ImageFailed(f"the packages brought no {name} into {boot}")
    return found[-1]


def _debian(root: Path) -> list[str]:
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--skip=cleanup/apt"]
    command += [f"--include={','.join(PACKAGES)}"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    download = f"apt-get -qq install -y --no-install-recommends --download-only {' '.join(CACHED)}"
    # every machine makes its own keys and its own identity
    forget = 'rm -f "$1"/etc/ssh/ssh_host_* && : >"$1"/etc/machine-id'
    command += [f'--customize-hook=chroot "$1" {download}', f"--customize-hook={forget}"]
    return [*command, SUITE, str(root), *sources()]
