"""Identity and randomness as arguments.

`Ids` mints UIDs, short random names and random numbers. `SystemIds` is the operating system's randomness and is made by
composition roots; `SeededIds` gives the same sequence for the same seed and is what tests and the simulation use.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator
from typing import Final, Protocol

#: Kubernetes' alphabet for generated names: no vowels and no look-alikes, so no words by accident.
SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_POOL_BYTES: Final = 4096
_VARIANT: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""RFC 9562: the digit that says which kind of UUID this is keeps two of its four random bits."""


class Ids(Protocol):
    """Mints identity and draws numbers."""

    def uid(self) -> str:
        """A version 4 UUID in the usual text form."""
        ...

    def suffix(self, length: int = 5) -> str:
        """Random characters for `generateName`, from `SAFE_ALPHABET`."""
        ...

    def token(self, n_bytes: int = 32) -> bytes:
        """Random bytes fit for keys and tokens (only `SystemIds` makes them secret)."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1): jitter."""
        ...


class SystemIds:
    """The operating system's randomness."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()
        self._drawn: Iterator[bytes] = iter(())

    def uid(self) -> str:
        if (drawn := next(self._drawn, None)) is None:
            pool = os.urandom(_POOL_BYTES)  # one call of the kernel for many identities
            self._drawn = (pool[at : at + 16] for at in range(0, _POOL_BYTES, 16))
            drawn = next(self._drawn)
        text = drawn.hex()
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choices(SAFE_ALPHABET, k=length))

    def token(self, n_bytes: int = 32) -> bytes:
        return os.urandom(n_bytes)

    def fraction(self) -> float:
        return self._random.random()


class SeededIds:
    """Deterministic: the same seed gives the same sequence. Never for secrets."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uid(self) -> str:
        return str(uuid.UUID(bytes=self._random.randbytes(16), version=4))

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choices(SAFE_ALPHABET, k=length))

    def token(self, n_bytes: int = 32) -> bytes:
        return self._random.randbytes(n_bytes)

    def fraction(self) -> float:
        return self._random.random()
