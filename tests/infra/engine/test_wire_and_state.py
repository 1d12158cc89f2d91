"""Values on the wire and in the file: what goes in comes out, and what cannot be understood is refused by name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iacorch.infra.engine.builtin.stack.passphrase import NoCipher, PassphraseCipher, new_cipher, open_cipher
from iacorch.infra.engine.builtin.values import state, urn, wire
from iacorch.infra.engine.builtin.values.state import Encoder, Pending, Resource, Snapshot
from iacorch.infra.engine.errors import PassphraseWrong, StateBroken, Unsupported
from iacorch.kit.ids import SeededIds

values = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda k: k != wire.SIGNATURE), inner),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # says something of the machine, not of us
@given(st.dictionaries(st.text(), values))
def test_properties_survive_the_wire(props: dict[str, Any]) -> None:
    assert wire.decode(wire.encode(props)) == props


def test_integral_numbers_are_integers() -> None:
    decoded = wire.decode(wire.encode({"a": 3.0, "b": 3.5, "c": 2.0**60}))
    assert [type(value) for value in decoded.values()] == [int, float, float]


def test_every_unknown_is_the_one_that_programs_read() -> None:
    assert wire.decode(wire.encode({"a": ["1c4a061d-8072-4f0a-a4cb-0ff528b18fe7"]})) == {"a": [wire.UNKNOWN]}


def _output(**fields: Any) -> dict[str, Any]:
    return {wire.SIGNATURE: wire.OUTPUT, **fields}


@pytest.mark.parametrize(
    ("value", "lowered", "dependencies"),
    [
        pytest.param(_output(value="x"), "x", set(), id="plain"),
        pytest.param(_output(value="x", dependencies=["u"]), "x", {"u"}, id="with a dependency"),
        pytest.param(_output(dependencies=["u"]), wire.UNKNOWN, {"u"}, id="unknown"),
        pytest.param(_output(value="x", secret=True), wire.secret("x"), set(), id="secret"),
        pytest.param({"a": [_output(value=_output(value=1, dependencies=["v"]))]}, {"a": [1]}, {"v"}, id="nested"),
        pytest.param(wire.secret(_output(value="x", secret=True)), wire.secret(wire.secret("x")), set(), id="twice"),
    ],
)
def test_output_values_are_lowered(value: Any, lowered: Any, dependencies: set[str]) -> None:
    found: set[str] = set()
    assert wire.reveal(wire.lower(value, found)) == wire.reveal(lowered)
    assert wire.has_secret(wire.lower(value, set())) == wire.has_secret(lowered)
    assert found == dependencies


def test_marks_that_are_not_supported_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="f00"):
        wire.lower({"a": {wire.SIGNATURE: "f00", "text": "x"}}, set())


def test_secrets_survive_providers_that_drop_the_marks() -> None:
    inputs = {"a": wire.secret("x"), "b": {"c": wire.secret("y"), "d": 1}, "e": 1}
    kept = wire.keep_secret({"a": "x", "b": {"c": "y", "d": 1}, "e": 1, "f": 2}, inputs)
    assert kept == {"a": wire.secret("x"), "b": {"c": wire.secret("y"), "d": 1}, "e": 1, "f": 2}


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        pytest.param("", "urn:pulumi:s::p::t:i:T::n", id="no parent"),
        pytest.param("urn:pulumi:s::p::pulumi:pulumi:Stack::p-s", "urn:pulumi:s::p::t:i:T::n", id="under the stack"),
        pytest.param("urn:pulumi:s::p::a:b:C$d:e:F::x", "urn:pulumi:s::p::a:b:C$d:e:F$t:i:T::n", id="under components"),
    ],
)
def test_urns(parent: str, expected: str) -> None:
    made = urn.make("s", "p", parent, "t:i:T", "n")
    assert made == expected
    assert (urn.type_of(made), urn.name_of(made)) == ("t:i:T", "n")


def _cipher(seed: int = 1) -> PassphraseCipher:
    return PassphraseCipher(b"k" * 32, SeededIds(seed).token)


STACK = Resource(urn="urn:pulumi:s::p::pulumi:pulumi:Stack::p-s", type="pulumi:pulumi:Stack", custom=False)
FULL = Resource(
    urn="urn:pulumi:s::p::t:i:T::n", type="t:i:T", custom=True, id="1", parent=STACK.urn,
    inputs={"a": 1, "s": wire.secret({"deep": ["x"]})}, outputs={"o": [None, True]}, dependencies=(STACK.urn,),
    property_dependencies={"a": (STACK.urn,), "s": ()}, protect=True, retain_on_delete=True, init_errors=("slow",),
    additional_secret_outputs=("o",), custom_timeouts={"create": 90.0, "update": 0.5}, ignore_changes=("a",),
    replace_on_changes=("s",), created="2026-01-01T00:00:00Z", modified="2026-01-02T00:00:00Z",
    extra={"sourcePosition": "project:///x.py#1", "hideDiff": ["a"]},
)  # fmt: skip


def _encode(*resources: Resource, pending: tuple[Pending, ...] = ()) -> bytes:
    return Encoder("s", "p", _cipher()).encode(resources, pending, salt="v1:x:y", time="2026-01-01T00:00:00Z")


def test_a_state_is_read_as_it_was_written() -> None:
    data = _encode(STACK, FULL, pending=(Pending(FULL, "updating"),))
    assert b"deep" not in data
    assert state.parse(data, _cipher(), "f") == Snapshot((STACK, FULL), (Pending(FULL, "updating"),), "v1:x:y")


def test_unchanged_secrets_keep_their_ciphertext() -> None:
    data = _encode(STACK, FULL)
    cipher = _cipher(seed=2)
    snapshot = state.parse(data, cipher, "f")
    again = Encoder("s", "p", cipher).encode(snapshot.resources, (), salt="v1:x:y", time="2026-01-01T00:00:00Z")
    assert again == data


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(_encode(STACK, FULL)[:200], "not JSON", id="cut off"),
        pytest.param(b"[]", "no checkpoint", id="a list"),
        pytest.param(b'{"version":3,"checkpoint":{"latest":{"resources":[{}]}}}', "'urn'", id="no URN"),
        pytest.param(_encode(FULL), "not before it", id="its parent is missing"),
        pytest.param(_encode(STACK, STACK), "twice", id="a URN twice"),
        pytest.param(_encode(STACK, FULL).replace(b'"v1:', b'"v9:'), "v1:NONCE", id="a strange secret"),
    ],
)
def test_a_broken_state_says_what_is_wrong(data: bytes, found: str) -> None:
    with pytest.raises(StateBroken, match=found):
        state.parse(data, _cipher(), "the-file.json")


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        pytest.param({"version": 4, "features": ["hooks"]}, "version 4 .hooks.", id="version 4"),
        pytest.param({"taint": True}, "taint", id="taint"),
        pytest.param({"viewOf": "u"}, "viewOf", id="views"),
    ],
)
def test_a_state_with_foreign_features_is_refused_by_name(change: dict[str, Any], feature: str) -> None:
    document = orjson.loads(_encode(STACK))
    target = document if "version" in change else document["checkpoint"]["latest"]["resources"][0]
    target.update(change)
    with pytest.raises(Unsupported, match=feature):
        state.parse(orjson.dumps(document), _cipher(), "f")


async def test_the_passphrase_is_proven_by_the_salt() -> None:
    made = await new_cipher("right", SeededIds(1).token)
    text = made.close("hidden")
    opened = await open_cipher("right", made.salt, SeededIds(2).token, where="f")
    assert opened.open(text) == "hidden"
    with pytest.raises(PassphraseWrong, match="not the one"):
        await open_cipher("wrong", made.salt, SeededIds(2).token, where="f")
    with pytest.raises(StateBroken, match="malformed"):
        await open_cipher("right", "nonsense", SeededIds(2).token, where="f")


async def test_a_salt_made_by_the_pulumi_cli_is_opened() -> None:
    salt = "v1:8VeCy8HFwoo=:v1:YcbMkuwiBK94+SFX:PUD3FLaGbcGDgjuCCjfOeakktcR9dQ=="
    opened = await open_cipher("pw", salt, SeededIds(1).token, where="f")
    assert opened.open("v1:b3uvkd8JA2ArQubh:GvQsDefvtTMtFwUIGK7ClaaTl5ylSXU=") == "hunter2"


def test_without_a_passphrase_secrets_are_refused() -> None:
    with pytest.raises(PassphraseWrong):
        NoCipher().open("v1:a:b")
