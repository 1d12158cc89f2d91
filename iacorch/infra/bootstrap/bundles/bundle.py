"""The archive that makes a machine run us without pip: our package, its locked dependencies, a launcher.

In: which daemon, which Python, which architecture. Out: a `Bundle`, a tar.gz in the cache under the hash of everything
that went into it, so it is built once and only when something changed. Dependencies are wheels of the target's Python
and architecture, checked against the locked hashes. Called by the provider after `plan`. Unpacked at `/` it is:

    /opt/iacorch/<id>/lib/...        dependencies and iacorch, compiled where this side has the machine's Python
    /opt/iacorch/<id>/bin/<daemon>   the launcher, started by systemd with the planned interpreter
    /opt/iacorch/<id>/complete       the archive's last member: what has it was unpacked to the end
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import iacorch
from iacorch.infra.bootstrap import sources
from iacorch.infra.bootstrap.bundles.compiled import compile_folder, compiled
from iacorch.infra.bootstrap.errors import BundleFailed
from iacorch.infra.bootstrap.plan import BundleKind
from iacorch.kit import limits

_FORMAT: Final = "3"
"""Part of every ID: raise it when the layout of the archive changes."""
_REQUIREMENTS: Final[dict[BundleKind, str]] = {"agent": "agent.txt", "control-plane": "node.txt"}
_ENTRY: Final[dict[BundleKind, tuple[str, str]]] = {
    "agent": ("iacorch-agent", "iacorch.daemons.agent"),
    "control-plane": ("iacorchd", "iacorch.daemons.controlplane"),
}
_LEFT_OUT: Final = frozenset({"infra", "stack", "cli", "sim", "drift", "provision", "rollout", "why", "__pycache__"})
"""Rooms that no daemon imports."""
_LAUNCHER: Final = """\
import os, sys
sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib")]
from {module} import main
sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An archive ready to be copied. `id` names its content."""

    id: str
    archive: Path
    size_bytes: int


async def build(
    kind: BundleKind, *, python: tuple[int, int], arch: str, cache: Path | None = None, package: Path = sources.PACKAGE
) -> Bundle:
    """The bundle, from the cache if nothing changed. Several builders at once agree. Raises BundleFailed."""
    return await asyncio.to_thread(_build, kind, python, arch, cache or cache_directory(), package)


def release(package: Path = sources.PACKAGE) -> str:
    """What tells one build of the daemons from another, on whichever machine: the version and a hash of the content.

    Raises BundleFailed when the locked requirements are missing.
    """
    requirements = sources.directory("requirements")
    locked = [(requirements / name).read_bytes() for name in sorted(_REQUIREMENTS.values())]
    digest = _digest(_FORMAT, *locked, *(part for file in read_package(package) for part in file))
    return f"{iacorch.__version__}+{digest[:12]}"


def cache_directory() -> Path:
    """`$IACORCH_CACHE_DIR/bundles`, else `$XDG_CACHE_HOME/iacorch/bundles`, by default under the home directory."""
    ours = os.environ.get("IACORCH_CACHE_DIR")
    return Path(ours or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iacorch") / "bundles"


def read_package(package: Path) -> list[tuple[str, bytes]]:
    """The files of our package that daemons need, each with its path in the archive's `lib`, in order."""
    return [
        (path.relative_to(package.parent).as_posix(), path.read_bytes())
        for path in sorted(package.rglob("*"))
        if path.is_file()
        and not _LEFT_OUT.intersection(path.relative_to(package).parts)
        and path.suffix not in (".pyc", ".pyi")
    ]


def identity(kind: BundleKind, dependencies: str, code: Sequence[tuple[str, bytes]]) -> str:
    """The name of what a bundle holds: 16 hexadecimal digits."""
    return _digest(dependencies, *_ENTRY[kind], _LAUNCHER, *(part for file in code for part in file))


def _build(kind: BundleKind, python: tuple[int, int], arch: str, cache: Path, package: Path) -> Bundle:
    requirements = sources.directory("requirements") / _REQUIREMENTS[kind]
    version = ".".join(map(str, python))
    try:
        dependencies = f"deps-{_digest(_FORMAT, version, arch, requirements.read_bytes())}"
        code = read_package(package)
        name = identity(kind, dependencies, code)
        archive = cache / f"{kind}-{name}.tar.gz"
        if not archive.exists():
            cache.mkdir(parents=True, exist_ok=True)
            _install(requirements, cache / dependencies, python, arch)
            with tempfile.TemporaryDirectory(prefix="compiling-", dir=cache) as scratch:
                pack(archive, kind, name, cache / dependencies, compiled(code, python, Path(scratch)))
            _prune(cache, kind, keep=archive)
        archive.touch()
        return Bundle(name, archive, archive.stat().st_size)
    except OSError as error:
        raise BundleFailed(f"the bundle cannot be written: {error}", hint=f"is there room in {cache}?") from error


