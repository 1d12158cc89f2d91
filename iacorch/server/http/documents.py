"""What is read and is no resource: discovery, OpenAPI, version, health. Made once, as they only change with the kinds.

In: a path and what is accepted. Out: bytes and their content type, or None where there is no such document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from iacorch import __version__
from iacorch.api.catalogue import Catalogue

KUBERNETES_VERSION: Final = ("1", "37")
AGGREGATED: Final = "g=apidiscovery.k8s.io"


@dataclass(frozen=True, slots=True)
class Document:
    body: bytes
    content_type: str = "application/json"
    etag: str = ""


class Documents:
    def __init__(self, kinds: Catalogue) -> None:
        self._kinds = kinds

    def version(self) -> Document:
        major, minor = KUBERNETES_VERSION
        return _json(
            {
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
        )

    def find(self, path: str, accept: str) -> Document | None:
        parts = [part for part in path.split("/") if part]
        match parts:
            case ["api"]:
                return _json({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
            case ["apis"]:
                groups = sorted({group for group, _ in self._kinds.group_versions() if group})
                return _json({"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(g) for g in groups]})
            case ["apis", group] if any(group == known for known, _ in self._kinds.group_versions()):
                return _json({"kind": "APIGroup", "apiVersion": "v1"} | self._group(group))
            case ["api", version]:
                return self._resources("", version)
            case ["apis", group, version]:
                return self._resources(group, version)
        return None

    def _group(self, group: str) -> dict[str, Any]:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version}
            for known, version in self._kinds.group_versions()
            if known == group
        ]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> Document | None:
        kinds = self._kinds.in_group_version(group, version)
        if not kinds:
            return None
        resources: list[dict[str, Any]] = []
        for kind in kinds:
            row: dict[str, Any] = {
                "name": kind.plural,
                "singularName": kind.singular,
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": list(kind.verbs),
            }
            if kind.short_names:
                row["shortNames"] = list(kind.short_names)
            if kind.categories:
                row["categories"] = list(kind.categories)
            resources.append(row)
            for sub in kind.subresources:
                resources.append(
                    {
                        "name": f"{kind.plural}/{sub.name}",
                        "singularName": "",
                        "namespaced": kind.namespaced,
                        "group": sub.group,
                        "version": sub.version,
                        "kind": sub.kind,
                        "verbs": list(sub.verbs),
                    }
                )
        api_version = f"{group}/{version}" if group else version
        return _json(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}
        )


def _json(value: Any) -> Document:
    return Document(orjson.dumps(value))
