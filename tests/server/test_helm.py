"""A chart's life with the real helm, which applies from the server's side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server import daemon

pytestmark = pytest.mark.client

ROOT = Path(__file__).parents[2]
Helm = Callable[..., str]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    """Runs helm against a server of its own."""
    tools = ROOT / ".tools" / "bin"
    binary = shutil.which("helm", path=f"{tools}{os.pathsep}{os.environ.get('PATH', '')}")
    if binary is None:
        pytest.skip("no helm: neither on PATH nor unpacked by scripts/kubectl")
    folder = tmp_path_factory.mktemp("helm")
    homes = {f"HELM_{name}_HOME": str(folder / "helm") for name in ("CACHE", "CONFIG", "DATA")}
    with daemon.running(folder / "data", "--no-controllers") as server:
        environment = os.environ | homes | {"KUBECONFIG": str(server.kubeconfig)}

        def run(*words: str) -> str:
            done = subprocess.run(
                [binary, *words], capture_output=True, text=True, timeout=120, cwd=folder, env=environment
            )
            return done.stdout + done.stderr

        yield run


def test_install_upgrade_rollback_uninstall(helm: Helm) -> None:
    def replicas() -> list[int]:
        manifest = helm("get", "manifest", "one")
        return [int(line.split()[1]) for line in manifest.splitlines() if line.strip().startswith("replicas:")]

    helm("create", "app")
    assert "STATUS: deployed" in helm("install", "one", "./app")
    assert "has been upgraded" in helm("upgrade", "one", "./app", "--set", "replicaCount=3")
    assert replicas() == [3]
    assert "Rollback was a success" in helm("rollback", "one", "1")
    assert replicas() == [1]
    history = json.loads(helm("history", "one", "-o", "json"))
    assert [entry["status"] for entry in history] == ["superseded", "superseded", "deployed"]
    assert "uninstalled" in helm("uninstall", "one")
    assert "one" not in [entry["name"] for entry in json.loads(helm("list", "-o", "json"))]


def test_a_release_of_the_client_s_side_goes_on_from_the_server_s(helm: Helm) -> None:
    helm("create", "other")
    assert "STATUS: deployed" in helm("install", "two", "./other", "--server-side=false")
    upgraded = helm("upgrade", "two", "./other", "--server-side=true", "--set", "replicaCount=2")
    assert "has been upgraded" in upgraded
