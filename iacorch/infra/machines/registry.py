"""A driver by its name, made from settings that a person typed.

In: a name (`aws`, `docker`, `libcloud`, `qemu`, `ssh`) and the settings of a MachineClass. Out: an open driver. Each
driver's libraries are imported only when it is asked for, since they are installed by extras. Called by the provider
and by the provisioner; tests register their own (the fake cloud has no settings to make it from).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from iacorch.infra.machines.contract import MachineDriver
from iacorch.infra.machines.errors import InvalidSpec
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.text import did_you_mean

Opener = Callable[[Mapping[str, Any], Clock, Ids], MachineDriver]

_DRIVERS: Final[Mapping[str, tuple[str, str]]] = {
    "aws": ("AwsDriver", "aws"),
    "docker": ("DockerDriver", "infra"),
    "libcloud": ("LibcloudDriver", "libcloud"),
    "qemu": ("QemuDriver", "qemu"),
    "ssh": ("SshDriver", "infra"),
}
"""Class in the room's module `driver`, and the extra that brings its libraries."""

OWNED: Final = frozenset({"docker", "qemu", "ssh"})
"""Their machines stand on what somebody owns already: no price, capacity type `owned`."""


def names() -> tuple[str, ...]:
    """All that can be opened."""
    return tuple(_DRIVERS)


def open_driver(name: str, settings: Mapping[str, Any], clock: Clock, ids: Ids) -> MachineDriver:
    """Raises InvalidSpec (an unknown driver, a missing extra, a wrong setting), MissingCredentials."""
    if name not in _DRIVERS:
        raise InvalidSpec("driver", f"there is no driver {name!r}", hint=did_you_mean(name, _DRIVERS))
    made, extra = _DRIVERS[name]
    try:
        module = importlib.import_module(f"iacorch.infra.machines.{name}.driver")
        read = importlib.import_module(f"iacorch.infra.machines.{name}.settings")
    except ModuleNotFoundError as error:
        raise InvalidSpec(
            "driver", f"{name} needs the package {error.name}", hint=f"pip install 'iacorch[{extra}]'"
        ) from error
    driver: MachineDriver = getattr(module, made)(read.settings_of(settings), clock, ids)
    return driver
