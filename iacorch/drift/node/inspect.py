"""The node layer: what bootstrap promised against what a machine shows. Pure.

In: `Wanted`, `Seen`, and what Ansible's check mode would change. Out: one `Observation` for each file, service,
program, kernel setting, certificate and rule that bootstrap looks after. All of them are set right by running the
roles again, except for what the agent keeps right itself (`settles`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from iacorch.drift.model import HIDDEN, Field, Key, Layer, Observation, Place, Verdict, mark_of, unknown
from iacorch.drift.node import firewall
from iacorch.drift.node.host import ROOT, Wanted, WantedFile
from iacorch.drift.node.probe import Seen, SeenFile
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339

_ENABLED: Final = ("enabled", "enabled-runtime", "static")


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task that Ansible would carry out: which role it is of, and the difference it names."""

    task: str
    before: str = ""
    after: str = ""


def observe(
    wanted: Wanted, seen: Seen, place: Place, *, now: datetime, tasks: Iterable[TaskChange] | None = None
) -> tuple[Observation, ...]:
    """`tasks` is None where check mode was not run."""
    found = [Observation(_key(wanted, kind, name), *rest) for kind, name, *rest in _everything(wanted, seen, now)]
    if tasks is not None:
        found += _tasks(wanted, tuple(tasks))
    agent = f"the agent of {wanted.name}"
    return tuple(
        Observation(
            o.key,
            o.verdict,
            o.fields,
            o.reason,
            place,
            loses_data=o.key.kind == _FOREIGN,
            settles=agent if o.key.kind in _AGENTS and o.is_drift else "",
        )
        for o in found
    )


def nobody_looks(wanted_name: str, reason: str, place: Place) -> tuple[Observation, ...]:
    """A machine that cannot be entered: all that can be said of it."""
    return (unknown(Key(Layer.NODE, wanted_name, "Host", wanted_name), reason, place),)


_AGENTS: Final = frozenset({"Firewall", "Link", "Sysctl"})
"""What the agent puts back within a minute."""
_FOREIGN: Final = "ForeignRule"
"""Taken out when a person has agreed: nobody knows what it was for."""


def _everything(wanted: Wanted, seen: Seen, now: datetime) -> Iterator[tuple[Any, ...]]:
    for path, file in wanted.files.items():
        yield ("File", path, *_file(file, seen.files.get(path)))
    for path, mode in wanted.folders.items():
        if (folder := seen.folders.get(path)) is not None:
            yield ("File", path, *_folder(mode, folder))
    for path, mode in wanted.private.items():
        if (folder := seen.folders.get(path)) is not None:
            fields = tuple(_open(mode, folder))
            yield "File", path, Verdict.DRIFTED if fields else Verdict.IN_SYNC, fields, ""
    for path, mode in wanted.sockets.items():
        if (socket := seen.sockets.get(path)) is not None:
            yield ("Socket", path, *_socket(mode, socket))
    for path in seen.mounts:
        mark = Field("target", None, path, mark=path)
        yield "Mount", path, Verdict.UNEXPECTED, (mark,), "hides what bootstrap wrote there"
    for unit in wanted.services:
        yield ("Service", unit, *_service(unit, seen))
    for path, unit in seen.overrides.items():
        mark = Field("path", None, path, mark=path)
        yield "File", path, Verdict.UNEXPECTED, (mark,), f"changes {unit} behind bootstrap's back"
    for program in wanted.programs:
        there = program in seen.programs
        yield "Program", program, Verdict.IN_SYNC if there else Verdict.MISSING, (), "" if there else "not installed"
    for key, value in wanted.sysctls.items():
        yield ("Sysctl", key, *_value("value", value, seen.sysctls.get(key)))
    if wanted.table:
        there = seen.table_parts > 0
        yield "Firewall", f"table ip {wanted.table}", Verdict.IN_SYNC if there else Verdict.MISSING, (), ""
    for drop in firewall.drops(seen.ruleset) if wanted.table else ():
        name = f"{drop.family} {drop.table} {drop.chain} {drop.handle}"
        mark = Field("rule", None, drop.words, mark=drop.words)
        yield _FOREIGN, name, Verdict.UNEXPECTED, (mark,), f"drops what pods send: {drop.words}"
    if wanted.link:
        verdict = Verdict.MISSING if seen.link_up is None else Verdict.IN_SYNC
        fields = () if seen.link_up in (None, True) else (Field("up", True, False, mark="down"),)
        yield "Link", wanted.link, Verdict.DRIFTED if fields else verdict, fields, ""
    for path in wanted.certificates:
        yield ("Certificate", path, *_certificate(seen.certificates.get(path), path in seen.unfit, now))
    yield ("Bundle", wanted.bundle, *_bundle(wanted, seen))
    offset = seen.clock_offset_seconds
    off = abs(offset) > limits.CLOCK_OFFSET_SECONDS
    clock = (Field("offsetSeconds", 0, round(offset), mark="off"),) if off else ()
    yield "Clock", "clock", Verdict.DRIFTED if off else Verdict.IN_SYNC, clock, ""


