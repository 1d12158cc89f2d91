"""When Ansible has nothing to do on a machine."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from iacorch.infra.bootstrap.facts import Facts, Installation, Python
from iacorch.infra.bootstrap.files import files_of
from iacorch.infra.bootstrap.plan import AGENT_UNIT, NodeConfig, Plan, plan_node
from iacorch.infra.bootstrap.settled import DOCKER_CONFIG, docker_config_text, left_to_do

BUNDLE = "0123456789abcdef"
BARE = Facts(
    os_id="debian", os_version="12", arch="x86_64", systemd=True, pythons=(Python((3, 11), "/usr/bin/python3"),),
    addresses=("10.0.0.2",), docker_version="20", has_nft=True, docker_config="ours",
    installation=Installation({AGENT_UNIT: "active"}, {AGENT_UNIT: "o"}, {AGENT_UNIT: BUNDLE}),
)  # fmt: skip
CONFIG = NodeConfig("n1", "https://10.0.0.1:6443", "CA", "token", "o")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def planned(facts: Facts) -> Plan:
    found = plan_node(facts, CONFIG, host="10.0.0.2")
    assert isinstance(found, Plan)
    return found


def settled() -> Facts:
    plan = planned(BARE)
    files = {path: (f"{file.mode:o}", sha(file.content)) for path, file in files_of(plan, BUNDLE).items()}
    files[DOCKER_CONFIG] = ("644", sha(docker_config_text(plan.variables["docker_config"])))
    services = {"iacorch-agent.service": "active enabled", "docker.service": "active enabled"}
    return replace(BARE, files=files, services=services, complete_bundles=frozenset({BUNDLE}))


def left(facts: Facts, **extra: Any) -> tuple[str, ...]:
    return left_to_do(facts, planned(facts), BUNDLE, extra)


def test_a_machine_that_is_as_planned_has_nothing_left() -> None:
    assert left(settled(), node_images_id="") == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"complete_bundles": frozenset()}, f"bundle {BUNDLE}", id="bundle"),
        pytest.param(
            {"services": {"docker.service": "active enabled"}}, "iacorch-agent.service is missing", id="stopped"
        ),
        pytest.param(
            {"services": {"iacorch-agent.service": "active disabled", "docker.service": "active enabled"}},
            "iacorch-agent.service is active disabled",
            id="disabled",
        ),
        pytest.param({"has_nft": False}, "packages nftables", id="packages"),
    ],
)
def test_one_thing_is_left(change: dict[str, Any], expected: str) -> None:
    assert left(replace(settled(), **change)) == (expected,)


@pytest.mark.parametrize("path", [*files_of(planned(BARE), BUNDLE), DOCKER_CONFIG])
@pytest.mark.parametrize("found", [None, ("600", "another"), ("666", "")])
def test_every_file_is_looked_at(path: str, found: tuple[str, str] | None) -> None:
    files = {name: value for name, value in settled().files.items() if name != path}
    assert left(replace(settled(), files=files | ({path: found} if found else {}))) == (path,)


def test_the_mode_of_a_file_counts() -> None:
    files = {path: ("644", digest) for path, (_, digest) in settled().files.items()}
    assert "/etc/iacorch/agent-token" in left(replace(settled(), files=files))


def test_images_of_an_air_gapped_bundle_are_brought_once() -> None:
    assert left(settled(), node_images_id="ab") == ("images ab",)
    assert left(replace(settled(), images=frozenset({"ab"})), node_images_id="ab") == ()