def _install(requirements: Path, target: Path, python: tuple[int, int], arch: str) -> None:
    """Unpack the locked wheels into `target`, and compile them; a directory that is there is complete."""
    if target.is_dir():
        target.touch()
        return
    with tempfile.TemporaryDirectory(prefix="building-", dir=target.parent) as scratch:
        version = ".".join(map(str, python))
        _run([*_installer(version, arch), "--target", f"{scratch}/lib", "-r", str(requirements)])
        _slim(Path(scratch) / "lib")
        compile_folder(Path(scratch) / "lib", python)
        try:
            (Path(scratch) / "lib").rename(target)
        except OSError:
            if not target.is_dir():  # else another builder was faster, with the same content
                raise


def _installer(version: str, arch: str) -> list[str]:
    """uv where there is one (ten times as fast), else pip."""
    beside = sources.PACKAGE.parent / ".tools" / "bin" / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        command = [uv, "pip", "install", "--quiet", "--no-config", "--link-mode", "copy"]
        command += ["--python-platform", f"{arch}-manylinux_2_28"]
    else:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014"):
            command += ["--platform", f"{tag}_{arch}"]
    return [*command, "--python-version", version, "--only-binary", ":all:", "--no-deps", "--require-hashes"]


def _run(command: Sequence[str]) -> None:
    # Nobody's virtual environment may reach into the bundle.
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=limits.BUNDLE_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise BundleFailed("neither uv nor pip is here to build the bundle", hint="install uv") from error
    except subprocess.TimeoutExpired as error:
        raise BundleFailed(
            f"the wheels were not there after {limits.BUNDLE_SECONDS:.0f} s", hint="can the package index be reached?"
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2_000:]
        raise BundleFailed(f"the wheels of the bundle cannot be installed: {said}", hint="can the index be reached?")


def _slim(lib: Path) -> None:
    """Leave out what no daemon reads: tests, stubs, caches, headers, scripts."""
    for path in sorted(lib.rglob("*"), reverse=True):
        if path.is_dir() and path.name in ("tests", "test", "__pycache__", "bin", "include"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file() and path.suffix in (".pyi", ".pyc", ".pyx", ".pxd", ".c", ".h"):
            path.unlink()


def pack(archive: Path, kind: BundleKind, name: str, dependencies: Path, code: Sequence[tuple[str, bytes]]) -> None:
    """Write the archive of the bundle `name` beside its place and move it there whole."""
    daemon, module = _ENTRY[kind]
    top = f"opt/iacorch/{name}"
    descriptor, scratch = tempfile.mkstemp(prefix="packing-", dir=archive.parent)
    try:
        with (
            os.fdopen(descriptor, "wb") as raw,
            # Level 3: the link to the machines is faster than a higher level is.
            gzip.GzipFile("", "wb", 3, raw, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in sorted(dependencies.rglob("*")):
                if path.is_file():
                    _add(tar, f"{top}/lib/{path.relative_to(dependencies).as_posix()}", path.read_bytes())
            for path_in_lib, data in code:
                _add(tar, f"{top}/lib/{path_in_lib}", data)
            _add(tar, f"{top}/bin/{daemon}", _LAUNCHER.format(module=module).encode(), mode=0o755)
            _add(tar, f"{top}/complete", b"")
        Path(scratch).replace(archive)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _add(tar: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    """One file, owned by root, without a date: the same content is the same archive."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    tar.addfile(member, io.BytesIO(data))


def _prune(cache: Path, kind: BundleKind, *, keep: Path) -> None:
    """Drop the archives of this kind that were not used for longest."""
    archives = sorted(cache.glob(f"{kind}-*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in archives[limits.BUNDLES_KEPT :]:
        if old != keep:
            old.unlink(missing_ok=True)
    dependencies = sorted(cache.glob("deps-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for unused in dependencies[limits.BUNDLES_KEPT * 2 :]:
        shutil.rmtree(unused, ignore_errors=True)


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]
