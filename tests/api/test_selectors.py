from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.api.values import selectors
from iacorch.errors import BadRequest

LABELS = {"app": "web", "tier": "front", "gen": "5", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier = front", True),
        ("app!=web", False),
        ("missing!=web", True),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("app notin (db, cache)", True),
        ("missing notin (db)", True),
        ("app", True),
        ("missing", False),
        ("!app", False),
        ("!missing", True),
        ("gen>4", True),
        ("gen<5", False),
        ("app>4", False),
        ("empty=", True),
        ("empty=,app=web", True),
        ("app in (web,)", True),
        ("in in (in)", False),
    ],
)
def test_text_selectors(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text",
    ["=a", "a=b=c", "a in", "a in (", "a in (b", "a in b", "a,", ",a", "a b", "!", "a=!", "-a", "a=-", "gen>x", "(a)"],
)
def test_what_is_no_selector_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        selectors.parse_labels(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (b,", "unable to parse requirement: found '', expected: ',', or identifier"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,=b", "found '=', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a==!", "unable to parse requirement: found '!', expected: identifier"),
    ],
)
def test_a_bad_selector_is_told_in_kubernetes_words(text: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        selectors.parse_labels(text)
    assert caught.value.message == words


@given(st.text(alphabet="ab1=!<>(), in./-", max_size=24))
def test_a_selector_prints_as_itself(text: str) -> None:
    try:
        selector = selectors.parse_labels(text)
    except BadRequest:
        return
    again = selectors.parse_labels(str(selector))
    assert str(again) == str(selector)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_a_bad_request(text: str) -> None:
    for parse in (selectors.parse_labels, lambda t: selectors.parse_fields(t, group="", kind="Pod")):
        try:
            parse(text)
        except BadRequest:
            continue


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "nope", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
    ],
)
def test_object_selectors(selector: dict[str, object] | None, matches: bool) -> None:
    assert selectors.from_object(selector).matches(LABELS) is matches


def test_empty_selectors_mean_what_their_owner_means() -> None:
    assert not selectors.from_map({}).matches(LABELS)
    assert not selectors.from_node_expressions([]).matches(LABELS)
    assert selectors.from_node_expressions([{"key": "gen", "operator": "Gt", "values": ["4"]}]).matches(LABELS)
    assert selectors.EVERYTHING.matches_everything
    assert not selectors.NOTHING.matches_everything


POD = {"metadata": {"name": "a,b", "namespace": "default"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("spec.nodeName=n1", True),
        ("spec.nodeName!=n1", False),
        ("status.phase!=Succeeded,status.phase!=Failed", True),
        ("metadata.name=a\\,b", True),
        ("status.podIP=", True),
        ("spec.hostNetwork=false", True),
    ],
)
def test_field_selectors(text: str, matches: bool) -> None:
    assert selectors.parse_fields(text, group="", kind="Pod").matches(POD) is matches


def test_a_field_selector_knows_its_exact_terms() -> None:
    selector = selectors.parse_fields("metadata.name=x,spec.nodeName!=y", group="", kind="Pod")
    assert selector.exact("metadata.name") == "x"
    assert selector.exact("spec.nodeName") is None
    assert str(selector) == "metadata.name=x,spec.nodeName!=y"


@pytest.mark.parametrize("text", ["spec.nope=1", "spec.nodeName", "=x", "spec.nodeName=a\\b"])
def test_what_is_no_field_selector_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        selectors.parse_fields(text, group="", kind="Pod")
