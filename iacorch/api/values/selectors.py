"""Label and field selectors: what `-l` and `--field-selector` say, and what objects carry in `spec.selector`.

In: the query's text or the object form. Out: values with `matches`. The server parses text (errors are BadRequest with
Kubernetes' words); controllers and the scheduler build from objects; the client prints them with `str`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from iacorch.api import names
from iacorch.api.objects import Object
from iacorch.errors import BadRequest

SELECTOR_CHARACTERS: Final = 64 * 1024
"""Longest text that is parsed; a request line is shorter."""

_TOKEN: Final = re.compile(r"\s*(?:(==|!=|[=<>(),!])|([^\s=!<>(),]+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `operator` is in, notin, exists, !, gt or lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and _compare(value, self.values[0], greater=self.operator == "gt")

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin" if len(self.values) == 1:
                return f"{self.key}{'=' if self.operator == 'in' else '!='}{self.values[0]}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case _:
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"


def _compare(value: str, limit: str, *, greater: bool) -> bool:
    try:
        left, right = int(value), int(limit)
    except ValueError:
        return False
    return left > right if greater else left < right


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of its requirements. Without any it matches everything; `nothing` matches no object at all."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def matches_everything(self) -> bool:
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING: Final = LabelSelector()
NOTHING: Final = LabelSelector(nothing=True)


def parse_labels(text: str) -> LabelSelector:
    """The text form: `app=web,tier in (a,b),!canary,gen>3`. Raises BadRequest."""
    if len(text) > SELECTOR_CHARACTERS:
        raise BadRequest("unable to parse requirement: the selector is too long")
    return LabelSelector(tuple(_Parser(text).requirements()))


def from_map(labels: Mapping[str, str] | None) -> LabelSelector:
    """The map form, as in a Service: equality on every label; an empty one matches nothing, as in Service."""
    if not labels:
        return NOTHING
    return LabelSelector(tuple(Requirement(key, "in", (value,)) for key, value in sorted(labels.items())))


_OBJECT_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_NODE_OPERATORS: Final = _OBJECT_OPERATORS | {"Gt": "gt", "Lt": "lt"}


def from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A `metav1.LabelSelector`: None matches nothing, an empty one everything. Raises BadRequest."""
    if selector is None:
        return NOTHING
    by_label = selector.get("matchLabels") or {}
    requirements = [Requirement(key, "in", (value,)) for key, value in sorted(by_label.items())]
    requirements += [_from_expression(entry, _OBJECT_OPERATORS) for entry in selector.get("matchExpressions") or []]
    return LabelSelector(tuple(requirements))


def from_node_expressions(expressions: list[dict[str, Any]] | None) -> LabelSelector:
    """`matchExpressions` of a node selector term, which also knows Gt and Lt. An empty list matches nothing."""
    if not expressions:
        return NOTHING
    return LabelSelector(tuple(_from_expression(entry, _NODE_OPERATORS) for entry in expressions))


def _from_expression(entry: Mapping[str, Any], operators: Mapping[str, str]) -> Requirement:
    operator = operators.get(entry.get("operator", ""))
    if operator is None:
        raise BadRequest(f'"{entry.get("operator", "")}" is not a valid label selector operator')
    values = tuple(entry.get("values") or ())
    if operator in ("in", "notin") and not values:
        raise BadRequest("for 'in', 'notin' operators, values set can't be empty")
    if operator in ("gt", "lt") and len(values) != 1:
        raise BadRequest("for 'Gt', 'Lt' operators, exactly one value is required")
    return Requirement(str(entry.get("key", "")), operator, values)


_NO_NAMES: Final = frozenset({"=", "==", "!=", "<", ">", "(", ")", ","})
"""Tokens that are neither a key or a value nor the `!` before a key."""


