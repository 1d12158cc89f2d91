"""The bundle: complete, the same for the same content, built once. The wheels come from a local stand-in."""

import tarfile
from pathlib import Path

import pytest

from iacorch.infra.bootstrap.bundles import bundle
from iacorch.infra.bootstrap.errors import BundleFailed


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "checkout" / "iacorch"
    for name in ("__init__.py", "daemons/agent.py", "infra/secret.py", "cli/main.py", "api/data.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    return root


def dependencies(cache: Path, *names: str) -> Path:
    for name in names:
        (cache / "deps" / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / "deps" / name).write_text(name)
    return cache / "deps"


def pack(tmp_path: Path, package: Path, name: str = "a.tar.gz") -> Path:
    archive = tmp_path / name
    code = bundle.read_package(package)
    bundle.pack(archive, "agent", "0123", dependencies(tmp_path, "aiohttp/__init__.py"), code)
    return archive


def test_it_holds_dependencies_our_rooms_the_launcher_and_ends_with_the_mark(tmp_path: Path, package: Path) -> None:
    with tarfile.open(pack(tmp_path, package)) as tar:
        names = tar.getnames()
    assert names == [
        "opt/iacorch/0123/lib/aiohttp/__init__.py",
        "opt/iacorch/0123/lib/iacorch/__init__.py",
        "opt/iacorch/0123/lib/iacorch/api/data.json",
        "opt/iacorch/0123/lib/iacorch/daemons/agent.py",
        "opt/iacorch/0123/bin/iacorch-agent",
        "opt/iacorch/0123/complete",
    ]


def test_the_same_content_is_the_same_archive(tmp_path: Path, package: Path) -> None:
    assert pack(tmp_path, package).read_bytes() == pack(tmp_path, package, "b.tar.gz").read_bytes()


def test_its_name_follows_its_content(package: Path) -> None:
    code = bundle.read_package(package)
    before = bundle.identity("agent", "deps-1", code)
    assert bundle.identity("agent", "deps-1", code) == before
    assert bundle.identity("agent", "deps-2", code) != before
    assert bundle.identity("control-plane", "deps-1", code) != before
    (package / "daemons" / "agent.py").write_text("changed")
    assert bundle.identity("agent", "deps-1", bundle.read_package(package)) != before


async def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, package: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleFailed, match="cannot be written"):
        await bundle.build("agent", python=(3, 11), arch="x86_64", cache=tmp_path / "file", package=package)


def test_a_release_follows_the_content_on_every_machine(package: Path) -> None:
    before = bundle.release(package)
    assert bundle.release(package) == before
    (package / "cli" / "main.py").write_text("not carried")
    assert bundle.release(package) == before
    (package / "api" / "data.json").write_text("{}")
    assert bundle.release(package) != before
