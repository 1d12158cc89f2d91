"""What is read and is no resource: discovery, OpenAPI, version. Each is made when first asked for, and kept.

In: a path and what is accepted. Out: bytes, their content type and their hash, or None where there is no such document.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson

from iacorch import __version__
from iacorch.api.catalogue import Catalogue
from iacorch.api.wire import discovery, openapi

KUBERNETES_VERSION: Final = ("1", "37")
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_EMPTY_SWAGGER: Final = b"\x0a\x032.0\x12\x12\x0a\x07iacorch\x12\x07v1.37.0\x42\x00"
"""OpenAPI v2 as protobuf, with no definitions: kubectl asks for it when a kind is in no v3 document, and only then says
that the kind is unknown."""


@dataclass(frozen=True, slots=True)
class Document:
    body: bytes
    content_type: str = "application/json"

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32].upper()


class Documents:
    """Of one catalogue of kinds."""

    def __init__(self, kinds: Catalogue) -> None:
        self._kinds = kinds
        self._made: dict[tuple[str, bool], Document | None] = {}

    def version(self) -> Document:
        major, minor = KUBERNETES_VERSION
        facts = {
            "major": major,
            "minor": minor,
            "gitVersion": f"v{major}.{minor}.0+iacorch-{__version__}",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "cpython",
            "platform": "linux/amd64",
        }
        return Document(orjson.dumps(facts))

    def find(self, path: str, accept: str) -> Document | None:
        """The document at a path, in the form that is accepted."""
        aggregated = path in ("/api", "/apis") and _wants_aggregated(accept)
        key = (path, aggregated)
        if key not in self._made:
            made = self._make(path.strip("/").split("/"), aggregated=aggregated)
            if made is None:
                return None  # not kept: there is no end of paths that do not exist
            self._made[key] = made
        return self._made[key]

    def _make(self, parts: list[str], *, aggregated: bool) -> Document | None:
        kinds = self._kinds
        match parts:
            case ["api"] if aggregated:
                return _json(discovery.aggregated(kinds, core=True), AGGREGATED)
            case ["apis"] if aggregated:
                return _json(discovery.aggregated(kinds, core=False), AGGREGATED)
            case ["api"]:
                return _json(discovery.api_versions(""))
            case ["apis"]:
                return _json(discovery.api_group_list(kinds))
            case ["apis", group]:
                return _json(discovery.api_group(kinds, group))
            case ["api", version]:
                return _json(discovery.api_resource_list(kinds, "", version))
            case ["apis", group, version]:
                return _json(discovery.api_resource_list(kinds, group, version))
            case ["openapi", "v3"]:
                return _json(openapi.index(kinds, self._hashes()))
            case ["openapi", "v3", "api", version] if kinds.in_group_version("", version):
                return _json(openapi.document(kinds, "", version))
            case ["openapi", "v3", "apis", group, version] if kinds.in_group_version(group, version):
                return _json(openapi.document(kinds, group, version))
            case ["openapi", "v2"]:
                return Document(_EMPTY_SWAGGER, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
            case [""]:
                return _json(
                    {"paths": ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version"]}
                )
        return None

    def _hashes(self) -> dict[str, str]:
        paths = [openapi.path_of(group, version) for group, version in self._kinds.group_versions()]
        found = {path: self.find(f"/openapi/v3/{path}", "") for path in paths}
        return {path: document.etag for path, document in found.items() if document is not None}


def _wants_aggregated(accept: str) -> bool:
    """Whether the first form that this server has is the aggregated one."""
    for part in accept.replace(" ", "").split(","):
        if "as=APIGroupDiscoveryList" in part and "g=apidiscovery.k8s.io" in part and "v=v2" in part.split(";"):
            return part.startswith("application/json")
        if part.startswith(("application/json", "*/*")) and "as=" not in part:
            return False
    return False


def _json(value: Any, content_type: str = "application/json") -> Document | None:
    return Document(orjson.dumps(value), content_type) if value is not None else None
