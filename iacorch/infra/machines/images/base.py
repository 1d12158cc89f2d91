"""The Debian base image: pulled where a registry answers, else made from the distribution's packages.

In: nothing. Out: the reference of a local image on which `apt-get` works. `mmdebstrap` makes the root file system in
about 20 s from the package sources that this host itself uses, so it works wherever the host can install packages.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from iacorch.infra.machines.images.docker import ImageFailed, Progress, docker, image_id, run

OFFICIAL: Final = "debian:12-slim"
MADE: Final = "iacorch/debian:12"
SUITE: Final = "bookworm"
PULL_SECONDS: Final = 90
PROBE_SECONDS: Final = 5
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""In the package debian-archive-keyring, on every distribution that has it."""
#: Documentation and translations are a third of a minimal Debian and of no use in a container.
EXCLUDED: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def ensure_base(progress: Progress, labels: Mapping[str, str] | None = None) -> str:
    """A reference to a Debian 12 base image that is present. Raises ImageFailed saying what to do."""
    for reference in (OFFICIAL, MADE):
        if image_id(reference):
            return reference
    if _registry_answers():
        try:
            progress(f"pulling {OFFICIAL}")
            docker("pull", "--quiet", OFFICIAL, timeout_seconds=PULL_SECONDS)
            return OFFICIAL
        except ImageFailed as error:
            progress(f"not pulled ({error.message.splitlines()[-1].strip()}); making it from packages")
    return make_base(progress, labels)


def make_base(progress: Progress, labels: Mapping[str, str] | None = None) -> str:
    """Build the base from the host's own package sources. Needs Debian or Ubuntu and root."""
    ensure_mmdebstrap(progress)
    with tempfile.TemporaryDirectory(prefix="iacorch-image-") as folder:
        rootfs = Path(folder) / "rootfs.tar"
        command = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates"]
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
        progress("making a Debian base from packages (mmdebstrap, about 20 s)")
        run(
            [*command, SUITE, str(rootfs), *sources()],
            timeout_seconds=600,
            on_line=lambda line: progress(line[3:]) if line.startswith("I: ") and line.endswith("...") else None,
        )
        progress("importing the base image")
        with rootfs.open("rb") as archive:
            changes = [
                'CMD ["/bin/bash"]',
                *(f"LABEL {name}={json.dumps(value)}" for name, value in (labels or {}).items()),
            ]
            options = [option for change in changes for option in ("--change", change)]
            docker("import", *options, "-", MADE, input_file=archive)
    return MADE


def sources() -> list[str]:
    """Where packages come from: the archives of this suite that the host's apt uses, else Debian's own."""
    return apt_sources(run(["apt-get", "indextargets", "Created-By: Packages"]), SUITE) or debians_own(SUITE)


def debians_own(suite: str) -> list[str]:
    """The lines of sources.list for Debian's own servers. Pure.

    The apt of another distribution does not trust Debian's keys by itself, so each line says where they are.
    """
    archive, security = "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"
    places = ((archive, suite), (archive, f"{suite}-updates"), (security, f"{suite}-security"))
    return [f"deb [signed-by={KEYRING}] {uri} {name} main" for uri, name in places]


def apt_sources(index_targets: str, suite: str) -> list[str]:
    """The lines of sources.list for Debian's own archives of `suite` in what `apt-get indextargets` prints. Pure.

    What else somebody configured on this host is left out, so that an image does not depend on it. A host of another
    Debian release knows where Debian is to be had, and `suite` is beside its own.
    """
    hosts: dict[str, dict[tuple[str, str], list[str]]] = {}
    for paragraph in index_targets.split("\n\n"):
        target = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
        release, _, pocket = target.get("Release", "").partition("-")
        if target.get("Origin") == "Debian" and pocket in ("", "updates", "security"):
            archive = (target["Repo-URI"].rstrip("/"), f"{suite}-{pocket}" if pocket else suite)
            hosts.setdefault(release, {}).setdefault(archive, []).append(target["Component"])
    archives = hosts.get(suite) or next(iter(hosts.values()), {})
    return [f"deb {uri} {name} {' '.join(dict.fromkeys(found))}" for (uri, name), found in archives.items()]


def ensure_mmdebstrap(progress: Progress) -> None:
    if shutil.which("mmdebstrap"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ImageFailed(
            "mmdebstrap is not installed, without which no Debian is made from packages",
            hint=f"`sudo apt-get install mmdebstrap`; for containers `docker pull {OFFICIAL}` does as well",
        )
    progress("installing mmdebstrap")
    # other distributions do not have Debian's keys
    run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"])


def _registry_answers() -> bool:
    """Whether Docker Hub answers at all; a machine without it should not wait for a pull to give up."""
    try:
        docker("manifest", "inspect", OFFICIAL, timeout_seconds=PROBE_SECONDS)
    except (ImageFailed, subprocess.SubprocessError):
        return False
    return True
