"""A small image for tests on a real engine: busybox, from Debian's package, imported. Nothing is pulled.

The image stays on the engine between runs under a name that begins with `iacagent-`; containers never do.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

IMAGE = "iacagent-busybox:2"
_APPLETS = (
    "sh",
    "tail",
    "grep",
    "sleep",
    "echo",
    "true",
    "false",
    "cat",
    "httpd",
    "nc",
    "env",
    "id",
    "ls",
    "stat",
    "wget",
    "touch",
)


def engine_answers() -> bool:
    return shutil.which("docker") is not None and _docker("info").returncode == 0


@cache
def image() -> str:
    """The image's reference. Skips the test where there is no engine or no busybox to be had."""
    if not engine_answers():
        pytest.skip("needs a running Docker Engine")
    if _docker("image", "inspect", IMAGE).returncode:
        built = _docker("import", "--change", 'CMD ["/bin/sh"]', "-", IMAGE, data=_layer())
        assert built.returncode == 0, built.stderr
    return IMAGE


def _docker(*words: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *words], input=data, capture_output=True, check=False, timeout=120)


def _binary() -> bytes:
    for place in ("/bin/busybox", "/usr/bin/busybox"):
        if Path(place).exists() and b"statically" in subprocess.run(["file", place], capture_output=True).stdout:
            return Path(place).read_bytes()
    with TemporaryDirectory(prefix="iacagent-") as folder:
        commands = (["apt-get", "download", "busybox-static"], ["sh", "-c", "dpkg -x busybox-static*.deb ."])
        for command in commands:
            done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
            if done.returncode:
                pytest.skip(f"busybox-static cannot be had: {done.stderr.decode(errors='replace')[-200:]}")
        # In Debian 13's package everything is under usr.
        here = next(path for name in ("bin", "usr/bin") if (path := Path(folder, name, "busybox")).is_file())
        return here.read_bytes()


def _layer() -> bytes:
    binary = _binary()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "www"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(binary), 0o755
        tar.addfile(entry, io.BytesIO(binary))
        for applet in _APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return archive.getvalue()
