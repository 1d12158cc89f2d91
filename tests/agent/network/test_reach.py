from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.agent.network.echo import request
from iacorch.agent.network.reach import Reach


def after(answers: str) -> bool:
    """Whether a node is silent after rounds of which each heard from it (o) or did not (.), with a patience of 3."""
    reach = Reach(patience=3, trust=2)
    for heard in answers:
        reach.round(["a"], ["a"] if heard == "o" else [])
    return bool(reach.silent)


@pytest.mark.parametrize(
    ("answers", "silent"),
    [
        pytest.param("", False, id="never-asked"),
        pytest.param("......", False, id="never-answered"),
        pytest.param("o", False, id="answers"),
        pytest.param("o..", False, id="two-missed"),
        pytest.param("o...", True, id="three-missed"),
        pytest.param("o..o..o..", False, id="two-missed-now-and-then"),
        pytest.param("o...o", True, id="one-answer-is-not-trusted-yet"),
        pytest.param("o...oo", False, id="two-answers-are"),
        pytest.param("o...o...o", True, id="answers-in-a-row-count"),
        pytest.param("o...oo...", True, id="again"),
    ],
)
def test_who_is_silent(answers: str, silent: bool) -> None:
    assert after(answers) == silent


def test_a_node_that_left_is_forgotten() -> None:
    reach = Reach(patience=1)
    reach.round(["a", "b"], ["a", "b"])
    reach.round(["a", "b"], ["b"])
    assert reach.silent == {"a"}
    reach.round(["b"], ["b"])
    assert reach.silent == frozenset()
    reach.round(["a", "b"], ["b", "stranger"])
    assert reach.silent == frozenset()


@given(st.text("o.", max_size=40))
def test_a_node_that_always_answers_is_never_silent_whatever_others_do(others: str) -> None:
    reach = Reach()
    for heard in others:
        reach.round(["a", "b"], ["a", "b"] if heard == "o" else ["a"])
        assert "a" not in reach.silent


def test_a_request_sums_to_zero_as_the_receiver_checks() -> None:
    words = memoryview(request()).cast("H").tolist()
    total = sum(words)
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    assert total == 0xFFFF
