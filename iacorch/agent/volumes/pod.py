"""All volumes of one pod: made, shown to its containers, kept up to date, removed.

In: the pod, the objects that its volumes name, the folder that is its own on this node. Out: `Mount`s for a container.
The worker calls `prepare` before the sandbox, `mounts` before each container, `refresh` now and then, `remove` at the
end. Every call may be repeated after a crash in the middle of it.

    FOLDER/volumes/NAME    emptyDir, and the folders that `atomic` writes
    FOLDER/etc/            hosts, resolv.conf
    FOLDER/messages/       termination messages, one file an attempt
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from iacorch.agent.containers.environment import ConfigMissing, Facts, Sources, expand
from iacorch.agent.runtime.contract import MemoryVolume, Mount
from iacorch.agent.volumes import atomic
from iacorch.agent.volumes.payload import KINDS, payload
from iacorch.api.objects import Object
from iacorch.api.values import quantity

MESSAGE_PATH: Final = "/dev/termination-log"
MESSAGE_BYTES: Final = 4096
_PROPAGATION: Final = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
_KIND_CHECKS: Final[dict[str, Callable[[int], bool]]] = {
    "Directory": stat.S_ISDIR,
    "DirectoryOrCreate": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "FileOrCreate": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}


class PodVolumes:
    """The methods do small blocking file operations: a pod's configuration is a few kilobytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, pod: Object, sources: Sources, facts: Facts) -> None:
        """Raises ConfigMissing, naming the volume and what is wrong with it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        group = _group(pod)
        for volume in pod["spec"].get("volumes") or ():
            try:
                self._prepare_one(pod, volume, sources, facts, group)
            except ConfigMissing as error:
                raise ConfigMissing(f'MountVolume.SetUp failed for volume "{volume["name"]}": {error}') from error
            except OSError as error:
                raise ConfigMissing(f'volume "{volume["name"]}" cannot be made: {error}') from error

    def refresh(self, pod: Object, sources: Sources, facts: Facts) -> None:
        """Bring the volumes that show API objects up to date. Raises ConfigMissing."""
        for volume in pod["spec"].get("volumes") or ():
            if any(kind in volume for kind in KINDS):
                self._write(pod, volume, sources, facts, _group(pod))

    def memory_volumes(self, pod: Object) -> tuple[MemoryVolume, ...]:
        found = (self._memory(pod, volume) for volume in pod["spec"].get("volumes") or ())
        return tuple(volume for volume in found if volume is not None)

    def write_etc(self, hosts: str | None, resolv_conf: str | None) -> tuple[Mount, ...]:
        """Write the files that are given and answer their mounts."""
        mounts = []
        for name, text in (("hosts", hosts), ("resolv.conf", resolv_conf)):
            if text is None:
                continue
            path = self._folder / "etc" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text() != text:
                # In place, not swapped: containers that run have the file itself mounted.
                path.write_text(text)
                path.chmod(0o644)
            mounts.append(Mount(str(path), f"/etc/{name}"))
        return tuple(mounts)

    def mounts(self, pod: Object, container: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[Mount, ...]:
        """Raises ConfigMissing for a volume that the pod does not have, or a subPath that leads out of it."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
        found = []
        for mount in container.get("volumeMounts") or ():
            volume = volumes.get(mount["name"])
            if volume is None:
                raise ConfigMissing(f'volume "{mount["name"]}" of container {container["name"]} is not in the pod')
            found.append(self._mount(pod, volume, mount, environment))
        return tuple(found)

    def message_mount(self, container: Mapping[str, Any], attempt: int) -> Mount:
        """A fresh file for the container's termination message."""
        path = self._message_file(container["name"], attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        path.chmod(0o666)
        return Mount(str(path), container.get("terminationMessagePath") or MESSAGE_PATH)

    def message(self, name: str, attempt: int) -> str:
        try:
            with self._message_file(name, attempt).open("rb") as file:
                return file.read(MESSAGE_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""

    def remove(self) -> None:
        """Raises OSError when something cannot be removed."""
        if self._folder.exists():
            shutil.rmtree(self._folder)

    # Inside

    def _message_file(self, name: str, attempt: int) -> Path:
        return self._folder / "messages" / f"{name}-{attempt}"

    def _path(self, volume: Mapping[str, Any]) -> Path:
        return self._folder / "volumes" / str(volume["name"])

    def _memory(self, pod: Object, volume: Mapping[str, Any]) -> MemoryVolume | None:
        source = volume.get("emptyDir")
        if source is None or source.get("medium") != "Memory":
            return None
        size = quantity.units(source.get("sizeLimit"))
        return MemoryVolume(f"iacorch-{pod['metadata']['uid']}-{volume['name']}", size)

    def _prepare_one(
        self, pod: Object, volume: Mapping[str, Any], sources: Sources, facts: Facts, group: int | None
    ) -> None:
        if "emptyDir" in volume:
            if self._memory(pod, volume) is None:
                folder = self._path(volume)
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o2777 if group is not None else 0o777)
                if group is not None:
                    os.chown(folder, -1, group)
        elif "hostPath" in volume:
            _check_host_path(volume["hostPath"])
        elif any(kind in volume for kind in KINDS):
            self._write(pod, volume, sources, facts, group)
        else:
            kinds = sorted(set(volume) - {"name"})
            raise ConfigMissing(f"volumes of kind {', '.join(kinds) or 'none'} are not supported")

    def _write(self, pod: Object, volume: Mapping[str, Any], sources: Sources, facts: Facts, group: int | None) -> None:
        atomic.write(self._path(volume), payload(pod, volume, sources, facts), group=group)

    def _mount(
        self, pod: Object, volume: Mapping[str, Any], mount: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Mount:
        target = mount["mountPath"]
        is_shown = any(kind in volume for kind in KINDS)
        read_only = bool(mount.get("readOnly")) or is_shown
        sub_path = mount.get("subPath") or expand(mount.get("subPathExpr") or "", environment)
        if (memory := self._memory(pod, volume)) is not None:
            if sub_path:
                raise ConfigMissing(f'volume "{volume["name"]}" is in memory and cannot be mounted with a subPath')
            return Mount(memory, target, read_only)
        root = Path(volume["hostPath"]["path"]) if "hostPath" in volume else self._path(volume)
        source = _inside(root, sub_path, make=not is_shown) if sub_path else root
        return Mount(str(source), target, read_only, _PROPAGATION.get(mount.get("mountPropagation") or "", "rprivate"))


def _group(pod: Object) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def _inside(root: Path, sub_path: str, *, make: bool) -> Path:
    """`root/sub_path` with all links followed, which must not lead out of `root`."""
    if sub_path.startswith("/") or ".." in Path(sub_path).parts:
        raise ConfigMissing(f"subPath {sub_path!r} must be relative and stay inside its volume")
    resolved_root = root.resolve()
    path = (root / sub_path).resolve()
    if not path.is_relative_to(resolved_root):
        raise ConfigMissing(f"subPath {sub_path!r} leads out of its volume")
    if not path.exists():
        if not make:
            raise ConfigMissing(f"subPath {sub_path!r} does not exist in its volume")
        path.mkdir(parents=True)
        path.chmod(0o777)
    return path


def _check_host_path(source: Mapping[str, Any]) -> None:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if not kind:
        return
    check = _KIND_CHECKS.get(kind)
    if check is None:
        raise ConfigMissing(f"hostPath type {kind!r} is not known")
    if not path.exists():
        raise ConfigMissing(f"hostPath type check failed: {path} is not there")
    if not check(path.stat().st_mode):
        raise ConfigMissing(f"hostPath type check failed: {path} is not a {kind.removesuffix('OrCreate').lower()}")
