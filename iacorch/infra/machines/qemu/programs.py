"""Runs a program of this host to its end. Called by those who make disks and start machines."""

from __future__ import annotations

import asyncio

from iacorch.infra.machines.errors import CloudRefused, CloudUnavailable
from iacorch.kit import limits


async def run(*program: str, hint: str = "") -> str:
    """Its output. Raises CloudRefused with its last line (and `hint`), CloudUnavailable."""
    try:
        process = await asyncio.create_subprocess_exec(
            *program, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        raise CloudRefused("start", code="missing", message=f"{program[0]} cannot be run: {error}") from error
    try:
        async with asyncio.timeout(limits.CLOUD_CALL_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise CloudUnavailable("start", f"{program[0]} did not answer") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8", "replace")
    if process.returncode:
        last = (text.strip().splitlines() or [""])[-1]
        raise CloudRefused("start", code=str(process.returncode), message=f"{program[0]}: {last}", hint=hint)
    return text
