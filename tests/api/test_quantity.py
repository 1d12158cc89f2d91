from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.api.values import intstr, quantity
from iacorch.api.values.quantity import Format, Quantity

amounts = st.builds(
    lambda sign, digits, suffix: f"{sign}{digits}{suffix}",
    st.sampled_from(["", "-", "+"]),
    st.one_of(
        st.integers(0, 10**12).map(str),
        st.decimals(0, 10**6, places=4, allow_nan=False, allow_infinity=False).map(str),
    ),
    st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2"]),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        ("1024Ki", "1Mi"),
        ("0.5Gi", "512Mi"),
        ("1.5Ki", "1536"),
        ("0.1Ki", "102400m"),
        ("1000", "1k"),
        ("1e3", "1e3"),
        ("1E", "1E"),
        ("1E3", "1e3"),
        ("0.0000000001", "1n"),
        ("-0.0000000001", "-1n"),
        ("12E", "9223372036854775807"),
        ("5.", "5"),
        (".5", "500m"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1.2.3", "Gi", "1gi", "1KiB", "0x10", "1e", "--1", "1e1000000", "١", "1\n"]
)
def test_what_is_no_quantity_is_refused_in_kubernetes_words(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        quantity.parse(text)


@given(amounts)
def test_the_canonical_form_is_the_same_amount_and_stable(text: str) -> None:
    parsed = quantity.parse(text)
    again = quantity.parse(str(parsed))
    # A binary amount that is no whole number of Ki is printed without a suffix, and read again as a decimal one.
    if again.format is parsed.format:
        assert str(again) == str(parsed)
    if parsed.format is not Format.BINARY or parsed.amount.denominator == 1:
        assert again == parsed


@given(amounts, amounts)
def test_sum_and_difference_undo_each_other(left: str, right: str) -> None:
    a, b = quantity.parse(left), quantity.parse(right)
    assert a + b - b == a
    assert (a < b) is (a.amount < b.amount)


@given(st.text(max_size=12))
def test_any_text_parses_or_is_a_value_error(text: str) -> None:
    try:
        quantity.parse(text)
    except ValueError:
        return


def test_values_round_up_away_from_zero() -> None:
    assert quantity.units("1500m") == 2
    assert Quantity(Fraction(-3, 2)).value == -2
    assert quantity.milli_cpu("0.0001") == 1
    assert quantity.milli_cpu(None) == 0
    assert quantity.total(["100m", "0.9", "1"]) == "2"


def test_percentages_scale_and_round_as_asked() -> None:
    assert intstr.scaled("25%", 10, round_up=True) == 3
    assert intstr.scaled("25%", 10, round_up=False) == 2
    assert intstr.scaled(4, 10, round_up=False) == 4
    with pytest.raises(ValueError, match="not a percentage"):
        intstr.scaled("x%", 10, round_up=False)
