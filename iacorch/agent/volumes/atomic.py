"""A folder of files that changes all at once.

In: a folder and a payload. Out: the folder, in which `..data` is a link to a hidden folder with the files, and each
name is a link through `..data`. Swapping that one link swaps all files; readers see the old set or the new one. The
layout is Kubernetes' own, which programs that watch their configuration rely on. `pod.py` calls it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from iacorch.agent.volumes.payload import File, Payload

DATA: Final = "..data"
_NEXT: Final = "..data_tmp"
_GENERATION: Final = "..generation-"


def write(folder: Path, payload: Payload, *, group: int | None = None) -> bool:
    """Make `folder` show `payload`; False when it did already. Mending a half-written folder is part of writing."""
    folder.mkdir(parents=True, exist_ok=True)
    current = _current(folder)
    if current is not None and _holds(folder / current, payload):
        _link_names(folder, payload)
        return False
    fresh = folder / _next_generation(folder)
    fresh.mkdir(mode=0o755)
    for path, file in payload.items():
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        if group is not None:
            os.chown(target, -1, group)
        target.chmod(_mode(file, group))
    fresh.chmod(0o755)
    link = folder / _NEXT
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(folder / DATA)
    _link_names(folder, payload)
    for old in folder.iterdir():
        if old.name.startswith(_GENERATION) and old.name != fresh.name:
            shutil.rmtree(old, ignore_errors=True)
    return True


def _current(folder: Path) -> str | None:
    link = folder / DATA
    return os.readlink(link) if link.is_symlink() and link.exists() else None


def _next_generation(folder: Path) -> str:
    numbers = [
        int(entry.name.removeprefix(_GENERATION)) for entry in folder.iterdir() if entry.name.startswith(_GENERATION)
    ]
    return f"{_GENERATION}{max(numbers, default=0) + 1}"


def _holds(folder: Path, payload: Payload) -> bool:
    present = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    if present != set(payload):
        return False
    return all((folder / path).read_bytes() == file.content for path, file in payload.items())


def _link_names(folder: Path, payload: Payload) -> None:
    """One link for each first part of a path; links to what is gone are removed."""
    names = {path.split("/", 1)[0] for path in payload}
    for entry in folder.iterdir():
        if entry.is_symlink() and entry.name not in (DATA, _NEXT) and entry.name not in names:
            entry.unlink()
    for name in names:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")


def _mode(file: File, group: int | None) -> int:
    """With a group of its own, the group may read what the owner may."""
    return file.mode | 0o040 if group is not None else file.mode
