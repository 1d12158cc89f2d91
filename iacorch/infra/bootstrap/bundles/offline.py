"""What a site without a network is given: one file with all that bootstrap would fetch.

In: parts (name -> file) when it is written, the file when it is loaded. Out: a tar whose first member says what is in
it and the hash of each part; loaded, the parts lie in the cache: bundles where `bundle` looks for them, packages and
images where `variables` finds them for a machine. Written by `iacorch bundle -o`, loaded by `iacorch bundle load`; the
provider asks `variables` before each run of bootstrap, so what was loaded is used and no mirror is asked.

    manifest.json                         format, release, parts
    bundles/agent-ID.tar.gz ...           as `bundle` builds them
    packages/debian-12-x86_64.tar         a small apt repository, to be unpacked at /
    images/images-ID.tar                  what `docker save` wrote, to be unpacked at /
    wheels/*.whl                          iacorch itself and what it needs, for the machine that runs it
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from iacorch.errors import ConfigError
from iacorch.infra.bootstrap.bundles import bundle
from iacorch.infra.bootstrap.facts import Facts
from iacorch.infra.bootstrap.plan import ARCHITECTURES

FORMAT: Final = 1
PACKAGES_ROOM: Final = "var/cache/iacorch-packages"
IMAGES_ROOM: Final = "var/cache/iacorch-images"
_MANIFEST: Final = "manifest.json"
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file holds: hash by part, and the names of the images."""

    release: str
    parts: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()

    def of(self, kind: str) -> tuple[str, ...]:
        return tuple(part for part in self.parts if part.startswith(f"{kind}/"))


def write(target: Path, parts: Mapping[str, Path], *, images: tuple[str, ...] = ()) -> Manifest:
    """One file of all the parts, there whole or not at all. Raises ConfigError."""
    manifest = Manifest(bundle.release(), {part: _sha256(path) for part, path in sorted(parts.items())}, images)
    about = {"format": FORMAT, "release": manifest.release, "images": list(images), "parts": dict(manifest.parts)}
    try:
        descriptor, scratch = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        try:
            with (
                os.fdopen(descriptor, "wb") as raw,
                tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar,
            ):
                data = json.dumps(about, indent=1).encode() + b"\n"
                member = tarfile.TarInfo(_MANIFEST)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
                for part, path in sorted(parts.items()):
                    tar.add(path, part, recursive=False, filter=_plain)
            Path(scratch).chmod(0o644)
            Path(scratch).replace(target)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(target)) from error
    return manifest


def load(source: Path, cache: Path | None = None) -> Manifest:
    """Put the parts of a file into the cache, each only when its hash is right. Raises ConfigError."""
    bundles = cache or bundle.cache_directory()
    try:
        with tarfile.open(source) as tar:
            manifest = _read(tar, source)
            missing = set(manifest.parts)
            for member in tar:
                missing.discard(member.name)
                if member.name in manifest.parts and not member.name.startswith("wheels/"):
                    content = tar.extractfile(member)
                    if content is None:
                        raise ConfigError(f"{member.name} is not a file", where=str(source))
                    _place(
                        content,
                        manifest.parts[member.name],
                        _goal(member.name, bundles),
                        where=f"{source}: {member.name}",
                    )
    except (OSError, tarfile.TarError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(source), hint="copy the file again") from error
    if missing:
        words = f"lacks {len(missing)} of its {len(manifest.parts)} parts"
        raise ConfigError(words, where=str(source), hint="it was cut off: copy it again")
    _keep_only(manifest, room(bundles))
    return manifest


def room(bundles: Path) -> Path:
    """Where packages and images lie, beside the folder of bundles."""
    return bundles.parent / "offline"


def variables(facts: Facts, cache: Path | None = None) -> dict[str, str]:
    """For the roles: archives that were loaded for a machine like this one; empty where there is none."""
    found = room(cache or bundle.cache_directory())
    packages = found / packages_name(facts.os_id, facts.os_version, ARCHITECTURES.get(facts.arch, facts.arch))
    images = next(iter(sorted(found.glob("images-*.tar"))), None)
    return {
        "docker_packages_archive": str(packages) if packages.exists() else "",
        "node_images_archive": str(images) if images else "",
        "node_images_id": images.stem.removeprefix("images-") if images else "",
    }


def packages_name(os_id: str, os_version: str, arch: str) -> str:
    return f"{os_id}-{os_version}-{arch}.tar"


def _read(tar: tarfile.TarFile, source: Path) -> Manifest:
    first = tar.next()
    content = tar.extractfile(first) if first is not None and first.name == _MANIFEST else None
    try:
        about: dict[str, Any] = json.load(content) if content else {}
        if about["format"] != FORMAT:
            raise ConfigError(f"has format {about['format']}, expected {FORMAT}", where=str(source))
        parts = {str(part): str(digest) for part, digest in about["parts"].items()}
        return Manifest(str(about["release"]), parts, tuple(about["images"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError("was not made by `iacorch bundle`", where=str(source)) from error


def _goal(part: str, bundles: Path) -> Path:
    """By the last part of its name only: nothing lands anywhere else."""
    kind, name = PurePosixPath(part).parts[0], PurePosixPath(part).name
    return bundles / name if kind == "bundles" else room(bundles) / name


def _place(content: IO[bytes], expected: str, goal: Path, *, where: str) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(prefix="loading-", dir=goal.parent)
    digest = hashlib.sha256()
    try:
        with os.fdopen(descriptor, "wb") as out:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != expected:
            raise ConfigError(
                "is damaged: its hash is not the one it was written with", where=where, hint="copy it again"
            )
        Path(scratch).replace(goal)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _keep_only(manifest: Manifest, found: Path) -> None:
    """Packages and images of a file that was loaded before are not used beside those of this one."""
    names = {PurePosixPath(part).name for part in manifest.parts}
    for path in found.glob("*.tar"):
        if path.name not in names:
            path.unlink(missing_ok=True)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o644
    return member


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
