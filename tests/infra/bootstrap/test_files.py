"""The small files of a daemon: what is in them, who may read them, how they are listed."""

import json

import pytest

from iacorch.infra.bootstrap.facts import Python
from iacorch.infra.bootstrap.files import File, files_of, listed, unit_of
from iacorch.infra.bootstrap.plan import AGENT_UNIT, CONTROL_PLANE_UNIT, Plan


def plan(unit: str, *arguments: str) -> Plan:
    return Plan(
        bundle="agent",
        unit=unit,
        owner="abc",
        python=Python((3, 12), "/usr/bin/python3.12"),
        arch="x86_64",
        arguments=arguments,
        files={"agent-token": "secret"},
        variables={},
    )


@pytest.mark.parametrize("unit", [AGENT_UNIT, CONTROL_PLANE_UNIT])
def test_a_unit_starts_the_bundle_s_daemon_with_the_planned_interpreter(unit: str) -> None:
    text = unit_of(plan(unit, "--node-name", "a"), "0123")
    assert f"ExecStart=/usr/bin/python3.12 -sP /opt/iacorch/0123/bin/{unit} --node-name a\n" in text
    assert "Type=notify\n" in text
    assert "Restart=always\n" in text


def test_arguments_mean_themselves_in_a_unit() -> None:
    text = unit_of(plan(AGENT_UNIT, "--labels", "a=50%,b=$x y"), "0123")
    assert "--labels 'a=50%%,b=$$x y'\n" in text


def test_secrets_are_root_s_alone() -> None:
    files = files_of(plan(AGENT_UNIT), "0123")
    assert files["/etc/iacorch/agent-token"] == File("secret", 0o600)
    assert files["/etc/iacorch/iacorch-agent.owner"].content == "abc\n"
    assert files["/etc/systemd/system/iacorch-agent.service"].mode == 0o644


def test_they_are_listed_as_the_collection_s_module_takes_them() -> None:
    assert json.loads(listed({"/b": File("2"), "/a": File("1", 0o644)})) == [
        {"path": "/a", "content": "1", "mode": "644"},
        {"path": "/b", "secret": "2", "mode": "600"},
    ]
