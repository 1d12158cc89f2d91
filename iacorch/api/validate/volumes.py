"""A pod's volumes: named once, one source each, modes and paths that a file system can have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from iacorch.api import names
from iacorch.api.validate import containers
from iacorch.api.validate.problems import Problems
from iacorch.api.values import quantity

_HOST_TYPES: Final = (
    "DirectoryOrCreate",
    "Directory",
    "FileOrCreate",
    "File",
    "Socket",
    "CharDevice",
    "BlockDevice",
)
_FIELDS: Final = frozenset(
    {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
)
_LARGEST_MODE: Final = 0o777
_MODE_WORDS: Final = "must be a number between 0 and 0777 (octal), both inclusive"


def check(problems: Problems, path: str, volumes: list[dict[str, Any]]) -> None:
    """`spec.volumes` at `path`."""
    problems.unique(path, [(f"{path}[{at}].name", volume.get("name")) for at, volume in enumerate(volumes)])
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        name = volume.get("name", "")
        if not name:
            problems.required(f"{at}.name")
        else:
            problems.each(f"{at}.name", name, names.dns_label(name))
        sources = [field for field in volume if field != "name"]
        if not sources:
            problems.required(at, "must specify a volume type")
        for extra in sources[1:]:
            problems.forbidden(f"{at}.{extra}", "may not specify more than 1 volume type")
        for field in sources[:1]:
            _source(problems, f"{at}.{field}", field, volume[field])


def _source(problems: Problems, path: str, field: str, source: Mapping[str, Any]) -> None:
    match field:
        case "hostPath":
            _relative_steps(problems, f"{path}.path", source.get("path", ""))
            problems.one_of(f"{path}.type", source.get("type"), _HOST_TYPES)
        case "emptyDir":
            if (limit := source.get("sizeLimit")) is not None and quantity.is_negative(limit):
                problems.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
        case "configMap" | "secret" | "downwardAPI" | "projected":
            _mode(problems, f"{path}.defaultMode", source.get("defaultMode"))
            name_field = {"configMap": "name", "secret": "secretName"}.get(field)
            if name_field and not source.get(name_field):
                problems.required(f"{path}.{name_field}")
            elif name_field:
                problems.each(f"{path}.{name_field}", source[name_field], names.dns_subdomain(source[name_field]))
            _items(problems, path, source, downward=field == "downwardAPI")
            for index, inner in enumerate(source.get("sources") or []):
                for kind, projection in inner.items():
                    _items(problems, f"{path}.sources[{index}].{kind}", projection, downward=kind == "downwardAPI")


def _items(problems: Problems, path: str, source: Mapping[str, Any], *, downward: bool) -> None:
    for index, item in enumerate(source.get("items") or []):
        at = f"{path}.items[{index}]"
        _mode(problems, f"{at}.mode", item.get("mode"))
        _inside(problems, f"{at}.path", item.get("path", ""))
        if downward:
            _downward(problems, at, item)


def _downward(problems: Problems, path: str, item: Mapping[str, Any]) -> None:
    field, amount = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is None and amount is None:
        problems.required(path, "one of fieldRef and resourceFieldRef is required")
    if field is not None:
        wanted = field.get("fieldPath", "")
        if amount is not None:
            problems.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        if not wanted:
            problems.required(f"{path}.fieldRef.fieldPath")
        elif wanted not in _FIELDS and not containers.is_keyed(wanted):
            problems.unsupported(f"{path}.fieldRef.fieldPath", wanted, sorted(_FIELDS))
    elif amount is not None:
        containers.resource_field(problems, f"{path}.resourceFieldRef", amount, inside=False)


def _mode(problems: Problems, path: str, mode: int | None) -> None:
    if mode is not None and not 0 <= mode <= _LARGEST_MODE:
        problems.invalid(path, mode, _MODE_WORDS)


def _inside(problems: Problems, path: str, target: str) -> None:
    """A path below the volume's root."""
    if not target:
        problems.required(path)
    elif target.startswith("/"):
        problems.invalid(path, target, "must be a relative path")
    else:
        _relative_steps(problems, path, target)
        if target.startswith(".."):
            problems.invalid(path, target, "must not start with '..'")


def _relative_steps(problems: Problems, path: str, target: str) -> None:
    if not target:
        problems.required(path)
    elif ".." in target.split("/"):
        problems.invalid(path, target, "must not contain '..'")
