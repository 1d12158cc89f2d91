"""Which engine: the Pulumi CLI where it is on PATH, else the built-in one, unless a person chose.

In: a choice, the process's environment. Out: a `Deployer`. The composition roots call this; nothing of either engine is
imported before it is chosen.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from iacorch.infra.engine.contract import Deployer
from iacorch.infra.engine.errors import CliFailed, PassphraseWrong
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

Choice = Literal["auto", "pulumi", "builtin"]

#: Provider plugins that iacorch brings along: used by the built-in engine where no plugin of that name is installed.
#: Named by module, so that nothing is imported here.
BUNDLED: Final[Mapping[str, Sequence[str]]] = {
    "docker": (sys.executable, "-m", "iacorch.infra.machines.docker_provider"),
}


def passphrase(environment: Mapping[str, str]) -> str | None:
    """The passphrase as Pulumi finds it; None where there is none."""
    if (text := environment.get("PULUMI_CONFIG_PASSPHRASE")) is not None:
        return text
    if path := environment.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise PassphraseWrong(
                f"the passphrase file {path} cannot be read: {error.strerror}",
                hint="correct PULUMI_CONFIG_PASSPHRASE_FILE",
            ) from error
    return None


def choose(choice: Choice, clock: Clock, ids: Ids, environment: Mapping[str, str]) -> Deployer:
    """The engine for a choice."""
    found = shutil.which("pulumi", path=environment.get("PATH"))
    if choice == "pulumi" and found is None:
        raise CliFailed(
            "the Pulumi CLI is not on PATH", hint="install it, or use the built-in engine with --engine builtin"
        )
    if choice == "builtin" or found is None:
        from iacorch.infra.engine.builtin.engine import BuiltIn

        return BuiltIn(clock, ids, passphrase=passphrase(environment), bundled=BUNDLED)
    from iacorch.infra.engine.cli_engine import PulumiCli

    return PulumiCli(clock, passphrase=passphrase(environment))
