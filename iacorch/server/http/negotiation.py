"""What was sent and what is wanted back: content types in, formats out. Pure.

In: Accept and Content-Type headers, body bytes. Out: an `Answer` format, or the body as a dict. Bodies are JSON, YAML
or Kubernetes protobuf; answers are JSON or YAML, whole, as a Table, or as metadata only.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import orjson
import yaml

from iacorch.api.wire import protobuf
from iacorch.errors import BadRequest, NotAcceptable, UnsupportedMedia
from iacorch.kit import limits

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
TABLE: Final = "Table"
PARTIAL: Final = "PartialObjectMetadata"
PARTIAL_LIST: Final = "PartialObjectMetadataList"

Encoding = Literal["json", "yaml"]


@dataclass(frozen=True, slots=True)
class Answer:
    """How to write an answer. `shape` is "" for the object itself, or what `;as=` asks for."""

    encoding: Encoding = "json"
    shape: str = ""
    version: str = "v1"
    pretty: bool = False

    @property
    def content_type(self) -> str:
        return JSON if self.encoding == "json" else YAML

    @property
    def is_plain(self) -> bool:
        """JSON of the whole object: what is stored, byte for byte."""
        return self.encoding == "json" and not self.shape and not self.pretty


@lru_cache(maxsize=256)
def wanted(accept: str) -> Answer:
    """The first format in the Accept header that can be given. Raises NotAcceptable."""
    if not accept or accept == "*/*":
        return Answer()
    for media, parameters in _media_ranges(accept):
        if media in (JSON, "application/*", "*/*", "text/*"):
            encoding: Encoding = "json"
        elif media in (YAML, "application/x-yaml", "text/yaml"):
            encoding = "yaml"
        else:
            continue
        shape = parameters.get("as", "")
        if shape and (shape not in (TABLE, PARTIAL, PARTIAL_LIST) or parameters.get("g") != "meta.k8s.io"):
            continue
        return Answer(encoding, shape, parameters.get("v", "v1"))
    raise NotAcceptable("only the following media types are accepted: application/json, application/yaml")


def _media_ranges(accept: str) -> list[tuple[str, dict[str, str]]]:
    found = []
    for index, part in enumerate(accept.split(",")):
        media, *rest = (piece.strip() for piece in part.split(";"))
        parameters = dict(piece.split("=", 1) for piece in rest if "=" in piece)
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        found.append((-quality, index, media.lower(), parameters))
    return [(media, parameters) for _, _, media, parameters in sorted(found, key=lambda entry: entry[:2])]


@lru_cache(maxsize=256)
def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_body(body: bytes, content_type: str) -> dict[str, Any]:
    """The object in a request's body. Raises BadRequest, UnsupportedMedia."""
    value = read_value(body, content_type)
    if not isinstance(value, dict):
        raise BadRequest(f"the body of the request must be an object, not {_json_type(value)}")
    return value


def read_value(body: bytes, content_type: str) -> Any:
    media = media_type(content_type)
    if body.startswith(protobuf.MAGIC) or media == PROTOBUF:
        return protobuf.decode(body)
    if media in (YAML, "application/x-yaml", "text/yaml", "application/apply-patch+yaml"):
        return _yaml(body)
    if media in ("", JSON) or media.endswith("+json"):
        return _json(body)
    raise UnsupportedMedia(
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, {PROTOBUF}"
    )


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"couldn't decode the body: json: {error}") from error


def _yaml(body: bytes) -> Any:
    if body.startswith(b"{"):
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(body)  # what programs send; flow style YAML goes on below
    try:
        _check_depth(body)
        value = yaml.load(body, Loader=_LOADER)
        _check_size(value)
        orjson.dumps(value)
    except (yaml.YAMLError, orjson.JSONEncodeError, RecursionError) as error:
        raise BadRequest(f"couldn't decode the body: yaml: {error}") from error
    return value


def _check_depth(body: bytes) -> None:
    """The library composes values by recursion, in C, and deep ones end the process: count before it does."""
    depth = 0
    for event in yaml.parse(body, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > limits.YAML_DEPTH:
                raise BadRequest(f"couldn't decode the body: yaml: nested more than {limits.YAML_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_size(value: Any) -> None:
    """Aliases make a small text stand for a huge value, or an endless one: count before anybody walks it."""
    ahead, seen = [value], 0
    while ahead:
        entry = ahead.pop()
        seen += 1
        if seen > limits.YAML_VALUES:
            raise BadRequest("couldn't decode the body: yaml: document contains excessive aliasing")
        if isinstance(entry, dict):
            ahead.extend(entry.values())
        elif isinstance(entry, list):
            ahead.extend(entry)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as Kubernetes reads it: timestamps stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_LOADER: Final = _Loader


def write(value: Any, answer: Answer) -> bytes:
    """The answer's bytes."""
    if answer.encoding == "yaml":
        return yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=True).encode()
    if answer.pretty:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
    return names.get(type(value), "null")
