"""Pods come in copies of one template: what is worked out for one holds for all of them.

In: a pure function of a pod spec's JSON. Out: the same function of the spec, which answers from memory where it was
asked about an equal one lately. `defaults` and `validate` use it: both look at nothing but the spec, and together they
are most of what a create costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from iacorch.kit import limits

T = TypeVar("T")


def once_a_template(work: Callable[[bytes], T]) -> Callable[[Mapping[str, Any]], T]:
    """For results that nobody changes. Huge specs are not kept, as many of them would fill the memory."""
    known = lru_cache(maxsize=limits.TEMPLATES)(work)

    def answer(spec: Mapping[str, Any]) -> T:
        text = orjson.dumps(spec)
        return known(text) if len(text) <= limits.TEMPLATE_BYTES else work(text)

    return answer
