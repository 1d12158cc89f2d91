"""What the engine sends when logs are read: entries behind headers, and an end that may come too early.

In: the engine's responses. Out: bytes as the container wrote them. `docker.py` calls it. When a container ends while
its log is followed, the engine closes the stream although a slow reader has not had everything yet; `Entries` remembers
how far it came by the entries' timestamps, so that the rest can be read from the file and nothing is told twice.
Source: Docker Engine API, "Attach to a container", stream format; log timestamps have a fixed width, so they compare
as text.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Final

_FRAME: Final = struct.Struct(">B3xI")


class Entries:
    """Cuts a stream of frames, one for each log entry, which all begin with a timestamp and a space."""

    def __init__(self, *, with_timestamps: bool) -> None:
        self._with_timestamps = with_timestamps
        self._pending = bytearray()
        self._last = b""
        self._told = b""

    def take(self, chunk: bytes) -> bytes:
        """What a reader should get for the next bytes of the stream."""
        self._pending += chunk
        out = bytearray()
        while len(self._pending) >= _FRAME.size:
            (_, size) = _FRAME.unpack_from(self._pending)
            if len(self._pending) < _FRAME.size + size:
                break
            entry = bytes(self._pending[_FRAME.size : _FRAME.size + size])
            del self._pending[: _FRAME.size + size]
            stamp, _, text = entry.partition(b" ")
            if stamp > self._told:
                self._last = max(self._last, stamp)
                out += entry if self._with_timestamps else text
        return bytes(out)

    def read_again(self) -> int | None:
        """The stream ended; entries up to here will be passed over. The Unix second to read from, if there was any."""
        self._pending.clear()
        self._told = self._last
        if not self._last:
            return None
        return int(datetime.fromisoformat(self._last[:19].decode()).replace(tzinfo=UTC).timestamp())
