"""The framing of the one stream an agent opens to the server, over which the server asks for logs.

Both ends import this; it does no I/O. The carrier is a WebSocket of binary messages, one frame a message, at
`TUNNEL_PATH`, opened by the agent with its client certificate. The server opens streams with even IDs.

    frame    := type(1) stream(4, big endian) payload
    OPEN     server -> agent   JSON: {"verb": "logs", "params": {...}}
    DATA     either            bytes; spends the receiver's credit
    CREDIT   either            4 bytes: how many more bytes the receiver takes (starts at CREDIT_BYTES each way)
    END      either            JSON: {} or {"error": Status}; the stream is closed both ways
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from iacorch.errors import BadRequest

TUNNEL_PATH: Final = "/iacorch/v1/tunnel"
JOIN_PATH: Final = "/iacorch/v1/join"
CERTIFICATES_PATH: Final = "/iacorch/v1/certificates"
CREDIT_BYTES: Final = 256 * 1024
FRAME_BYTES: Final = 64 * 1024
_HEADER: Final = struct.Struct(">BI")


class FrameType(IntEnum):
    OPEN = 1
    DATA = 2
    CREDIT = 3
    END = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the tunnel."""

    type: FrameType
    stream: int
    payload: bytes = b""

    def encode(self) -> bytes:
        return _HEADER.pack(self.type, self.stream) + self.payload


def decode(message: bytes) -> Frame:
    """The frame in one WebSocket message. Raises BadRequest on anything else."""
    if not _HEADER.size <= len(message) <= _HEADER.size + FRAME_BYTES:
        raise BadRequest(f"a tunnel frame has {_HEADER.size} to {_HEADER.size + FRAME_BYTES} bytes, not {len(message)}")
    kind, stream = _HEADER.unpack_from(message)
    try:
        return Frame(FrameType(kind), stream, message[_HEADER.size :])
    except ValueError as error:
        raise BadRequest(f"unknown tunnel frame type {kind}") from error
