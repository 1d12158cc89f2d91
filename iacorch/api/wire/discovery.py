"""Discovery: which kinds a server has, in both forms clients ask for.

In: a catalogue. Out: the documents of /api, /apis, /apis/GROUP and of each group and version, and the aggregated form
(`apidiscovery.k8s.io/v2`) that kubectl asks for first. Pure, so the server can keep the bytes until the catalogue
changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iacorch.api.catalogue import Catalogue, Kind, Subresource
from iacorch.api.objects import Object


def api_versions(server_address: str) -> Object:
    """/api"""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def api_group_list(catalogue: Catalogue) -> Object:
    """/apis"""
    groups = [_group(group, versions) for group, versions in _groups(catalogue) if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(catalogue: Catalogue, group: str) -> Object | None:
    """/apis/GROUP; None if there is no such group."""
    versions = dict(_groups(catalogue)).get(group) if group else None
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group, versions) if versions else None


def api_resource_list(catalogue: Catalogue, group: str, version: str) -> Object | None:
    """/api/v1 and /apis/GROUP/VERSION; None if there is no such version."""
    kinds = catalogue.in_group_version(group, version)
    if not kinds:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [entry for kind in kinds for entry in _resources(kind)],
    }


def aggregated(catalogue: Catalogue, *, core: bool) -> Object:
    """/api (core) or /apis as an APIGroupDiscoveryList of apidiscovery.k8s.io/v2."""
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "freshness": "Current",
                    "resources": [_aggregated_kind(kind) for kind in catalogue.in_group_version(group, version)],
                }
                for version in versions
            ],
        }
        for group, versions in _groups(catalogue)
        if bool(group) is not core
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _groups(catalogue: Catalogue) -> Iterator[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for group, version in catalogue.group_versions():
        found.setdefault(group, []).append(version)
    yield from found.items()


def _group(group: str, versions: list[str]) -> Object:
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def _resources(kind: Kind) -> Iterator[Object]:
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
    yield row
    for sub in kind.subresources:
        entry: dict[str, Any] = {
            "name": f"{kind.plural}/{sub.name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": sub.kind,
            "verbs": list(sub.verbs),
        }
        if (sub.group, sub.version) != (kind.group, kind.version):
            entry |= {"group": sub.group, "version": sub.version}
        yield entry


def _aggregated_kind(kind: Kind) -> Object:
    row: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        row["shortNames"] = list(kind.short_names)
    if kind.categories:
        row["categories"] = list(kind.categories)
    if kind.subresources:
        row["subresources"] = [_aggregated_subresource(sub) for sub in kind.subresources]
    return row


def _aggregated_subresource(sub: Subresource) -> Object:
    return {
        "subresource": sub.name,
        "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
        "verbs": list(sub.verbs),
    }
