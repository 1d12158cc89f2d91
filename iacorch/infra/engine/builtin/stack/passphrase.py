"""Secrets under a passphrase, exactly as Pulumi keeps them.

In: a passphrase and the stack's salt line `v1:<salt>:<the word pulumi, encrypted>`. Out: `PassphraseCipher`, which
opens and closes `v1:<nonce>:<ciphertext>`. The key takes a million rounds (0.4 s), so it is derived in a thread and
only once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from iacorch.infra.engine.errors import PassphraseWrong, StateBroken

_ROUNDS: Final = 1_000_000
_SALT_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_PROOF: Final = "pulumi"
_HINT: Final = "set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it"

Tokens = Callable[[int], bytes]


class PassphraseCipher:
    """The cipher of one stack. Unchanged secrets keep their ciphertext, so that states can be compared."""

    def __init__(self, key: bytes, tokens: Tokens, salt: str = "") -> None:
        self._box = AESGCM(key)
        self._tokens = tokens
        self._texts: dict[str, str] = {}
        self._before: dict[str, str] = {}
        self._kept: dict[tuple[str, str], str] = {}
        self.salt = salt

    def open(self, ciphertext: str) -> str:
        if (text := self._texts.get(ciphertext)) is not None:
            return text
        try:
            version, nonce, sealed = ciphertext.split(":")
            if version != "v1":
                raise ValueError(version)
            text = self._box.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None).decode()
        except InvalidTag as error:
            raise PassphraseWrong("a secret cannot be opened with this passphrase", hint=_HINT) from error
        except (ValueError, binascii.Error) as error:
            raise StateBroken(f"a secret is not of the form v1:NONCE:CIPHERTEXT: {error}") from error
        self._texts[ciphertext] = text
        self._before[text] = ciphertext
        return text

    def close(self, plaintext: str, *, known_as: str = "") -> str:
        if (kept := self._kept.get((known_as, plaintext))) is None:
            kept = self._before.get(plaintext) or self._seal(plaintext)
            self._kept[known_as, plaintext] = kept
        return kept

    def _seal(self, plaintext: str) -> str:
        nonce = self._tokens(_NONCE_BYTES)
        sealed = self._box.encrypt(nonce, plaintext.encode(), None)
        return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"


class NoCipher:
    """The cipher of a stack without secrets and without a passphrase: the first secret asks for one."""

    salt = ""

    def open(self, ciphertext: str) -> str:
        raise PassphraseWrong("the stack has secrets and no passphrase was given", hint=_HINT)

    def close(self, plaintext: str, *, known_as: str = "") -> str:
        raise PassphraseWrong("the program has secrets and no passphrase was given", hint=_HINT)


async def open_cipher(passphrase: str, salt: str, tokens: Tokens, *, where: str) -> PassphraseCipher:
    """The cipher for a salt line; PassphraseWrong if the passphrase is not the one it was made with."""
    try:
        version, encoded, proof = salt.split(":", 2)
        raw = base64.b64decode(encoded)
    except (ValueError, binascii.Error) as error:
        raise StateBroken(f"{where}: the encryption salt is malformed") from error
    if version != "v1":
        raise StateBroken(f"{where}: the encryption salt has version {version}, expected v1")
    cipher = PassphraseCipher(await _key(passphrase, raw), tokens, salt)
    try:
        proven = cipher.open(proof) == _PROOF
    except PassphraseWrong:
        proven = False
    if not proven:
        raise PassphraseWrong(f"{where}: the passphrase is not the one this stack was made with", hint=_HINT)
    return cipher


async def new_cipher(passphrase: str, tokens: Tokens) -> PassphraseCipher:
    """A cipher with a fresh salt; its `salt` is to be kept in the stack's configuration and state."""
    raw = tokens(_SALT_BYTES)
    cipher = PassphraseCipher(await _key(passphrase, raw), tokens)
    cipher.salt = f"v1:{base64.b64encode(raw).decode()}:{cipher.close(_PROOF)}"
    return cipher


async def _key(passphrase: str, salt: bytes) -> bytes:
    return await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha256", passphrase.encode(), salt, _ROUNDS, 32)
