"""The zone on disk, so that a restarted agent answers names before, or without, the control plane.

In: a `Zone`'s parts, the agent's data directory. Out: the same parts after a restart. One file, replaced in one step.
It is only a memory: if it cannot be read there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson
import structlog

from iacorch.agent.network.dns.zone import Record, Records
from iacorch.errors import NetworkFailed

log = structlog.get_logger(__name__)


class Snapshot:
    """One writer, one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Mapping[str, Records]:
        """Owner -> records; empty where there is no readable file."""
        try:
            data = orjson.loads(self._path.read_bytes())
            return {
                owner: {name: tuple(Record(*record) for record in records) for name, records in names.items()}
                for owner, names in data.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("names are not known until the control plane answers", file=str(self._path), error=repr(error))
            return {}

    def write(self, parts: Mapping[str, Records]) -> None:
        """Raises NetworkFailed when the disk refuses."""
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(orjson.dumps(parts, default=list))
            fresh.replace(self._path)
        except OSError as error:
            raise NetworkFailed(f"cannot write {self._path}: {error}") from error
