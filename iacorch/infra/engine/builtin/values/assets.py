"""Assets and archives among properties: their hash is what tells whether they changed.

In: property values with Pulumi's marks, the folder that relative paths are meant from. Out: the same values, every
asset and archive with its hash (SHA-256, hex). An asset is text, a file or what is behind a URI; an archive is a
folder, an archive file, one behind a URI, or a map of names to assets and archives. The contents are only read, in a
thread, and stay where they are: providers read them again themselves.
Source: Pulumi's `sdk/go/common/resource/asset` and `archive`, whose hashes these equal.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import io
import os
import posixpath
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from iacorch.infra.engine.builtin.values import tarball, wire
from iacorch.infra.engine.errors import ResourceFailed
from iacorch.kit import limits

_FORMATS: Final = (".tar.gz", ".tar", ".tgz", ".zip", ".jar")
_CHUNK: Final = 1 << 20
#: Pulumi's own folder is not part of an archive.
_BOOKKEEPING: Final = ".pulumi"

Member = tuple[str, int, Iterable[bytes]]


async def settle(props: wire.Props, folder: Path, *, where: str = "") -> wire.Props:
    """`props` with every asset and archive hashed. ResourceFailed names what cannot be read."""
    if not has_unhashed(props):
        return props
    hashed: wire.Props = await asyncio.to_thread(_hashed, props, folder, where)
    return hashed


def has_unhashed(value: Any) -> bool:
    """There is an asset or archive without a hash in `value`."""
    if isinstance(value, list):
        return any(has_unhashed(item) for item in value)
    if not isinstance(value, dict):
        return False
    if value.get(wire.SIGNATURE) in (wire.ASSET, wire.ARCHIVE):
        return not value.get("hash")
    return any(has_unhashed(item) for item in value.values())


def _hashed(value: Any, folder: Path, where: str) -> Any:
    if isinstance(value, list):
        return [_hashed(item, folder, where) for item in value]
    if not isinstance(value, dict):
        return value
    signature = value.get(wire.SIGNATURE)
    if signature not in (wire.ASSET, wire.ARCHIVE):
        return {key: _hashed(item, folder, where) for key, item in value.items()}
    if value.get("hash"):
        return value
    try:
        chunks = _asset(value, folder)[1] if signature == wire.ASSET else _archive(value, folder)
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
    except _FAULTS as error:
        kind = "asset" if signature == wire.ASSET else "archive"
        raise ResourceFailed(f"the {kind} {_words(value)} cannot be read: {_reason(error)}", urn=where) from error
    return {**value, "hash": digest.hexdigest()}


class _Unreadable(Exception):
    """What is there is not what such a thing must be."""


#: What opening and reading somebody's files and addresses may end in; RuntimeError is zipfile's of encrypted members.
_FAULTS: Final = (
    OSError, EOFError, RuntimeError, zlib.error, tarfile.TarError, zipfile.BadZipFile, http.client.HTTPException,
    _Unreadable,
)  # fmt: skip


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _words(value: Mapping[str, Any]) -> str:
    return str(value.get("path") or value.get("uri") or "of text")


def show(value: Mapping[str, Any]) -> str:
    """An asset or archive in one word, for people."""
    kind = "asset" if value.get(wire.SIGNATURE) == wire.ASSET else "archive"
    if kind == "archive" and not (value.get("path") or value.get("uri")):
        words = f"of {len(value.get('assets') or {})}"
    else:
        words = _words(value)
    return f"[{kind} {words}, {str(value.get('hash', ''))[:8] or 'not read'}]"


# One asset


def _asset(value: Mapping[str, Any], folder: Path) -> tuple[int, Iterable[bytes]]:
    """Bytes and contents."""
    if path := value.get("path"):
        return _file(folder / path)
    if uri := value.get("uri"):
        contents = _behind(uri)
        return os.fstat(contents.fileno()).st_size, _chunks(contents)
    text = str(value.get("text") or "").encode()
    return len(text), (text,)


def _file(path: Path) -> tuple[int, Iterable[bytes]]:
    file = path.open("rb")
    return os.fstat(file.fileno()).st_size, _chunks(file)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _behind(uri: str) -> IO[bytes]:
    """What is behind a URI, as a file."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise _Unreadable("a file:// URI names no host but localhost")
        return Path(unquote(parts.path)).open("rb")
    if parts.scheme not in ("http", "https"):
        raise _Unreadable(f"the scheme {parts.scheme!r} is none of file, http, https")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 whoever reads it closes it
    try:
        with urllib.request.urlopen(uri, timeout=limits.ENGINE_DOWNLOAD_SECONDS) as answer:
            shutil.copyfileobj(answer, copy)
    except urllib.error.URLError as error:
        copy.close()
        raise _Unreadable(str(error.reason)) from error
    copy.seek(0)
    return copy


# Archives


def _archive(value: Mapping[str, Any], folder: Path) -> Iterable[bytes]:
    """What the hash is of: an archive file as it is, anything else as a tar stream."""
    if (path := value.get("path")) and str(path).endswith(_FORMATS):
        return _file(folder / path)[1]
    if uri := value.get("uri"):
        if not urlsplit(uri).path.endswith(_FORMATS):
            raise _Unreadable(f"its name ends in none of {', '.join(_FORMATS)}")
        return _chunks(_behind(uri))
    return tarball.stream(_members(value, folder))


def _members(value: Mapping[str, Any], folder: Path) -> Iterator[Member]:
    if path := value.get("path"):
        full = folder / path
        if str(path).endswith(_FORMATS):
            yield from _unpacked(full.open("rb"), str(path))
        else:
            yield from _folder(full)
    elif uri := value.get("uri"):
        yield from _unpacked(_behind(uri), urlsplit(uri).path)
    else:
        for name, inner in sorted((value.get("assets") or {}).items()):
            yield from _inner(name, inner, folder)


def _inner(name: str, value: Any, folder: Path) -> Iterator[Member]:
    match wire.mark(value):
        case wire.ASSET:
            yield (name, *_asset(value, folder))
        case wire.ARCHIVE:
            for inside, size, contents in _members(value, folder):
                yield posixpath.normpath(posixpath.join(name, inside)), size, contents
        case _:
            raise _Unreadable(f"its member {name!r} is neither an asset nor an archive")


def _folder(root: Path) -> Iterator[Member]:
    """The files below, in the order of their names; links to files as the files, links to folders not."""
    if not root.is_dir():
        raise _Unreadable(f"it is neither a folder nor does its name end in one of {', '.join(_FORMATS)}")
    for path in _walk(root):
        yield (path.relative_to(root).as_posix(), *_file(path))


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name)):
        if path.name == _BOOKKEEPING:
            continue
        if path.is_dir():
            if not path.is_symlink():
                yield from _walk(path)
        else:
            yield path


def _unpacked(file: IO[bytes], name: str) -> Iterator[Member]:
    with file:
        if name.endswith((".zip", ".jar")):
            with zipfile.ZipFile(file) as packed:
                for entry in packed.infolist():
                    if not entry.is_dir():
                        yield posixpath.normpath(entry.filename), entry.file_size, _chunks(packed.open(entry))
            return
        with tarfile.open(fileobj=file, mode="r:gz" if name.endswith("gz") else "r:") as unpacked:
            for member in unpacked:
                if member.isfile():
                    contents = unpacked.extractfile(member) or io.BytesIO()
                    yield posixpath.normpath(member.name), member.size, _chunks(contents)


__all__ = ["has_unhashed", "settle", "show"]
