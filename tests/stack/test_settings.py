"""Numbers that a program is given: what cannot be meant is refused, and which setting it was is said."""

from __future__ import annotations

import pytest

from iacorch.errors import ConfigError
from iacorch.stack import whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param(None, 2, id="not set"),
        pytest.param("0", 0, id="none at all"),
        pytest.param("3", 3, id="some"),
    ],
)
def test_a_number_that_can_be_meant(text: str | None, number: int) -> None:
    assert whole_number(text, "workers", usual=2) == number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("-2", "setting workers: -2 is below 0", id="below none"),
        pytest.param("three", "setting workers: 'three' is no whole number", id="a word"),
        pytest.param("", "setting workers: '' is no whole number", id="nothing"),
        pytest.param("2.5", "setting workers: '2.5' is no whole number", id="a part of one"),
    ],
)
def test_one_that_cannot(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        whole_number(text, "workers", usual=2)
    assert raised.value.message == said
    assert "iacorch config rm workers" in raised.value.hint
