"""Settings that people type, checked: pydantic's complaints as InvalidSpec with the field and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from iacorch.infra.machines.errors import InvalidSpec

M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], raw: Mapping[str, Any], *, at: str = "") -> M:
    """The settings as `model`. Raises InvalidSpec for the first thing that is wrong; `at` is put before its name."""
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = at + ".".join(str(part) for part in first["loc"])
        known = ", ".join(model.model_fields)
        if first["type"] == "extra_forbidden":
            raise InvalidSpec(field, "there is no such setting", hint=f"there are {known}") from error
        if first["type"] == "missing":
            raise InvalidSpec(field, "is required") from error
        if first["type"] == "value_error":
            raise InvalidSpec(field, str(first["ctx"]["error"])) from error
        raise InvalidSpec(field, f"{first['msg'].lower()}, found {first['input']!r}") from error
