"""What a URL path names: a resource, a document, or nothing. Pure.

In: a path. Out: `ResourcePath`, or None where the path is not under a group and version. Grammar:
`/api/v1` or `/apis/GROUP/VERSION`, then `[/namespaces/NS]/PLURAL[/NAME[/SUBRESOURCE]]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class ResourcePath:
    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str


@lru_cache(maxsize=1024)
def parse(path: str) -> ResourcePath | None:
    """The path as it stands in the request line, still percent-encoded."""
    parts = [unquote(part) for part in path.split("/") if part]
    if not parts:
        return None
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    return ResourcePath(group, version, namespace, plural, name, subresource)
