"""Objects of a type, drawn at random, now and then with something wrong in them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from iacorch.api.wire.structure import Field, Type, type_named

WRONG = st.sampled_from([None, "x", "", 1, -1, 2**40, 1.0, 1.5, True, [], {}, [None], ["x"], {"x": None}, {"x": "y"}])
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["", "a", "A/b", "Never", "ClientIP", "None", "..", "RollingUpdate", "NodePort"]),
    "bool": st.booleans(),
    "int32": st.integers(-1, 3),
    "int64": st.integers(-1, 3),
    "double": st.floats(0, 1),
    "byte": st.just("YQ=="),
    "time": st.just("2026-01-02T03:04:05Z"),
    "microtime": st.just("2026-01-02T03:04:05.000000Z"),
    "quantity": st.sampled_from(["1", "-1", "100m", 2, 0.5]),
    "intstr": st.sampled_from(["50%", "0%", "x", 3, -1]),
    "any": st.just({}),
}


@st.composite
def values(draw: st.DrawFn, type_: Type, *, depth: int = 0, wrong: bool = True) -> dict[str, Any]:
    """A few fields, fewer the deeper it gets; required ones always where nothing should be wrong."""
    result: dict[str, Any] = {}
    chosen = draw(st.sets(st.sampled_from(sorted(type_.fields)), max_size=5 - depth // 2)) if type_.fields else set()
    if not wrong or draw(st.booleans()):
        chosen |= {field.name for field in type_.fields.values() if field.required}
    for name in sorted(chosen):
        is_wrong = wrong and draw(st.integers(0, 15)) == 0
        result[name] = draw(WRONG) if is_wrong else draw(_field_values(type_.fields[name], depth, wrong))
    if wrong and draw(st.integers(0, 30)) == 0:
        result["unheardOf"] = 1
    return result


def _field_values(field: Field, depth: int, wrong: bool) -> st.SearchStrategy[Any]:
    if field.is_scalar:
        one = SCALARS[field.type]
    elif depth > 5:
        one = st.just({})
    else:
        one = values(type_named(field.type), depth=depth + 1, wrong=wrong)
    match field.shape:
        case "[]":
            return st.lists(one, max_size=2)
        case "{}":
            return st.dictionaries(st.text(max_size=2), one, max_size=2)
        case "{}[]":
            return st.dictionaries(st.text(max_size=2), st.lists(one, max_size=2), max_size=2)
        case _:
            return one