class _Parser:
    """A recursive-descent reader of the text form; one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._tokenise(text)
        self._at = 0

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        if not self._tokens:
            return found
        if self._peek() in _NO_NAMES:
            raise BadRequest(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
        while True:
            try:
                found.append(self._requirement())
            except BadRequest as error:
                raise BadRequest(f"unable to parse requirement: {error.message}") from error
            separator = self._next()
            if separator == "":
                return found
            if separator != ",":
                raise BadRequest(f"found '{separator}', expected: ',' or 'end of string'")
            if (after := self._peek() or "") == "" or after in _NO_NAMES:
                raise BadRequest(f"found '{after}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            return Requirement(self._key(), "!")
        key = self._key()
        token = self._peek()
        if token in (None, ","):
            return Requirement(key, "exists")
        operator = self._next()
        match operator:
            case "=" | "==":
                return Requirement(key, "in", (self._value(key),))
            case "!=":
                return Requirement(key, "notin", (self._value(key),))
            case ">" | "<":
                return Requirement(key, "gt" if operator == ">" else "lt", (self._number(key),))
            case "in" | "notin":
                return Requirement(key, operator, self._values(key))
            case _:
                raise BadRequest(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _key(self) -> str:
        token = self._next()
        if token == "" or token == "!" or token in _NO_NAMES:
            raise BadRequest(f"found '{token}', expected: identifier")
        if problems := names.qualified_name(token):
            raise BadRequest(f'key: Invalid value: "{token}": {"; ".join(problems)}')
        return token

    def _value(self, key: str) -> str:
        token = self._peek()
        if token is None or token == ",":
            return ""
        if token == "!" or token in _NO_NAMES:
            raise BadRequest(f"found '{token}', expected: identifier")
        self._next()
        return self._checked(key, token)

    def _number(self, key: str) -> str:
        value = self._value(key)
        if re.fullmatch(r"[+-]?\d{1,19}", value, re.ASCII) is None:
            raise BadRequest(
                f"values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            )
        return value

    def _values(self, key: str) -> tuple[str, ...]:
        if (token := self._next()) != "(":
            raise BadRequest(f"found '{token}' expected: '('")
        found: list[str] = []
        while True:
            value = self._peek() or ""
            if value in (",", ")"):
                found.append("")
            elif value == "" or value == "!" or value in _NO_NAMES:
                wanted = "',', or identifier" if found else "',', ')' or identifier"
                raise BadRequest(f"found '{value}', expected: {wanted}")
            else:
                found.append(self._value(key))
            closing = self._next()
            if closing == ")":
                return tuple(dict.fromkeys(found))
            if closing != ",":
                raise BadRequest(f"found '{closing}', expected: ',' or ')'")

    def _checked(self, key: str, value: str) -> str:
        if problems := names.label_value(value):
            raise BadRequest(f'values[0][{key}]: Invalid value: "{value}": {"; ".join(problems)}')
        return value

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        """The token at hand, which is used up; empty at the end of the text."""
        token = self._peek() or ""
        self._at += 1
        return token

    @staticmethod
    def _tokenise(text: str) -> list[str]:
        tokens: list[str] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:  # only a stray control character gets here
                raise BadRequest(f"unable to parse requirement: found '{text[position]}', expected: identifier")
            tokens.append(match.group(1) or match.group(2))
            position = match.end()
        return tokens


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Equality and inequality on named fields; all must hold."""

    terms: tuple[tuple[str, bool, str], ...] = ()
    """(field, wanted equal, value)"""

    def matches(self, obj: Object) -> bool:
        return all((field_value(obj, field) == value) is equal for field, equal, value in self.terms)

    def exact(self, field: str) -> str | None:
        """The value that `field` must equal, if the selector says so: lets the server read one object or an index."""
        for name, equal, value in self.terms:
            if name == field and equal:
                return value
        return None

    def __str__(self) -> str:
        return ",".join(f"{field}{'=' if equal else '!='}{_escape(value)}" for field, equal, value in self.terms)


def field_value(obj: Object, path: str) -> str:
    """The field as selectors see it: missing is empty, booleans are `true` and `false`."""
    value: Any = obj
    for part in _ALIASES.get(path, path).split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return _DEFAULTS.get(path, "")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_DEFAULTS: Final[Mapping[str, str]] = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "spec.schedulerName": "default-scheduler",
}
"""What a field that is absent counts as, where that is not the empty text."""
_ALIASES: Final[Mapping[str, str]] = {"source": "source.component"}

_METADATA_FIELDS: Final = frozenset({"metadata.name", "metadata.namespace"})
_INVOLVED: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIELDS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("", "Pod"): frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        }
    ),
    ("", "Node"): frozenset({"spec.unschedulable"}),
    ("", "Namespace"): frozenset({"status.phase"}),
    ("", "Secret"): frozenset({"type"}),
    ("", "Service"): frozenset({"spec.clusterIP", "spec.type"}),
    ("apps", "ReplicaSet"): frozenset({"status.replicas"}),
    ("", "Event"): frozenset(
        {f"involvedObject.{field}" for field in _INVOLVED} | {"reason", "type", "source", "reportingComponent"}
    ),
    ("events.k8s.io", "Event"): frozenset(
        {f"regarding.{field}" for field in _INVOLVED} | {"reason", "type", "reportingController"}
    ),
}


def supported_fields(group: str, kind: str) -> frozenset[str]:
    """Fields that a selector on this kind may name."""
    return _METADATA_FIELDS | _FIELDS.get((group, kind), frozenset())


def parse_fields(text: str, *, group: str, kind: str, extra: frozenset[str] = frozenset()) -> FieldSelector:
    """`metadata.name=x,status.phase!=Running`; backslash escapes comma, equals and itself. Raises BadRequest.

    `extra` are further fields that are allowed: a CRD's selectableFields.
    """
    if len(text) > SELECTOR_CHARACTERS:
        raise BadRequest("invalid field selector: too long")
    allowed = supported_fields(group, kind) | extra
    terms: list[tuple[str, bool, str]] = []
    for part in _split(text):
        if not part:
            continue
        match = re.match(r"([^=!]+)(==|!=|=)(.*)", part, re.DOTALL)
        if match is None:
            raise BadRequest(f"invalid selector: '{part}'; can't understand '{part}'")
        field, operator, value = match.groups()
        if field not in allowed:
            raise BadRequest(f"field label not supported: {field}")
        terms.append((field, operator != "!=", _unescape(value)))
    return FieldSelector(tuple(terms))


def _split(text: str) -> list[str]:
    """At commas that no backslash escapes."""
    return [part.strip() for part in re.findall(r"((?:\\.|[^,\\])*)(?:,|$)", text, re.DOTALL)]


def _unescape(value: str) -> str:
    if re.search(r"(?<!\\)(?:\\\\)*\\(?![\\,=])", value) or (value.endswith("\\") and not value.endswith("\\\\")):
        raise BadRequest(f"invalid field selector: invalid escape sequence in {value!r}")
    return re.sub(r"\\([\\,=])", r"\1", value)


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)
