"""The block of outputs that ends a deployment."""

from __future__ import annotations

import pytest

from iacorch.cli.outputs import lines
from iacorch.infra.engine.contract import Output

NODES = {f"worker-{n}": {"machine": f"fleet-worker-{n}-0123", "address": f"172.18.0.{n}"} for n in range(1, 5)}


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        pytest.param({}, None, [], id="none"),
        pytest.param({"a": "1", "long_name": "2"}, None, ["    a          1", "    long_name  2"], id="aligned"),
        pytest.param({"a": "1"}, {"a": "1"}, ["    a  1"], id="what did not change has no mark"),
        pytest.param(
            {"a": "2", "b": "1"}, {"a": "1", "c": "1"}, ["  ~ a  2", "  + b  1", "  - c  1"], id="changed, new, gone"
        ),
        pytest.param(
            {"nodes": NODES},
            {"nodes": NODES},
            ["    nodes  4 entries: worker-1, worker-2, worker-3, worker-4", "    (whole: iacorch stack output nodes)"],
            id="of a long map its names",
        ),
        pytest.param(
            {"key": "x" * 80, "text": "a\nb"},
            None,
            [f"    key   {'x' * 47}...", "    text  2 lines: a b", "    (whole: iacorch stack output NAME)"],
            id="long texts",
        ),
        pytest.param({"few": {"a": 1}}, None, ['    few  {"a":1}'], id="a short map is whole"),
        pytest.param({"n": 2}, {"n": 2.0}, ["    n  2"], id="a number is a number"),
    ],
)
def test_outputs(now: dict[str, object], before: dict[str, object] | None, said: list[str]) -> None:
    was = None if before is None else {name: Output(value) for name, value in before.items()}
    assert lines({name: Output(value) for name, value in now.items()}, was, width=60) == said


def test_a_preview_calls_nothing_gone() -> None:
    assert lines({}, {"a": Output("1")}, width=60, planned=True) == []


def test_secrets_are_shown_where_asked_for() -> None:
    secret = {"key": Output("hunter2", secret=True)}
    assert lines(secret, width=60) == ["    key  [secret]"]
    assert lines(secret, width=60, show_secrets=True) == ["    key  hunter2"]
