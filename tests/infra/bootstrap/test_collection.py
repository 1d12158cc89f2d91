"""The collection's `files` and `unpack`, run by the real Ansible on this machine: once, again, and in check mode."""

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from iacorch.infra.bootstrap import sources
from iacorch.infra.bootstrap.ansible.runner import environment
from iacorch.infra.bootstrap.bundles.bundle import read_package
from iacorch.infra.bootstrap.bundles.compiled import compiled, interpreter

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="what bootstrap writes is root's")


async def task(tmp_path: Path, module: str, given: Mapping[str, Any], *options: str) -> dict[str, Any]:
    """The result of one task on this machine."""
    (tmp_path / "ansible.cfg").write_text("")
    command = [f"{Path(sys.executable).parent}/ansible", "here", "-i", "here,", "-c", "local", *options]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", module, "-a", json.dumps(given)]
    settings = {**os.environ, **environment(tmp_path, forks=1), "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote")}
    done = await asyncio.to_thread(subprocess.run, command, env=settings, capture_output=True, text=True, check=False)
    assert " => {" in done.stdout, done.stdout + done.stderr
    # With --diff the differences come before the result.
    words, _, result = done.stdout.rpartition("here | ")
    found: dict[str, Any] = json.loads(result[result.index("{") :])
    return {**found, "words": words}


async def test_files_are_written_once_and_check_mode_is_honest(tmp_path: Path) -> None:
    settings, token = tmp_path / "etc" / "settings", tmp_path / "etc" / "token"
    wanted = {
        "files": [
            {"path": str(settings), "content": "verbose: no\n", "mode": "644"},
            {"path": str(token), "secret": "secret-of-ours"},
        ]
    }
    done = await task(tmp_path, "iacorch.nodes.files", wanted, "--diff")
    assert (done["changed"], done["written"]) == (True, [str(settings), str(token)])
    assert (settings.read_text(), settings.stat().st_mode & 0o777) == ("verbose: no\n", 0o644)
    assert (token.read_text(), token.stat().st_mode & 0o777) == ("secret-of-ours", 0o600)
    assert "+verbose: no" in done["words"]
    assert "secret-of-ours" not in json.dumps(done)
    assert not (await task(tmp_path, "iacorch.nodes.files", wanted))["changed"]
    settings.chmod(0o666)
    token.write_text("other")
    assert (await task(tmp_path, "iacorch.nodes.files", wanted, "--check"))["written"] == [str(settings), str(token)]
    assert token.read_text() == "other"


async def test_an_archive_is_unpacked_once_and_check_mode_is_honest(tmp_path: Path) -> None:
    archive, target = tmp_path / "a.tar.gz", tmp_path / "opt" / "x"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("program", "complete"):
            member = tarfile.TarInfo(f"{target}/{name}".lstrip("/"))
            member.size, member.mode = 3, 0o755
            tar.addfile(member, io.BytesIO(b"abc"))
    wanted = {"archive": str(archive), "creates": f"{target}/complete", "finish": f"echo done >>{target}/finished"}
    assert (await task(tmp_path, "iacorch.nodes.unpack", wanted, "--check"))["changed"]
    assert not target.exists()
    assert (await task(tmp_path, "iacorch.nodes.unpack", wanted))["changed"]
    assert (target / "program").stat().st_mode & 0o777 == 0o755
    archive.unlink()
    assert not (await task(tmp_path, "iacorch.nodes.unpack", wanted))["changed"]
    assert (target / "finished").read_text() == "done\n"
    (target / "complete").unlink()
    assert "cannot be read" in (await task(tmp_path, "iacorch.nodes.unpack", wanted))["msg"]


def test_a_bundle_s_code_is_compiled_here_where_its_python_is_here(tmp_path: Path) -> None:
    package = tmp_path / "iacorch"
    (package / "api").mkdir(parents=True)
    (package / "api" / "x.py").write_text("answer = 42\n")
    (package / "api" / "broken.py").write_text("answer =\n")
    (tmp_path / "scratch").mkdir()
    code = read_package(package)
    names = [name for name, _ in compiled(code, sys.version_info[:2], tmp_path / "scratch")]
    tag = sys.implementation.cache_tag
    assert names == ["iacorch/api/broken.py", "iacorch/api/x.py", f"iacorch/api/__pycache__/x.{tag}.pyc"]
    assert interpreter((3, 0)) is None
    (tmp_path / "other").mkdir()
    assert compiled(code, (3, 0), tmp_path / "other") == code


def test_the_collection_is_where_ansible_is_told_to_look(tmp_path: Path) -> None:
    told = Path(environment(tmp_path, forks=1)["ANSIBLE_COLLECTIONS_PATH"])
    assert told == sources.collections()
    assert (told / "ansible_collections/iacorch/nodes/plugins/modules/files.py").is_file()
