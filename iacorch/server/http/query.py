"""Options as the query string gives them. Pure.

In: the query's parameters. Out: `ReadOptions`, `WriteOptions`, `DeleteOptions`. Raises BadRequest in Kubernetes' words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from iacorch.errors import BadRequest
from iacorch.server.request import DeleteOptions, FieldValidation, ReadOptions, WriteOptions


def read_options(query: Mapping[str, str]) -> ReadOptions:
    return ReadOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        limit=_integer(query, "limit") or 0,
        continue_token=query.get("continue", ""),
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
        bookmarks=is_true(query.get("allowWatchBookmarks", "")),
        send_initial_events=is_true(query.get("sendInitialEvents", "")),
    )


_PLAIN_WRITE: Final = WriteOptions()


def write_options(query: Mapping[str, str]) -> WriteOptions:
    if not query:
        return _PLAIN_WRITE
    validation = query.get("fieldValidation", "") or "Warn"
    field_validation: FieldValidation
    match validation:
        case "Strict" | "Warn" | "Ignore":
            field_validation = validation
        case _:
            raise BadRequest(
                f'fieldValidation: Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
            )
    return WriteOptions(
        _dry_run(query), query.get("fieldManager", ""), field_validation, is_true(query.get("force", ""))
    )


def delete_options(query: Mapping[str, str], body: Mapping[str, Any] | None) -> DeleteOptions:
    """From the body if there is one, and from the query where the body is silent."""
    given = DeleteOptions.from_body(body or {})
    grace = given.grace_seconds
    return DeleteOptions(
        given.uid,
        given.resource_version,
        grace if grace is not None else _integer(query, "gracePeriodSeconds"),
        given.propagation or query.get("propagationPolicy", ""),
        given.dry_run or _dry_run(query),
    )


def timeout_seconds(query: Mapping[str, str]) -> int | None:
    return _integer(query, "timeoutSeconds")


def is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


def _dry_run(query: Mapping[str, str]) -> bool:
    value = query.get("dryRun", "")
    if value not in ("", "All"):
        raise BadRequest(f'dryRun: Unsupported value: "{value}": supported values: "All"')
    return bool(value)


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax ({name})') from error
