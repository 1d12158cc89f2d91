"""The file for a site without a network: written, loaded, refused when it is not whole. A real machine: test_airgap."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from iacorch.errors import ConfigError
from iacorch.infra.bootstrap.bundles import offline
from iacorch.infra.bootstrap.facts import Facts

DEBIAN = Facts(os_id="debian", os_version="12", arch="x86_64")


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    names = ("bundles/agent-1.tar.gz", "packages/debian-12-x86_64.tar", "images/images-ab.tar", "wheels/w.whl")
    found = {}
    for name in names:
        found[name] = tmp_path / "made" / Path(name).name
        found[name].parent.mkdir(exist_ok=True)
        found[name].write_text(f"this is {name}")
    return found


def test_what_is_written_is_found_by_machines_of_that_release(tmp_path: Path, parts: dict[str, Path]) -> None:
    written = offline.write(tmp_path / "file", parts, images=("web:1",))
    cache = tmp_path / "cache" / "bundles"
    assert offline.load(tmp_path / "file", cache) == written
    assert (cache / "agent-1.tar.gz").read_text() == "this is bundles/agent-1.tar.gz"
    found = offline.variables(DEBIAN, cache)
    assert Path(found["docker_packages_archive"]).read_text() == "this is packages/debian-12-x86_64.tar"
    assert (Path(found["node_images_archive"]).name, found["node_images_id"]) == ("images-ab.tar", "ab")
    other = offline.variables(Facts(os_id="ubuntu", os_version="24.04", arch="x86_64"), cache)
    assert other["docker_packages_archive"] == ""
    assert not list(cache.rglob("*.whl")), "wheels are for pip"


def test_what_was_loaded_before_does_not_stay_beside(tmp_path: Path, parts: dict[str, Path]) -> None:
    cache = tmp_path / "cache" / "bundles"
    offline.write(tmp_path / "one", parts)
    offline.load(tmp_path / "one", cache)
    del parts["images/images-ab.tar"]
    offline.write(tmp_path / "two", parts)
    offline.load(tmp_path / "two", cache)
    assert offline.variables(DEBIAN, cache)["node_images_archive"] == ""


def test_nothing_loaded_is_nothing_used(tmp_path: Path) -> None:
    assert set(offline.variables(DEBIAN, tmp_path / "bundles").values()) == {""}


def test_a_damaged_file_is_refused_and_leaves_nothing(tmp_path: Path, parts: dict[str, Path]) -> None:
    target = tmp_path / "file"
    offline.write(target, parts)
    data = target.read_bytes()
    target.write_bytes(data.replace(b"this is packages", b"that is packages"))
    with pytest.raises(ConfigError, match=r"packages/debian-12-x86_64\.tar: is damaged"):
        offline.load(target, tmp_path / "cache" / "bundles")
    assert not list((tmp_path / "cache").rglob("*debian*"))
    assert not list((tmp_path / "cache").rglob("loading-*"))
    target.write_bytes(data[:1500])
    with pytest.raises(ConfigError, match="lacks 4 of its 4 parts"):
        offline.load(target, tmp_path / "cache" / "bundles")


@pytest.mark.parametrize(
    ("member", "content", "words"),
    [
        pytest.param("other", b"{}", "was not made by", id="no manifest"),
        pytest.param("manifest.json", b"[]", "was not made by", id="no object"),
        pytest.param("manifest.json", b'{"format": 9}', "has format 9, expected 1", id="newer"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, member: str, content: bytes, words: str) -> None:
    with tarfile.open(tmp_path / "file", "w") as tar:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    with pytest.raises(ConfigError, match=words):
        offline.load(tmp_path / "file", tmp_path / "bundles")


def test_a_part_lands_in_the_cache_whatever_its_name_says(tmp_path: Path) -> None:
    evil = "packages/../../../evil.tar"
    about = {"format": 1, "release": "r", "images": [], "parts": {evil: offline._sha256(_file(tmp_path))}}
    with tarfile.open(tmp_path / "file", "w") as tar:
        for name, data in (("manifest.json", json.dumps(about).encode()), (evil, b"evil")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    offline.load(tmp_path / "file", tmp_path / "a" / "b" / "bundles")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("evil.tar")] == ["a/b/offline/evil.tar"]


def _file(folder: Path) -> Path:
    path = folder / "content"
    path.write_bytes(b"evil")
    return path
