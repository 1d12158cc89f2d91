"""`iacorch why` against a running control plane without nodes, and how objects are named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from iacorch.api.catalogue import NODE, POD
from iacorch.cli.commands.why import focus_of, why
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.errors import ConfigError, Unavailable
from iacorch.why.model import Focus
from tests.server import daemon


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param((), None, id="everything"),
        pytest.param(("web-1",), Focus("Pod", "shop", "web-1"), id="a pod"),
        pytest.param(("deploy/web",), Focus("Deployment", "shop", "web"), id="a short name"),
        pytest.param(("nodes", "n1"), Focus("Node", "", "n1"), id="two words"),
    ],
)
def test_objects_are_named_as_for_kubectl(words: tuple[str, ...], expected: Focus | None) -> None:
    assert focus_of(words, "shop") == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("deploymnt/web",), "did you mean deployment?", id="a kind mistyped"),
        pytest.param(("pod/",), "as in: iacorch why pod/NAME", id="no name"),
        pytest.param(("pod", "a", "b"), "one object at a time", id="too many"),
    ],
)
def test_what_cannot_be_explained_is_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        focus_of(words, "shop")
    assert raised.value.hint == said


def test_why_asks_a_real_server(tmp_path: Path) -> None:
    def typed(*words: str) -> Result:
        return CliRunner().invoke(why, [*words, "--kubeconfig", str(running.kubeconfig), "--cwd", str(tmp_path)])

    async def fill() -> None:
        async with HttpClient(read_kubeconfig(running.kubeconfig)) as client:
            await client.create(NODE, {"metadata": {"name": "n1"}})
            container = {"name": "app", "image": "shop:1"}
            pod = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [container]}}
            await client.create(POD, pod)

    with daemon.running(tmp_path / "data", "--no-controllers") as running:
        assert "the cluster has no nodes" in typed().output
        asyncio.run(fill())
        text = typed("web", "--detailed-exitcode")
        assert text.exit_code == 2
        assert "the scheduler has not looked at it yet" in text.output
        document = orjson.loads(typed("--json").output)
        assert [f["rank"] for f in document["findings"]] == ["node", "pod"]
        missing = typed("pod/wbe")
        assert isinstance(missing.exception, ConfigError)
        assert missing.exception.hint == "did you mean web?"
    gone = typed()
    assert isinstance(gone.exception, Unavailable)
    assert "iacorch drift --layer machine" in gone.exception.hint
