"""Build a Dockerfile on the base, once for each content.

In: a folder with a Dockerfile. Out: a tag that ends in the hash of the folder, so a second call is a lookup. Who calls
it: `stacks/local` for its machines, `iacorch image build` for applications.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from iacorch.infra.machines.images.base import ensure_base
from iacorch.infra.machines.images.docker import ImageFailed, Progress, image_id, run

_FROM: Final = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
_NO_REGISTRY: Final = re.compile(
    r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|failed to resolve|pull access denied"
    r"|network is unreachable|Client\.Timeout|manifest unknown"
)
NODE_FOLDER: Final = Path(__file__).parent / "node"
NODE_REPOSITORY: Final = "iacorch/node"
NODE_CAPABILITIES: Final = (
    "NET_ADMIN",
    "SYS_ADMIN",
    "SYS_PTRACE",
    "SYS_CHROOT",
    "NET_RAW",
    "MKNOD",
    "DAC_READ_SEARCH",
    "AUDIT_READ",
    "SYSLOG",
    "IPC_LOCK",
    "SYS_NICE",
    "SYS_BOOT",
)
"""What a container of the node image needs to be a machine: systemd, sshd and a Docker Engine of its own in it."""
NODE_SECURITY: Final = ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined")
NODE_TMPFS: Final = {"/run": "", "/run/lock": "", "/tmp": "exec"}
NODE_DISKS: Final = ("/var/lib/docker", "/var/lib/containerd")


def content_tag(folder: Path, arguments: Mapping[str, str]) -> str:
    """Twelve hex digits over every file's path, mode and bytes, and the build arguments."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        relative = path.relative_to(folder).as_posix()
        digest.update(f"{relative}\0{path.stat().st_mode & 0o111:o}\0".encode() + path.read_bytes() + b"\0")
    digest.update(repr(sorted(arguments.items())).encode())
    return digest.hexdigest()[:12]


def build(
    folder: Path,
    repository: str,
    *,
    tag: str = "",
    arguments: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    progress: Progress,
) -> str:
    """The reference of the built image: `repository:tag`, by default with the content's hash as tag.

    A tag of your own is moved to the new content; the build is skipped while the content is the same. `labels` are put
    on what is built now (the base too, if it had to be made) and are no part of the content. Raises ImageFailed with
    the last lines of the build.
    """
    if not (folder / "Dockerfile").is_file():
        raise ImageFailed(f"{folder} has no Dockerfile", hint="name the folder that holds the Dockerfile")
    given = dict(arguments or {})
    exact = f"{repository}:{content_tag(folder, given)}"
    if image_id(exact) is None:
        if "BASE" not in given:
            given["BASE"] = ensure_base(progress, labels)
        options = [option for name, value in given.items() for option in ("--build-arg", f"{name}={value}")]
        options += [option for name, value in (labels or {}).items() for option in ("--label", f"{name}={value}")]
        progress(f"building {exact}")
        try:
            run(
                # what a step that fails ran in goes too
                ["docker", "build", "--force-rm", "--tag", exact, *options, str(folder)],
                timeout_seconds=1_800,
                on_line=lambda line: progress(line[:100]) if line.startswith("Step ") else None,
            )
        except ImageFailed as error:
            hint = hint_for(error.message, (folder / "Dockerfile").read_text(errors="replace"))
            raise ImageFailed(error.message, hint=hint) from error
    if tag:
        run(["docker", "tag", exact, f"{repository}:{tag}"])
        return f"{repository}:{tag}"
    return exact


def hint_for(said: str, dockerfile: str) -> str:
    """What to do where a base image could not be had; nothing for other failures, and for one that is an argument."""
    bases = _FROM.findall(dockerfile)
    plain = next((base for base in bases if "$" not in base and base != "scratch"), "")
    if not plain or not _NO_REGISTRY.search(said):
        return ""
    return (
        f"{plain} cannot be pulled here; let the Dockerfile begin with `ARG BASE={plain}` and `FROM ${{BASE}}`, then "
        "BASE is the Debian that is made from packages (or --build-arg BASE=IMAGE)"
    )


def node_reference() -> str:
    """What the machine image of `stacks/local` is called, whether it is built already or not."""
    return f"{NODE_REPOSITORY}:{content_tag(NODE_FOLDER, {})}"


def node_image(progress: Progress, labels: Mapping[str, str] | None = None) -> str:
    """The reference of the machine image of `stacks/local`, built when it is not there."""
    return build(NODE_FOLDER, NODE_REPOSITORY, labels=labels, progress=progress)
