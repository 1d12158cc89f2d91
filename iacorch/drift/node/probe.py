"""What is seen on a node, asked in one SSH round trip. `script` and `parse` are pure; whoever has a session runs it.

In: `Wanted` (what to look at) and whether containers are asked for. Out: `Seen`. Called by `source` of this layer and
of the workload layer. What is read is in `probe.sh`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from iacorch.drift.node.host import Wanted


@dataclass(frozen=True, slots=True)
class SeenFile:
    mode: str
    owner: str
    sha256: str
    changed_at: int = 0


@dataclass(frozen=True, slots=True)
class SeenService:
    active: str = ""
    enabled: str = ""
    stale: bool = False
    """Its unit's file is another one than the one it runs by."""
    frozen: bool = False
    """Its process was stopped by a signal, and does nothing until another one comes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One machine at one moment. `containers` is None where the engine did not answer or was not asked."""

    clock_offset_seconds: float = 0.0
    files: Mapping[str, SeenFile] = field(default_factory=dict)
    folders: Mapping[str, SeenFile] = field(default_factory=dict)
    sockets: Mapping[str, SeenFile] = field(default_factory=dict)
    mounts: tuple[str, ...] = ()
    """Where something is mounted over what bootstrap wrote."""
    services: Mapping[str, SeenService] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Path of a drop-in -> the unit it changes."""
    programs: frozenset[str] = frozenset()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    table_parts: int = 0
    ruleset: tuple[Mapping[str, Any], ...] = ()
    """What `nft` lists, of every table."""
    link_up: bool | None = None
    certificates: Mapping[str, int] = field(default_factory=dict)
    """Path -> when it ends, in Unix seconds; 0 where it cannot be read as one."""
    unfit: frozenset[str] = frozenset()
    """Certificates beside which there is a key that is not theirs."""
    bundle_files: int = 0
    bundle_complete: bool = False
    changed: tuple[str, ...] = ()
    """Files of the bundle that were written to since it was unpacked, or that others than root may write."""
    containers: tuple[Mapping[str, Any], ...] | None = None


def script(wanted: Wanted | None, *, containers: bool) -> str:
    """The shell text to run. Without `wanted` only containers are asked for."""
    look = {
        "UNIT": wanted.unit if wanted else "",
        "FILES": " ".join(wanted.files) if wanted else "",
        "FOLDERS": " ".join([*wanted.folders, *wanted.private]) if wanted else "",
        "SOCKETS": " ".join(wanted.sockets) if wanted else "",
        "SERVICES": " ".join(wanted.services) if wanted else "",
        "PROGRAMS": " ".join(wanted.programs) if wanted else "",
        "SYSCTLS": " ".join(wanted.sysctls) if wanted else "",
        "CERTIFICATES": " ".join(wanted.certificates) if wanted else "",
        "BUNDLE": wanted.bundle if wanted else "",
        "TABLE": wanted.table if wanted else "",
        "LINK": wanted.link if wanted else "",
        "CONTAINERS": "1" if containers else "",
    }
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in look.items())
    return head + resources.files(__package__).joinpath("probe.sh").read_text(encoding="utf-8")


def parse(text: str, *, asked_between: tuple[float, float]) -> Seen:
    """Raises ValueError on an answer that is cut off or not one.

    `asked_between` are our clock's readings before and after: a remote clock inside that span counts as exact.
    """
    lines = [line.partition("=")[::2] for line in text.splitlines() if "=" in line]
    if not lines or lines[-1] != ("end", "1"):
        raise ValueError("the answer is cut off")
    one = dict(lines)

    def every(key: str) -> list[list[str]]:
        return [value.split() for name, value in lines if name == key]

    bundle = one.get("bundle", "").split()
    containers = one.get("containers")
    return Seen(
        clock_offset_seconds=_offset(float(one["clock"]), *asked_between),
        files={" ".join(path): SeenFile(mode, owner, sha, int(at)) for mode, owner, sha, at, *path in every("file")},
        folders={" ".join(path): SeenFile(mode, owner, "") for mode, owner, *path in every("folder")},
        sockets={" ".join(path): SeenFile(mode, owner, "") for mode, owner, *path in every("socket")},
        mounts=tuple(dict.fromkeys(path for path, *_ in every("mount"))),
        services={unit: _service(rest) for unit, *rest in every("service")},
        overrides={path: unit for unit, path in every("override")},
        programs=frozenset(name for name, *_ in every("program")),
        sysctls={key: " ".join(value) for key, *value in every("sysctl")},
        table_parts=sum(int(count[0]) for _, *count in every("table") if count),
        ruleset=tuple(json.loads(one.get("ruleset") or "{}").get("nftables") or ()),
        link_up=next((bool(int(flags, 16) & 1) for _, flags in every("link")), None),
        certificates={path: int(ends[0]) if ends else 0 for path, *ends in every("certificate")},
        unfit=frozenset(path for path, *said in every("certificate") if "unfit" in said),
        bundle_files=int(bundle[1]) if len(bundle) > 1 else 0,
        bundle_complete=bundle[-1:] == ["complete"],
        changed=tuple(" ".join(path) for path in every("changed")),
        containers=None if containers is None else tuple(json.loads(containers)),
    )


def _offset(remote: float, before: float, after: float) -> float:
    return min(0.0, remote - before) or max(0.0, remote - after)


def _service(words: list[str]) -> SeenService:
    """systemd prints the properties in an order of its own; their values tell them apart."""
    active = next((w for w in words if w in _ACTIVE), "")
    enabled = next((w for w in words if w in _ENABLED), "")
    return SeenService(active, enabled, stale="yes" in words, frozen="frozen" in words)


_ACTIVE = frozenset({"active", "inactive", "failed", "activating", "deactivating", "reloading", "maintenance"})
_ENABLED = frozenset(
    ("enabled", "disabled", "static", "masked", "enabled-runtime", "linked", "indirect", "generated", "masked-runtime")
)
