"""What can go wrong in a deployment, as leaves of `iacorch.errors.EngineError`.

Each message is what a person sees: what failed, on which stack, file or resource, and `hint` what to do next. The state
file is intact whenever one of these is raised.
"""

from __future__ import annotations

from iacorch.errors import EngineError


class ProjectInvalid(EngineError):
    """`Pulumi.yaml` or `Pulumi.STACK.yaml` is missing or cannot be used."""


class StackMissing(EngineError):
    """No such stack in the backend."""


class StackExists(EngineError):
    """The stack to be made is there already."""


class StateBroken(EngineError):
    """The state file cannot be read as a checkpoint of version 3."""


class StateUnwritable(EngineError):
    """A file of the stack cannot be written: no room, no permission. A whole one is there, the message says which."""


class PassphraseWrong(EngineError):
    """The passphrase is missing or does not open the stack's secrets."""


class StackLocked(EngineError):
    """Another process, which is alive or on another host, is writing this stack."""


class PluginMissing(EngineError):
    """No provider plugin for a package, and none can be downloaded here."""


class PluginDied(EngineError):
    """A provider plugin did not start, or ended during a call. The outcome of that call is not known."""


class ResourceFailed(EngineError):
    """A provider refused or failed an operation on one resource."""

    def __init__(self, message: str, *, urn: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.urn = urn


class CallTimedOut(ResourceFailed):
    """A provider did not answer in time. It may finish all the same: the outcome of that call is not known."""


class Protected(EngineError):
    """The step would delete a resource that is protected."""


class ProgramFailed(EngineError):
    """The program raised, exited, or could not be started."""


class Unsupported(EngineError):
    """The program asks for a feature that the built-in engine does not have; the Pulumi CLI does."""

    def __init__(self, feature: str, *, where: str = "") -> None:
        at = f" ({where})" if where else ""
        super().__init__(
            f"the built-in engine does not support {feature}{at}",
            hint="install the Pulumi CLI, which does, and run again with --engine pulumi",
        )
        self.feature = feature


class Interrupted(EngineError):
    """The deployment was cancelled; what had begun was finished and recorded."""


class CliFailed(EngineError):
    """The Pulumi CLI ended with an error."""
