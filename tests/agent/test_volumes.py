from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from iacorch.agent.containers.environment import ConfigMissing, Facts, Sources
from iacorch.agent.runtime.contract import MemoryVolume, Mount
from iacorch.agent.volumes import atomic
from iacorch.agent.volumes.payload import File, payload
from iacorch.agent.volumes.pod import PodVolumes

SOURCES = Sources(config_maps={"settings": {"data": {"a": "1", "b": "2"}}})
FACTS = Facts()


def pod(*volumes: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "default", "uid": "u", "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": [], "volumes": list(volumes), **spec}}


def mounts(volumes: PodVolumes, of: dict[str, Any], **mount: Any) -> Mount:
    container = {"name": "app", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}
    return volumes.mounts(of, container, {"NAME": "inner"})[0]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param({"configMap": {"name": "settings"}}, {"a": File(b"1"), "b": File(b"2")}, id="all keys"),
        pytest.param(
            {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x/y", "mode": 0o400}]}},
            {"x/y": File(b"1", 0o400)},
            id="chosen keys",
        ),
        pytest.param({"configMap": {"name": "none", "optional": True}}, {}, id="optional"),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"labels": File(b'app="web"')},
            id="downward",
        ),
        pytest.param(
            {"projected": {"defaultMode": 0o440, "sources": [{"configMap": {"name": "settings"}}]}},
            {"a": File(b"1", 0o440), "b": File(b"2", 0o440)},
            id="projected",
        ),
    ],
)
def test_a_payload(volume: dict[str, Any], expected: dict[str, File]) -> None:
    assert payload(pod(), {"name": "v", **volume}, SOURCES, FACTS) == expected


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "..data"])
def test_a_path_out_of_the_volume_is_refused(path: str) -> None:
    volume = {"name": "v", "configMap": {"name": "settings", "items": [{"key": "a", "path": path}]}}
    with pytest.raises(ConfigMissing, match="not inside"):
        payload(pod(), volume, SOURCES, FACTS)


def test_a_folder_changes_all_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    assert atomic.write(folder, {"a": File(b"1"), "x/y": File(b"2", 0o400)})
    old = os.open(folder / "..data", os.O_RDONLY)
    assert not atomic.write(folder, {"a": File(b"1"), "x/y": File(b"2", 0o400)})
    assert atomic.write(folder, {"a": File(b"3")})
    os.close(old)
    assert (folder / "a").read_bytes() == b"3"
    assert not (folder / "x").exists()
    assert sorted(p.name for p in folder.iterdir()) == ["..data", "..generation-2", "a"]


def test_modes_are_kept(tmp_path: Path) -> None:
    atomic.write(tmp_path / "v", {"key": File(b"k", 0o400)})
    assert (tmp_path / "v" / "key").stat().st_mode & 0o777 == 0o400


def test_a_refresh_shows_what_is_new(tmp_path: Path) -> None:
    of, volumes = pod({"name": "v", "configMap": {"name": "settings"}}), PodVolumes(tmp_path / "u")
    volumes.prepare(of, SOURCES, FACTS)
    mount = mounts(volumes, of)
    assert mount.read_only
    volumes.refresh(of, Sources(config_maps={"settings": {"data": {"a": "9"}}}), FACTS)
    assert (Path(str(mount.source)) / "a").read_text() == "9"


def test_what_a_volume_needs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigMissing, match='volume "v": configmap "none" not found'):
        PodVolumes(tmp_path / "u").prepare(pod({"name": "v", "configMap": {"name": "none"}}), SOURCES, FACTS)


@pytest.mark.parametrize("kind", ["Directory", "File", "Socket", "BlockDevice"])
def test_a_host_path_of_the_wrong_kind_is_refused(tmp_path: Path, kind: str) -> None:
    missing = {"name": "v", "hostPath": {"path": str(tmp_path / "missing"), "type": kind}}
    with pytest.raises(ConfigMissing, match="is not there"):
        PodVolumes(tmp_path / "u").prepare(pod(missing), SOURCES, FACTS)


def test_a_host_path_is_made_where_that_is_asked(tmp_path: Path) -> None:
    of = pod({"name": "v", "hostPath": {"path": str(tmp_path / "made"), "type": "DirectoryOrCreate"}})
    PodVolumes(tmp_path / "u").prepare(of, SOURCES, FACTS)
    assert (tmp_path / "made").is_dir()


def test_sub_paths_stay_inside(tmp_path: Path) -> None:
    of, volumes = pod({"name": "v", "emptyDir": {}}), PodVolumes(tmp_path / "u")
    volumes.prepare(of, SOURCES, FACTS)
    root = Path(str(mounts(volumes, of).source))
    assert Path(str(mounts(volumes, of, subPath="a/b").source)) == root / "a" / "b"
    assert Path(str(mounts(volumes, of, subPathExpr="$(NAME)").source)) == root / "inner"
    (root / "out").symlink_to("/etc")
    for path in ("out", "out/ssl", "../x", "/etc"):
        with pytest.raises(ConfigMissing):
            mounts(volumes, of, subPath=path)


def test_memory_volumes_belong_to_the_runtime(tmp_path: Path) -> None:
    of = pod({"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    volumes = PodVolumes(tmp_path / "u")
    volumes.prepare(of, SOURCES, FACTS)
    assert volumes.memory_volumes(of) == (MemoryVolume("iacorch-u-v", 1 << 20),)
    assert mounts(volumes, of).source == MemoryVolume("iacorch-u-v", 1 << 20)


def test_removing_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    volumes = PodVolumes(tmp_path / "u")
    volumes.prepare(pod({"name": "v", "emptyDir": {}}), SOURCES, FACTS)
    volumes.remove()
    volumes.remove()
    assert list(tmp_path.iterdir()) == []