def _file(wanted: WantedFile, seen: SeenFile | None) -> tuple[Verdict, tuple[Field, ...], str]:
    if seen is None:
        return Verdict.MISSING, (), ""
    fields = []
    if wanted.sha256 and wanted.sha256 != seen.sha256:
        # What a file holds is not shown: it may be a token; the report says that and when it changed.
        hidden = wanted.secret
        old, new = (HIDDEN, HIDDEN) if hidden else (f"sha256 {wanted.sha256[:12]}", f"sha256 {seen.sha256[:12]}")
        fields.append(Field("content", old, new, mark=seen.sha256[:12], secret=hidden))
    if wanted.mode != seen.mode:
        fields.append(Field("mode", wanted.mode, seen.mode, mark=seen.mode))
    if wanted.owner and wanted.owner != seen.owner:
        fields.append(Field("owner", wanted.owner, seen.owner, mark=seen.owner))
    return (Verdict.DRIFTED if fields else Verdict.IN_SYNC), tuple(fields), ""


def _folder(most: str, seen: SeenFile) -> tuple[Verdict, tuple[Field, ...], str]:
    """A folder may be closed further than it has to be."""
    fields = _open(most, seen)
    if seen.owner != ROOT:
        fields.append(Field("owner", ROOT, seen.owner, mark=seen.owner))
    return (Verdict.DRIFTED if fields else Verdict.IN_SYNC), tuple(fields), ""


def _socket(most: str, seen: SeenFile) -> tuple[Verdict, tuple[Field, ...], str]:
    fields = _open(most, seen)
    user, _, group = seen.owner.partition(":")
    if user != "root":
        fields.append(Field("owner", f"root:{group}", seen.owner, mark=seen.owner))
    return (Verdict.DRIFTED if fields else Verdict.IN_SYNC), tuple(fields), ""


def _open(most: str, seen: SeenFile) -> list[Field]:
    """Whether its mode allows more than it should."""
    return [Field("mode", most, seen.mode, mark=seen.mode)] if int(seen.mode, 8) & ~int(most, 8) else []


def _service(unit: str, seen: Seen) -> tuple[Verdict, tuple[Field, ...], str]:
    service = seen.services.get(unit)
    if service is None or not service.enabled:
        return Verdict.MISSING, (), "systemd does not know it"
    fields = []
    if service.active != "active":
        fields.append(Field("active", "active", service.active, mark=service.active))
    if service.frozen:
        fields.append(Field("process", "running", "stopped by a signal", mark="frozen"))
    if service.enabled not in _ENABLED:
        fields.append(Field("enabled", "enabled", service.enabled, mark=service.enabled))
    if service.stale:
        fields.append(Field("unit", "the file on disk", "an older version of it, still loaded", mark="stale"))
    return (Verdict.DRIFTED if fields else Verdict.IN_SYNC), tuple(fields), ""


def _value(path: str, wanted: str, seen: str | None) -> tuple[Verdict, tuple[Field, ...], str]:
    if seen == wanted:
        return Verdict.IN_SYNC, (), ""
    return Verdict.DRIFTED, (Field(path, wanted, seen, mark=mark_of(seen)),), ""


def _certificate(ends: int | None, unfit: bool, now: datetime) -> tuple[Verdict, tuple[Field, ...], str]:
    if ends is None:
        return Verdict.MISSING, (), ""
    if not ends:
        return Verdict.DRIFTED, (Field("content", "a certificate", "something else", mark="broken"),), ""
    if unfit:
        return Verdict.DRIFTED, (Field("key", "its own", "another", mark="unfit"),), "the key beside it is another's"
    left = ends - now.timestamp()
    if left > limits.CERTIFICATE_LEFT_SECONDS:
        return Verdict.IN_SYNC, (), ""
    until = rfc3339(datetime.fromtimestamp(ends, now.tzinfo))
    return Verdict.DRIFTED, (Field("ends", "later", until, mark=str(ends)),), "it should have been renewed"


def _bundle(wanted: Wanted, seen: Seen) -> tuple[Verdict, tuple[Field, ...], str]:
    if not seen.bundle_files:
        return Verdict.MISSING, (), "not unpacked"
    fields = [Field(f"files[{path}]", "as unpacked", "changed", mark=path) for path in seen.changed]
    if not seen.bundle_complete:
        fields.append(Field("complete", True, False, mark="partial"))
    if wanted.bundle_files and seen.bundle_files != wanted.bundle_files:
        count = Field("fileCount", wanted.bundle_files, seen.bundle_files, mark=str(seen.bundle_files))
        fields.append(count)
    return (Verdict.DRIFTED if fields else Verdict.IN_SYNC), tuple(fields), ""


def _tasks(wanted: Wanted, tasks: tuple[TaskChange, ...]) -> list[Observation]:
    """What the roles would change, as one resource: the whole that check mode saw."""
    key = _key(wanted, "Roles", wanted.unit)
    fields = tuple(
        Field(t.task, t.after or "done", t.before or "not done: Ansible would do it", mark=t.task) for t in tasks
    )
    return [Observation(key, Verdict.DRIFTED if fields else Verdict.IN_SYNC, fields)]


def _key(wanted: Wanted, kind: str, name: str) -> Key:
    return Key(Layer.NODE, wanted.name, kind, name)


def by_kind(observations: Iterable[Observation]) -> Mapping[str, int]:
    """How many of each kind are wrong; for tests and summaries."""
    found: dict[str, int] = {}
    for o in observations:
        if o.is_drift:
            found[o.key.kind] = found.get(o.key.kind, 0) + 1
    return found
