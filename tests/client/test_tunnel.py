from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.client.tunnel import FRAME_BYTES, Frame, FrameType, decode
from iacorch.errors import BadRequest


@given(st.sampled_from(FrameType), st.integers(0, 2**32 - 1), st.binary(max_size=200))
def test_a_frame_survives_the_wire(kind: FrameType, stream: int, payload: bytes) -> None:
    frame = Frame(kind, stream, payload)
    assert decode(frame.encode()) == frame


@pytest.mark.parametrize("message", [b"", b"\x01\0\0\0", b"\x09\0\0\0\0", b"\x02\0\0\0\0" + b"x" * (FRAME_BYTES + 1)])
def test_hostile_frames_are_refused(message: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(message)
