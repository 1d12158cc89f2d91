"""A virtual machine's image from Debian packages, for `stacks/qemu.py` where no cloud image can be downloaded.

In: a folder. Out: in it a disk (`disk.qcow2`), and the kernel and initial RAM disk that boot it: there is no boot
loader, QEMU loads both itself. Inside is what a cloud image has (systemd, its network daemon and resolver, SSH, sudo,
cloud-init) and what bootstrap would install. It is made for machines that may be emulated, where every program that is
started at boot is seconds: no service runs that a node does not need, and one key of the host is enough. Needs Debian
or Ubuntu, root, e2fsprogs, qemu-utils. Called by `iacorch image machine`.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iacorch.infra.machines.images.base import EXCLUDED, SUITE, ensure_mmdebstrap, sources
from iacorch.infra.machines.images.docker import ImageFailed, Progress, run

PACKAGES: Final = (
    *("systemd", "systemd-sysv", "systemd-resolved", "dbus", "udev", "kmod", "e2fsprogs"),
    *("linux-image-cloud-amd64", "initramfs-tools", "zstd"),
    *("openssh-server", "sudo", "cloud-init", "python3", "ca-certificates", "procps"),
    *("iproute2", "iputils-ping", "netbase"),
    # what bootstrap would install on every machine
    *("docker.io", "apparmor", "nftables", "iptables"),
)
UNUSED: Final = (
    # bootstrap enables the Engine once it has written its settings
    *("docker.service", "docker.socket", "containerd.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer"),
)
"""Units that are not started at boot."""
FILES: Final = {
    "/etc/cloud/cloud.cfg.d/90-iacorch.cfg": """\
# The driver's seed is the only source; sudo looks its host up; an RSA key takes a slow machine half a minute.
datasource_list: [NoCloud, None]
manage_etc_hosts: localhost
ssh_genkeytypes: [ed25519]
cloud_init_modules:
  [bootcmd, write-files, growpart, resizefs, set_hostname, update_etc_hosts, ca-certs, users-groups, ssh]
cloud_config_modules: [ssh-import-id, set-passwords, ntp, timezone, runcmd]
cloud_final_modules: [package-update-upgrade-install, scripts-user, power-state-change, final-message]
""",
    # The root is on a virtio disk: the other modules are found on it.
    "/etc/initramfs-tools/conf.d/iacorch": "MODULES=list\n",
    "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
}
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
    command = ["mmdebstrap", "--mode=root", "--variant=minbase"]
    command += [f"--include={','.join(PACKAGES)}"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    hooks = [f'printf %s {shlex.quote(text)} >"$1"{path}' for path, text in FILES.items()]
    hooks += [f'chroot "$1" systemctl --quiet disable {" ".join(UNUSED)}']
    hooks += ['chroot "$1" systemctl --quiet enable systemd-networkd.service', 'chroot "$1" update-initramfs -u -k all']
    # every machine makes its own keys and its own identity
    hooks += ['rm -f "$1"/etc/ssh/ssh_host_* && : >"$1"/etc/machine-id']
    command += [f"--customize-hook={hook}" for hook in hooks]
    return [*command, SUITE, str(root), *sources()]
