"""What is remembered here of each host: its pinned keys, and the adoption that was last seen on it.

The truth about an adoption is a file on the host; the ledger answers for hosts that do not answer. A file of JSON,
replaced as a whole under a lock, so that processes of one operator share it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from iacorch.infra.machines.errors import InvalidSpec
from iacorch.kit.files import write_whole


@dataclass(frozen=True, slots=True)
class Adoption:
    """Written to the host when it is adopted. `labels` are the machine's."""

    cluster: str
    token: str
    claim: str
    name: str
    adopted_at: str
    labels: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS).decode()

    @classmethod
    def from_json(cls, text: str) -> Adoption | None:
        """None for what cannot be read as one: not ours to touch."""
        try:
            return cls(**orjson.loads(text))
        except (orjson.JSONDecodeError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Remembered:
    """One host's entry. `adoption` is JSON as on the host, empty when it was free."""

    host_keys: str = ""
    adoption: str = ""


class Ledger:
    """The file. Reading one that is not there gives nothing; one that is broken is refused (InvalidSpec), and stays."""

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser()

    def read(self) -> dict[str, Remembered]:
        """By the host's name."""
        try:
            raw = orjson.loads(self._path.read_bytes())
            return {name: Remembered(**entry) for name, entry in raw.items()}
        except FileNotFoundError:
            return {}
        except (orjson.JSONDecodeError, TypeError, AttributeError) as error:
            raise InvalidSpec(
                "ledger", f"{self._path} cannot be read: {error}", hint="remove it; hosts that answer are seen again"
            ) from error
        except OSError as error:
            raise _refused(error) from error

    def remember(self, host: str, entry: Remembered) -> None:
        """Write one host's entry, if it is another one. Raises InvalidSpec."""
        try:
            with self._locked():
                found = self.read()
                if found.get(host) != entry:
                    found[host] = entry
                    write_whole(self._path, orjson.dumps({name: asdict(kept) for name, kept in sorted(found.items())}))
        except OSError as error:
            raise _refused(error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self._path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _refused(error: OSError) -> InvalidSpec:
    return InvalidSpec("ledger", f"{error.strerror}: {error.filename}", hint="name a file that can be written")
