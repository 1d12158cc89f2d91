"""The grammars of names, labels and annotations, and Kubernetes' words for breaking them.

In: text. Out: a list of complaints, empty when the text is fine. Validation joins them to field paths; the rules are
those of RFC 1123, RFC 1035 and the Kubernetes API conventions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

LABEL_LENGTH: Final = 63
SUBDOMAIN_LENGTH: Final = 253
ANNOTATIONS_BYTES: Final = 256 * 1024

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_ENV: Final = re.compile(r"[ -<>-~]+", re.ASCII)
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+", re.ASCII)
_PORT: Final = re.compile(r"[-a-z0-9]+", re.ASCII)

_LABEL_WORDS: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_1035_WORDS: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_WORDS: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_QUALIFIED_WORDS: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_WORDS: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def dns_label(text: str) -> list[str]:
    """RFC 1123 label: namespaces, containers, volumes."""
    return _match(text, LABEL_LENGTH, _LABEL, _LABEL_WORDS)


def dns_1035_label(text: str) -> list[str]:
    """RFC 1035 label: services."""
    return _match(text, LABEL_LENGTH, _LABEL_1035, _LABEL_1035_WORDS)


def dns_subdomain(text: str) -> list[str]:
    """RFC 1123 subdomain: nearly every object."""
    return _match(text, SUBDOMAIN_LENGTH, _SUBDOMAIN, _SUBDOMAIN_WORDS)


def qualified_name(text: str) -> list[str]:
    """`name` or `prefix/name`: keys of labels and annotations, resources, conditions."""
    prefix, slash, last = text.rpartition("/")
    problems: list[str] = []
    if slash:
        if "/" in prefix:
            words = _QUALIFIED_WORDS.removeprefix("name part ")
            return [
                f"a qualified name {words} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ]
        if not prefix:
            problems.append("prefix part must be non-empty")
        else:
            problems += [f"prefix part {words}" for words in dns_subdomain(prefix)]
    if not last:
        problems.append("name part must be non-empty")
    elif len(last) > LABEL_LENGTH:
        problems.append(f"name part {too_long(LABEL_LENGTH)}")
    if _QUALIFIED.fullmatch(last) is None:
        problems.append(_QUALIFIED_WORDS)
    return problems


def label_value(text: str) -> list[str]:
    problems = [too_long(LABEL_LENGTH)] if len(text) > LABEL_LENGTH else []
    if text and _QUALIFIED.fullmatch(text) is None:
        problems.append(_VALUE_WORDS)
    return problems


def env_name(text: str) -> list[str]:
    if _ENV.fullmatch(text) is None:
        return [
            "a valid environment variable name must consist only of printable ASCII characters other than '=' "
            "(e.g. 'MY_ENV')"
        ]
    return []


def config_key(text: str) -> list[str]:
    """Keys of config maps and secrets, which become file names."""
    problems = [too_long(SUBDOMAIN_LENGTH)] if len(text) > SUBDOMAIN_LENGTH else []
    if _CONFIG_KEY.fullmatch(text) is None:
        problems.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )
    if text == ".":
        problems.append("must not be '.'")
    elif text == "..":
        problems.append("must not be '..'")
    elif text.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def port_name(text: str) -> list[str]:
    """IANA service name: named container ports."""
    problems: list[str] = []
    if len(text) > 15:
        problems.append("must be no more than 15 characters")
    if _PORT.fullmatch(text) is None:
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any(character.isalpha() for character in text):
        problems.append("must contain at least one letter (a-z)")
    if "--" in text:
        problems.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def annotations_bytes(annotations: Mapping[str, str]) -> int:
    """What Kubernetes counts against the 256 KiB that annotations may take together."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())


def _match(text: str, limit: int, pattern: re.Pattern[str], words: str) -> list[str]:
    problems = [too_long(limit)] if len(text) > limit else []
    if pattern.fullmatch(text) is None:
        problems.append(words)
    return problems
