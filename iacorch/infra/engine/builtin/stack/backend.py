"""Where stacks are kept: Pulumi's `file://` layout, so that its CLI finds the same stacks.

    .pulumi/meta.yaml                                      version of the layout
    .pulumi/stacks/PROJECT/STACK.json                      the state; STACK.json.bak the one before this update
    .pulumi/history/PROJECT/STACK/STACK-NANOS.*.json       one entry and one copy of the state per update
    .pulumi/backups/PROJECT/STACK/STACK.NANOS.json         the state before each update

A write is whole or not at all (`files.py`). Who may write is in `locks.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from iacorch.infra.engine.builtin.stack.files import remove, sweep, write
from iacorch.infra.engine.builtin.stack.locks import Locks
from iacorch.infra.engine.contract import HistoryEntry, StackRef
from iacorch.infra.engine.errors import ProjectInvalid, StackExists, StackMissing, StateBroken, Unsupported
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.text import did_you_mean

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_EMPTY: Final = b'{"version":3,"checkpoint":{"stack":%s,"latest":null}}\n'


def open_backend(ref: StackRef, project: str, clock: Clock, ids: Ids) -> Backend:
    """The backend of a reference; only `file://` is known."""
    scheme, separator, rest = ref.backend_url.partition("://")
    if not separator or scheme != "file":
        raise Unsupported(f"the backend {ref.backend_url!r}; it knows file:// only")
    if not _NAME.fullmatch(ref.stack):
        raise ProjectInvalid(f"{ref.stack!r} cannot be a stack's name: letters, digits, `-`, `_` and `.` only")
    root = Path(rest).expanduser()
    return Backend(root if root.is_absolute() else ref.work_dir / root, project, ref.stack, clock, ids)


class Backend:
    """The files of one stack."""

    def __init__(self, root: Path, project: str, stack: str, clock: Clock, ids: Ids) -> None:
        self._dot = root / ".pulumi"
        self._project, self._stack = project, stack
        self._clock = clock
        self.path = self._dot / "stacks" / project / f"{stack}.json"
        self._history = self._dot / "history" / project / stack
        self._backups = self._dot / "backups" / project / stack
        self.locks = Locks(self._dot, project, stack, clock, ids)

    def stacks(self) -> tuple[str, ...]:
        return tuple(sorted(path.stem for path in self.path.parent.glob("*.json")))

    def create(self) -> None:
        """Make an empty stack."""
        if self.path.exists():
            raise StackExists(f"the stack {self._stack} exists already, in {self.path}")
        meta = self._dot / "meta.yaml"
        if not meta.exists():
            write(meta, b"version: 1\n")
        name = orjson.dumps(f"organization/{self._project}/{self._stack}")
        write(self.path, _EMPTY % name)

    def remove(self) -> None:
        """Forget the stack; its history stays."""
        self.read()
        for path in (self.path.with_suffix(".json.bak"), self.path):
            remove(path)

    def read(self) -> bytes:
        for packed in (".gz", ".zst"):
            if self.path.with_suffix(f".json{packed}").exists():
                raise Unsupported("compressed state files", where=str(self.path) + packed)
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            raise StackMissing(
                f"no stack {self._stack} of project {self._project} in {self.path.parent}",
                hint=self._hint(),
            ) from None
        except OSError as error:
            raise StateBroken(f"the state file {self.path} cannot be read: {error.strerror}") from error

    def _hint(self) -> str:
        """A name that was mistyped is likelier than a stack that was forgotten."""
        make = f"make it with: iacorch stack init {self._stack}"
        means = did_you_mean(self._stack, self.stacks())
        return f"{means}{'' if means.endswith('?') else ';'} or {make}" if means else make

    def write(self, data: bytes) -> None:
        """Replace the state, durably. Called from a thread."""
        write(self.path, data)

    def back_up(self, data: bytes) -> None:
        """Keep the state from before an update, beside it and under its time. For whoever holds the lock."""
        sweep(self.path)
        nanos = self._nanos()
        write(self.path.with_suffix(".json.bak"), data)
        write(self._backups / f"{self._stack}.{nanos}.json", data)
        for old in sorted(self._backups.glob("*.json"))[: -limits.ENGINE_BACKUPS]:
            old.unlink(missing_ok=True)

    def add_history(
        self, *, kind: str, result: str, message: str, started: datetime, changes: Mapping[str, int],
        config: Mapping[str, Any],
    ) -> None:  # fmt: skip
        entry = {
            "kind": kind,
            "startTime": int(started.timestamp()),
            "message": message,
            "environment": {"exec.kind": "iacorch"},
            "config": config,
            "version": 0,
            "result": result,
            "endTime": int(self._clock.now().timestamp()),
            "resourceChanges": changes,
        }
        stem = f"{self._stack}-{self._nanos()}"
        write(self._history / f"{stem}.history.json", orjson.dumps(entry, option=orjson.OPT_INDENT_2))
        with suppress(StackMissing):
            write(self._history / f"{stem}.checkpoint.json", self.read())

    def history(self) -> tuple[HistoryEntry, ...]:
        """Newest first. An entry that cannot be read is an error that names the file."""
        self.read()
        entries: list[HistoryEntry] = []
        for path in sorted(self._history.glob("*.history.json"), reverse=True):
            try:
                item = orjson.loads(path.read_bytes())
                entries.append(
                    HistoryEntry(
                        kind=str(item["kind"]),
                        result=str(item["result"]),
                        started=int(item["startTime"]),
                        ended=int(item["endTime"]),
                        message=str(item.get("message") or ""),
                        changes=dict(item.get("resourceChanges") or {}),
                    )
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise StateBroken(f"the history entry {path} cannot be read: {error!r}") from error
        return tuple(entries)

    def _nanos(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000) * 1_000
