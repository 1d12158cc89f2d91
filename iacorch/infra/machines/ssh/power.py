"""A host's power: by IPMI, by commands of the inventory, or not at all.

In: a host and what is wanted. Out: nothing, or a leaf of MachineError. What is run is decided purely by `command`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from iacorch.infra.machines.contract import Power
from iacorch.infra.machines.errors import CannotDo, CloudRefused, CloudUnavailable
from iacorch.infra.machines.ssh.settings import Host
from iacorch.kit import limits

_CHASSIS: Final = {Power.ON: "on", Power.OFF: "soft", Power.RESET: "cycle"}


def command(host: Host, power: Power) -> tuple[str, ...]:
    """The program that does it; empty where there is none. REBOOT is asked of the host's own system instead."""
    if host.ipmi is not None and power in _CHASSIS:
        return (*_ipmitool(host), "chassis", "power", _CHASSIS[power])
    if host.power is not None:
        return {Power.ON: host.power.on, Power.OFF: host.power.off, Power.RESET: host.power.reset}.get(power, ())
    return ()


def status_command(host: Host) -> tuple[str, ...]:
    """The program that says whether it is on; empty where there is none."""
    if host.ipmi is not None:
        return (*_ipmitool(host), "chassis", "power", "status")
    return host.power.status if host.power is not None else ()


async def switch(host: Host, power: Power) -> None:
    """Raises CannotDo, CloudRefused (the program failed), CloudUnavailable (it did not end)."""
    if power is Power.RESET and host.ipmi is not None and await is_on(host) is False:
        power = Power.ON  # boards refuse to cycle what is off
    program = command(host, power)
    if not program:
        raise CannotDo(
            "ssh", f"power {power.value} {host.name}", hint=f"give {host.name} `ipmi` or `power` in the inventory"
        )
    await _run(program, f"power {power.value} {host.name}")


async def is_on(host: Host) -> bool | None:
    """None where nothing can say."""
    program = status_command(host)
    if not program:
        return None
    said = (await _run(program, f"power status of {host.name}")).strip().lower()
    return said.endswith("on")


def _ipmitool(host: Host) -> tuple[str, ...]:
    assert host.ipmi is not None
    board = host.ipmi
    who = ("-U", board.user, "-f", str(board.password_file))
    return ("ipmitool", "-I", "lanplus", "-H", board.address, "-p", str(board.port), *who)


async def _run(program: tuple[str, ...], doing: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        raise CloudRefused(doing, code=type(error).__name__, message=f"{program[0]} cannot be run: {error}") from error
    try:
        async with asyncio.timeout(limits.POWER_COMMAND_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise CloudUnavailable(doing, f"{program[0]} did not end") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8", "replace")
    if process.returncode:
        last = text.strip().splitlines()[-1:] or [""]
        raise CloudRefused(doing, code=str(process.returncode), message=f"{program[0]} failed: {last[0]}")
    return text
