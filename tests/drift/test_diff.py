"""Differences for people: what may not be read stays hidden, and that it differs is still said."""

from __future__ import annotations

from typing import Any

import pytest

from iacorch.drift.reports.diff import lines

SECRET = "hunter2"
LONG = "x" * 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(
            f"a: 1\npassword: |\n  {SECRET}\n  more\nb: 2", "a: 1\npassword: |\n  x\n  more\nb: 3", id="block"
        ),
        pytest.param(f"tokens:\n- {SECRET}\n- b\nc: 2", "tokens:\n- x\n- b\nc: 3", id="list at its name's column"),
        pytest.param(f"tokens:\n  - {SECRET}\nc: 2", "tokens:\n  - x\nc: 3", id="list below its name"),
        pytest.param(f"api_token:\n  id: {SECRET}\nc: 2", "api_token:\n  id: x\nc: 3", id="mapping"),
        pytest.param(f"- token: |\n    {SECRET}\n  c: 2", "- token: |\n    x\n  c: 3", id="in a list"),
        pytest.param(f"PASSWORD={SECRET}\nc=2", "PASSWORD=x\nc=3", id="environment file"),
        pytest.param(
            f"env:\n- name: PASSWORD\n  value: {SECRET}\nc: 2", "env:\n- name: PASSWORD\n  value: x\nc: 3", id="env"
        ),
        pytest.param(
            {"private_key": f"BEGIN\n{SECRET}\nEND", "c": LONG}, {"private_key": "BEGIN\nx\nEND", "c": "3"}, id="key"
        ),
        pytest.param({"tokens": [SECRET, "b"], "c": LONG}, {"tokens": ["x", "b"], "c": "3"}, id="list of a mapping"),
        pytest.param(
            f"kind: Secret\ndata:\n  a: {SECRET}\nc: 2", "kind: Secret\ndata:\n  a: x\nc: 3", id="what a Secret holds"
        ),
    ],
)
@pytest.mark.parametrize("whole", [False, True], ids=["short", "whole"])
def test_secrets_are_hidden_and_what_stands_beside_them_is_not(old: Any, new: Any, whole: bool) -> None:
    told = "\n".join(lines("spec", old, new, whole=whole))
    assert SECRET not in told
    assert "3" in told, "what is no secret is shown"


def test_a_secret_that_differs_is_said_to_differ() -> None:
    told = list(lines("file", f"user: me\npassword: |\n  {SECRET}\n", "user: me\npassword: |\n  other\n"))
    assert any(line.strip().startswith("- ") for line in told)
    assert any(line.strip().startswith("+ ") for line in told)
