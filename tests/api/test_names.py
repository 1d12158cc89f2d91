from __future__ import annotations

from collections.abc import Callable

import pytest

from iacorch.api import names


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (names.dns_label, ["a", "a-1", "1a", "a" * 63], ["", "A", "a.b", "-a", "a-", "a" * 64, "ä", "a\n"]),
        (names.dns_1035_label, ["a", "a-1"], ["", "1a", "a.b", "a-"]),
        (names.dns_subdomain, ["a", "a.b-c.d", "1.2"], ["", "a..b", ".a", "a.", "A", "a" * 254]),
        (names.qualified_name, ["a", "A_b.c-d", "example.com/a"], ["", "/a", "a/", "a/b/c", "Ex/a", "a b", "a" * 64]),
        (names.label_value, ["", "a", "A_b.c"], ["-a", "a-", "a b", "a" * 64]),
        (names.env_name, ["A", "a.b-c", "1A", "a b"], ["", "A=B", "ä"]),
        (names.config_key, ["a", ".a", "A_b-c.d"], ["", ".", "..", "..a", "a/b", "a" * 254]),
        (names.port_name, ["http", "a-1"], ["", "80", "a--b", "-a", "A", "a" * 16]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_names(rule: Callable[[str], list[str]], right: list[str], wrong: list[str]) -> None:
    for text in right:
        assert rule(text) == [], text
    for text in wrong:
        assert rule(text) != [], text


def test_a_key_of_too_many_parts_is_told_what_parts_are_made_of() -> None:
    (words,) = names.qualified_name("a/b/c")
    assert words.startswith("a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start")
    assert "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS" in words


def test_annotations_are_counted_in_bytes() -> None:
    assert names.annotations_bytes({"a": "ä"}) == 3
