"""Lists in pages: which revision is asked for, where a page goes on, and what matches.

In: the store and a list's options. Out: `Listing`, with the stored bytes of each match. A continue token carries the
revision of the first page, so that all pages agree with each other.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import orjson

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.errors import BadRequest, Compacted, FutureRevision, Gone
from iacorch.server.objects.storage import ObjectStore, Stored, too_large, too_old
from iacorch.server.request import ReadOptions, Target
from iacorch.store.contract import Revision


@dataclass(frozen=True, slots=True)
class Listing:
    """Items in key order as of `revision`; `continue_token` is empty on the last page."""

    kind: Kind
    items: tuple[Stored, ...]
    revision: int
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list or watch is narrowed to."""

    labels: selectors.LabelSelector
    fields: selectors.FieldSelector
    name: str = ""

    @property
    def matches_everything(self) -> bool:
        return not self.name and self.labels.matches_everything and not self.fields.terms

    def matches(self, obj: Object) -> bool:
        if self.name and objects.name(obj) != self.name:
            return False
        return self.labels.matches(objects.labels(obj)) and self.fields.matches(obj)


def parse_filter(target: Target, options: ReadOptions) -> Filter:
    """Raises BadRequest in Kubernetes' words."""
    kind = target.kind
    return Filter(
        selectors.parse_labels(options.label_selector),
        selectors.parse_fields(options.field_selector, group=kind.group, kind=kind.kind),
        target.name,
    )


async def list_objects(storage: ObjectStore, target: Target, options: ReadOptions) -> Listing:
    """One page, or everything when there is no limit. Raises BadRequest, Gone, Timeout."""
    wanted = parse_filter(target, options)
    at, after = _position(options)
    if options.limit < 0:
        raise BadRequest("limit must not be negative")
    prefix = storage.prefix(target.kind, target.namespace)
    found: list[Stored] = []
    revision = at
    while True:
        step = options.limit - len(found) if options.limit else 0
        try:
            page = await storage.store.range(prefix, after=after, limit=step, at=revision)
        except Compacted as error:
            raise _expired(error, options) from error
        except FutureRevision as error:
            raise too_large(error) from error
        revision = page.revision
        for entry in page.entries:
            stored = storage.opened(target.kind, entry)
            if wanted.matches_everything or wanted.matches(stored.decode()):
                found.append(stored)
        if page.entries:
            after = page.entries[-1].key
        if not page.more or (options.limit and len(found) >= options.limit):
            break
    _check_not_older(storage, options)
    token = _token(revision, after) if page.more else ""
    return Listing(target.kind, tuple(found), revision, token)


def parse_revision(text: str) -> Revision | None:
    """A resource version as clients send it; None for "" and "0". Raises BadRequest."""
    if text in ("", "0"):
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise BadRequest(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return Revision(int(text))


def _position(options: ReadOptions) -> tuple[Revision | None, bytes]:
    match = options.resource_version_match
    if match not in ("", "Exact", "NotOlderThan"):
        raise BadRequest(
            f'resourceVersionMatch: Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
        )
    if match and not options.resource_version and not options.send_initial_events:
        raise BadRequest(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        )
    if options.continue_token:
        if options.resource_version not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
        return _parse_token(options.continue_token)
    asked = parse_revision(options.resource_version)
    if match == "Exact":
        if asked is None:
            raise BadRequest(
                'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            )
        return asked, b""
    return None, b""


def _check_not_older(storage: ObjectStore, options: ReadOptions) -> None:
    asked = parse_revision(options.resource_version)
    current = storage.store.revision
    if asked is not None and asked > current:
        raise too_large(FutureRevision(asked=asked, current=current))


def _expired(error: Compacted, options: ReadOptions) -> Gone:
    if not options.continue_token:
        return too_old(error)
    return Gone(
        "The provided continue parameter is too old to display a consistent list result. You must start a new list "
        "without the continue parameter."
    )


def _token(revision: int, after: bytes) -> str:
    body = orjson.dumps({"v": 1, "rv": revision, "after": after.decode()})
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _parse_token(token: str) -> tuple[Revision, bytes]:
    try:
        body = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return Revision(int(body["rv"])), str(body["after"]).encode()
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BadRequest("continue key is not valid: it was not made by this server") from error
