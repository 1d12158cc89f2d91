"""A tar stream with nothing in it but names and contents, byte for byte as Pulumi's engine writes it. Pure.

In: the names and contents of an archive's members, in their order. Out: the bytes, block by block. The stream is only
ever hashed: the hash of an archive is that of this stream, so both engines must write the same one. A name that fits
the oldest format (ustar) is written so, every other one with an extended header (pax) before its own.
Source: POSIX `pax`, section "ustar Interchange Format", and Go's `archive/tar`, which Pulumi writes with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
_NAME, _PREFIX, _OCTAL_SIZE = 100, 155, 8**11
_MODE: Final = 0o600


def member(name: str, size: int) -> bytes:
    """The header, or the headers, of a member of `size` bytes; its contents and their `padding` come next."""
    records = {}
    split = _split(name)
    if split is None:
        records["path"] = name
    if size >= _OCTAL_SIZE:
        records["size"] = str(size)
    if not records:
        prefix, rest = split or ("", name)
        return _block(rest.encode(), size, b"0", prefix=prefix.encode(), device=_octal(0, 8))
    short = _ascii(name)
    if len(short) > _NAME:
        short = short[:_NAME].removesuffix(b"/")  # where nothing else is read, it must not look like a folder
    return _extension(name, records) + _block(short, size if size < _OCTAL_SIZE else 0, b"0", device=_octal(0, 8))


def padding(size: int) -> bytes:
    """What fills the last block of contents of `size` bytes."""
    return bytes(-size % BLOCK)


def stream(members: Iterable[tuple[str, int, Iterable[bytes]]]) -> Iterator[bytes]:
    """The whole stream; of members with the same name only the first is in it."""
    seen: set[str] = set()
    for name, size, contents in members:
        if name in seen:
            continue
        seen.add(name)
        yield member(name, size)
        yield from contents
        yield padding(size)
    yield END


def _split(name: str) -> tuple[str, str] | None:
    """Prefix and rest of a name as ustar keeps them, None where it cannot."""
    if not name.isascii():
        return None
    if len(name) <= _NAME:
        return "", name
    # The longest prefix that fits, cut at a slash; what is left must fit as well.
    at = name.rfind("/", 0, min(len(name) - 1, _PREFIX) + 1)
    if at <= 0 or len(name) - at - 1 > _NAME or at + 1 == len(name):
        return None
    return name[:at], name[at + 1 :]


def _extension(name: str, records: dict[str, str]) -> bytes:
    folder, _, file = name.rpartition("/")
    body = b"".join(_record(key, value) for key, value in sorted(records.items()))
    title = _ascii(f"{folder}/PaxHeaders.0/{file}" if folder else f"PaxHeaders.0/{file}")[:_NAME].rstrip(b"/")
    return _block(title, len(body), b"x", mode=0) + body + padding(len(body))


def _record(key: str, value: str) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts its own digits."""
    body = f" {key}={value}\n".encode()
    length = len(body)
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def _block(
    name: bytes, size: int, kind: bytes, *, prefix: bytes = b"", mode: int = _MODE, device: bytes = bytes(8)
) -> bytes:
    owner = _octal(0, 8) * 2
    head = name.ljust(_NAME, b"\0") + _octal(mode, 8) + owner + _octal(size, 12) + _octal(0, 12)
    tail = kind + bytes(100) + b"ustar\x0000" + bytes(64) + device * 2 + prefix.ljust(_PREFIX, b"\0") + bytes(12)
    checksum = sum(head) + sum(tail) + 8 * ord(" ")
    return head + b"%06o\0 " % checksum + tail


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def _ascii(name: str) -> bytes:
    return name.encode("ascii", "ignore")


__all__ = ["BLOCK", "END", "member", "padding", "stream"]
