"""Encryption at rest: Secrets lie in the store under AES-256-GCM with a key that lies beside it, 0600.

In: plain bytes and the store key they belong to, which is bound in, so that one Secret's bytes cannot be put under
another's name. Out: sealed bytes `1:` nonce ciphertext. Nonces are random (96 bits); a key serves far below the 2^32
messages at which that stops being safe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from iacorch.errors import StoreBroken
from iacorch.kit.ids import Ids
from iacorch.server.identity.pki import write_private

_MARK: Final = b"1:"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class SecretSeal:
    """Implements `storage.Cipher`."""

    def __init__(self, key: bytes, ids: Ids) -> None:
        self._cipher, self._ids = AESGCM(key), ids

    @classmethod
    def from_file(cls, path: Path, ids: Ids, *, needed: bool = False) -> SecretSeal:
        """The key in the file. One is made if there is none, unless it is `needed` to read what is stored already.

        Raises StoreBroken.
        """
        if not path.exists():
            if needed:
                raise StoreBroken(
                    f"{path} is missing, and Secrets are stored that only its key can open",
                    hint="restore the file from a backup",
                )
            write_private(path, ids.token(_KEY_BYTES))
        key = path.read_bytes()
        if len(key) != _KEY_BYTES:
            raise StoreBroken(
                f"{path} must hold {_KEY_BYTES} bytes and holds {len(key)}", hint="restore the file from a backup"
            )
        return cls(key, ids)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        nonce = self._ids.token(_NONCE_BYTES)
        return _MARK + nonce + self._cipher.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        start = len(_MARK) + _NONCE_BYTES
        try:
            if not sealed.startswith(_MARK):
                raise InvalidTag
            return self._cipher.decrypt(sealed[len(_MARK) : start], sealed[start:], context)
        except InvalidTag as error:
            raise StoreBroken(
                f"{context.decode()} cannot be decrypted with the key of this data directory",
                hint="restore the key file that belongs to this store",
            ) from error
