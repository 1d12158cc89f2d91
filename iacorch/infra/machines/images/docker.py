"""The few `docker` commands that building images needs, with their errors translated.

Builds and imports stream gigabytes and print progress; the docker command line does both well, and it is there wherever
a Docker Engine is. Everything else in this package talks to the Engine's API.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Final

from iacorch.errors import IacorchError

#: What the builder that distributions package says of itself, whatever is built.
_NOISE: Final = (
    "DEPRECATED: The legacy builder",
    "            BuildKit is currently",
    "            environment-variable",
)
Progress = Callable[[str], None]
"""Called with a short line of what is being done now."""


class ImageFailed(IacorchError):
    """An image could not be pulled, built or imported; carries the last lines of what the tool printed."""


def docker(*arguments: str, input_file: IO[bytes] | None = None, timeout_seconds: float = 600) -> str:
    """Run `docker ARGUMENTS` and return its output, stripped. Raises ImageFailed."""
    return run(["docker", *arguments], input_file=input_file, timeout_seconds=timeout_seconds)


def image_id(reference: str) -> str | None:
    """The ID of a local image, or None."""
    try:
        return docker("image", "inspect", "--format", "{{.Id}}", reference, timeout_seconds=30)
    except ImageFailed:
        return None


def run(
    command: Sequence[str],
    *,
    input_file: IO[bytes] | None = None,
    timeout_seconds: float = 600,
    on_line: Progress | None = None,
) -> str:
    """Run a command with its output merged; `on_line` hears each line. Raises ImageFailed with the last lines."""
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    if command[:2] == ["docker", "build"] and not _has_buildx():
        environment["DOCKER_BUILDKIT"] = "0"  # newer command lines insist on a plugin that distributions do not package
    try:
        process = subprocess.Popen(
            command,
            stdin=input_file or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,  # so that all that it starts can be ended with it
        )
    except FileNotFoundError as error:
        raise ImageFailed(f"{command[0]} is not installed", hint="`make up` installs what it needs") from error
    lines: list[str] = []
    took_too_long = threading.Event()

    def end() -> None:
        took_too_long.set()
        _kill(process)

    timer = threading.Timer(timeout_seconds, end)
    timer.daemon = True
    timer.start()
    try:
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if on_line is not None and lines[-1]:
                    on_line(lines[-1])
            code = process.wait()
    except BaseException:
        _kill(process)
        raise
    finally:
        timer.cancel()
    if took_too_long.is_set():
        raise ImageFailed(f"{' '.join(command[:3])} took longer than {timeout_seconds:g} s")
    if code != 0:
        tail = "\n  ".join([line for line in lines if not line.startswith(_NOISE)][-8:])
        raise ImageFailed(f"{' '.join(command[:3])} failed with exit code {code}:\n  {tail}")
    return "\n".join(lines).strip()


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _has_buildx() -> bool:
    found = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    return found.returncode == 0
