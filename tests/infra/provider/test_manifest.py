"""Manifest against a real control plane (without nodes): try, apply, change, prune, remove."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from iacorch.api import catalogue
from iacorch.daemons.controlplane import Settings, running
from iacorch.errors import Conflict, Invalid
from iacorch.infra.provider.resource import HalfMade, Made, Request
from iacorch.infra.provider.resources.cluster import opened
from iacorch.infra.provider.resources.manifest import Manifests
from iacorch.kit.clock import SystemClock

MANIFESTS = Manifests(SystemClock())
CONFIG_MAP, SERVICE = catalogue.kind("ConfigMap"), catalogue.kind("Service")


def request(name: str = "app") -> Request:
    return Request(f"urn:pulumi:dev::shop::iacorch:index:Manifest::{name}", 30.0, lambda line: None)


def config_map(name: str, **data: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[str]:
    settings = Settings(tmp_path / "d", "127.0.0.1", 0, "", tmp_path / "kubeconfig", (), "", controllers=False)
    async with running(settings):
        yield (tmp_path / "kubeconfig").read_text()


def inputs(kubeconfig: str, *objects: dict[str, Any]) -> dict[str, Any]:
    return {"kubeconfig": kubeconfig, "objects": list(objects), "namespace": "default", "wait": True}


async def test_a_manifest_follows_its_objects_from_first_to_last(kubeconfig: str) -> None:
    first = inputs(kubeconfig, config_map("a", x="1"), config_map("b"))
    made = await MANIFESTS.create(request(), first)
    assert made.outputs == {"applied": ["v1 ConfigMap default/a", "v1 ConfigMap default/b"], "inSync": True}
    assert await MANIFESTS.create(request(), first) == made, "a second try goes on with the first one's objects"
    second = inputs(kubeconfig, config_map("a", x="2"))
    await MANIFESTS.update(request(), made.id, second, first, made.outputs)
    async with opened(kubeconfig) as client:
        left = {o["metadata"]["name"]: o.get("data") for o in (await client.list(CONFIG_MAP, "default")).items}
        assert left.get("a") == {"x": "2"}
        assert "b" not in left, "what left the manifest is removed"
        await client.patch(CONFIG_MAP, "default", "a", {"data": {"x": "3"}})
    seen = await MANIFESTS.read(request(), made.id, second, made.outputs)
    assert seen is not None
    assert seen.outputs["inSync"] is False, "somebody else changed it"
    await MANIFESTS.delete(request(), made.id, second, made.outputs)
    assert await MANIFESTS.read(request(), made.id, second, made.outputs) is None


async def test_what_an_update_that_failed_had_to_remove_is_removed_by_the_next_one(kubeconfig: str) -> None:
    """The engine keeps the inputs of the one that failed: they do not name what it had not come to."""
    async with opened(kubeconfig) as client:
        for end in ("update", "delete"):
            first = inputs(kubeconfig, config_map("a"), config_map("b"))
            made = await MANIFESTS.create(request(), first)
            wrong = inputs(kubeconfig, config_map("a"), config_map("Not_A_Name"))
            with pytest.raises(HalfMade) as failed:
                await MANIFESTS.update(request(), made.id, wrong, first, made.outputs)
            state = failed.value.made.outputs
            seen = await MANIFESTS.read(request(), made.id, wrong, state)
            assert seen is not None
            assert (seen.outputs["applied"][-1], seen.outputs["inSync"]) == ("v1 ConfigMap default/b", False)
            if end == "update":
                right = inputs(kubeconfig, config_map("a"))
                done = await MANIFESTS.update(request(), made.id, right, wrong, state)
                assert done.outputs["applied"] == ["v1 ConfigMap default/a"]
            else:
                await MANIFESTS.delete(request(), made.id, inputs(kubeconfig, config_map("a")), state)
            left = [o["metadata"]["name"] for o in (await client.list(CONFIG_MAP, "default")).items]
            assert "b" not in left, end


async def test_a_preview_lets_the_server_try_and_changes_nothing(kubeconfig: str) -> None:
    good = inputs(kubeconfig, config_map("a"))
    assert (await MANIFESTS.preview(request(), good, {}))["applied"] == ["v1 ConfigMap default/a"]
    assert await MANIFESTS.read(request(), "x", good, {}) is None
    with pytest.raises(Invalid):
        await MANIFESTS.preview(request(), inputs(kubeconfig, config_map("Not_A_Name")), {})


async def test_two_manifests_do_not_fight_over_one_object(kubeconfig: str) -> None:
    await MANIFESTS.create(request("one"), inputs(kubeconfig, config_map("a")))
    with pytest.raises(Conflict, match="belongs to another Manifest"):
        await MANIFESTS.create(request("two"), inputs(kubeconfig, config_map("a")))


async def test_what_a_create_that_was_cut_short_applied_is_found_again(kubeconfig: str) -> None:
    both = inputs(kubeconfig, config_map("a"), config_map("b"))
    assert await MANIFESTS.find(request(), both) is None
    made = await MANIFESTS.create(request(), inputs(kubeconfig, config_map("a")))
    with pytest.raises(HalfMade) as caught:
        await MANIFESTS.find(request(), both)
    assert caught.value.made == Made(made.id, {"applied": ["v1 ConfigMap default/a"], "inSync": False})
    assert await MANIFESTS.find(request("other"), both) is None, "what another resource made is not ours"


async def test_a_server_that_is_away_is_no_error_in_a_preview(kubeconfig: str) -> None:
    away = kubeconfig.replace("https://127.0.0.1:", "https://127.0.0.1:1#")
    text = "\n".join("    server: https://127.0.0.1:1" if "server:" in line else line for line in away.splitlines())
    assert (await MANIFESTS.preview(request(), inputs(text, config_map("a")), {}))["inSync"] is True
