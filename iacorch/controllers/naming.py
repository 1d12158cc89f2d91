"""Names and hashes of children: the same owner and wish always give the same name.

In: what a name is to follow from (an owner's UID, its version where names must not come again), templates. Out: short
texts in Kubernetes' alphabet for generated names. Creating twice from a stale cache then collides visibly instead of
making two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container
from typing import Any

from iacorch.kit.ids import SAFE_ALPHABET

NAME_CHARACTERS = 63
"""A pod's name is its host name, which is a DNS label."""


def digest(*parts: str, length: int = 5) -> str:
    """`length` characters that look random and are not."""
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:16], "big")
    characters = []
    for _ in range(length):
        number, index = divmod(number, len(SAFE_ALPHABET))
        characters.append(SAFE_ALPHABET[index])
    return "".join(characters)


def template_hash(template: dict[str, Any], collisions: int) -> str:
    """The value of label `pod-template-hash`; `collisions` makes another one when a name was taken."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest(text, str(collisions), length=10)


def child_name(prefix: str, seed: str, index: int) -> str:
    """`<prefix>-<5 characters>`, cut to fit a DNS label."""
    suffix = digest(seed, str(index))
    return f"{prefix[: NAME_CHARACTERS - len(suffix) - 1].rstrip('.-')}-{suffix}"


def free_names(prefix: str, seed: str, *, taken: Container[str], count: int) -> list[str]:
    """The first `count` names, by index, that are not taken."""
    found: list[str] = []
    index = 0
    while len(found) < count:
        name = child_name(prefix, seed, index)
        if name not in taken:
            found.append(name)
        index += 1
    return found
