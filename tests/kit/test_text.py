"""Words for people."""

from __future__ import annotations

import pytest

from iacorch.kit.text import columns, did_you_mean, listed, near, plural, shortened


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        pytest.param("lcal", ("local", "aws"), ("local",), id="a letter short"),
        pytest.param("prod", ("production", "local"), ("production",), id="the beginning"),
        pytest.param("Max-Unready", ("max_unready",), ("max_unready",), id="capitals and dashes"),
        pytest.param("zzz", ("local", "aws"), (), id="nothing near"),
        pytest.param("", ("local",), (), id="nothing typed"),
        pytest.param("x", (), (), id="nothing known"),
    ],
)
def test_near(word: str, known: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert near(word, known) == found


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        pytest.param("lcal", ("local", "aws"), "did you mean local?", id="one is near"),
        pytest.param("zzz", ("local", "aws"), "there are aws, local", id="none is near"),
        pytest.param("zzz", ("aws",), "there is aws", id="there is one"),
        pytest.param("zzz", (), "there is no stack yet", id="there is none"),
    ],
)
def test_did_you_mean(word: str, known: tuple[str, ...], said: str) -> None:
    assert did_you_mean(word, known, what="stack") == said


def test_short_words() -> None:
    assert listed("abc", most=2) == "a, b and 1 more"
    assert (plural(1, "entry", "entries"), plural(2, "node")) == ("1 entry", "2 nodes")
    assert shortened("a\n  b", 10) == "a b"
    assert shortened("abcdefghij", 6) == "abc..."


def test_tables_fit() -> None:
    rows = [("NAME", "WHAT", "WHY"), ("a", "x" * 50, "y" * 20)]
    assert max(map(len, columns(rows))) == 4 + 50 + 20 + 4
    fitted = columns(rows, width=50)
    assert max(map(len, fitted)) <= 50
    assert fitted[1].startswith("a     xxx")
    assert columns([]) == []
    assert columns([("a\nb", "c")]) == ["a\nb  c"], "without a width nothing is cut"
