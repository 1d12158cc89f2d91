"""A stack, read: project, configuration, state, and the cipher of its secrets. Nothing is locked or written.

In: a stack reference and a passphrase. Out: `Opened`. Everything that works on a stack begins here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from iacorch.infra.engine.builtin.stack.backend import Backend, open_backend
from iacorch.infra.engine.builtin.stack.passphrase import NoCipher, PassphraseCipher, Tokens, new_cipher, open_cipher
from iacorch.infra.engine.builtin.stack.project import Project, StackConfig, load_project, load_stack_config
from iacorch.infra.engine.builtin.values import urn, wire
from iacorch.infra.engine.builtin.values.state import Resource, Snapshot, parse, peek_salt
from iacorch.infra.engine.builtin.values.wire import Props
from iacorch.infra.engine.contract import Output, StackRef
from iacorch.infra.engine.errors import PassphraseWrong, StackMissing
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

Cipher = PassphraseCipher | NoCipher


@dataclass(frozen=True, slots=True)
class Opened:
    """A stack ready to be worked on."""

    ref: StackRef
    project: Project
    config: StackConfig
    backend: Backend
    cipher: Cipher
    snapshot: Snapshot


def backend_of(ref: StackRef, clock: Clock, ids: Ids) -> Backend:
    """The files of a stack."""
    return open_backend(ref, load_project(ref.work_dir).name, clock, ids)


async def open_stack(
    ref: StackRef, passphrase: str | None, clock: Clock, ids: Ids, *, to_write: bool = True
) -> Opened:  # fmt: skip
    """Read everything about a stack.

    Who is not going `to_write` closes no secrets; where there are none to open either, no key is derived: it takes as
    long as all else together.
    """
    project = load_project(ref.work_dir)
    backend = open_backend(ref, project.name, clock, ids)
    data = backend.read()
    config = load_stack_config(project, ref.stack)
    salt, secrets = peek_salt(data, str(backend.path))
    salt = salt or config.salt
    asked = passphrase is not None and (to_write or secrets or config.has_secrets)
    cipher: Cipher = NoCipher()
    if salt and (secrets or asked):
        cipher = await cipher_for(passphrase, salt, ids.token, where=str(backend.path))
    elif passphrase is not None and asked:
        cipher = await new_cipher(passphrase, ids.token)
    return Opened(ref, project, config, backend, cipher, parse(data, cipher, str(backend.path)))


async def cipher_for(passphrase: str | None, salt: str, tokens: Tokens, *, where: str) -> PassphraseCipher:
    """The cipher of a stack that has a salt."""
    if passphrase is None:
        raise PassphraseWrong(
            f"{where}: the stack is protected by a passphrase, and none was given",
            hint="set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it "
            "(of a stack that `make up` made: .iacorch/passphrase)",
        )
    return await open_cipher(passphrase, salt, tokens, where=where)


async def outputs_of_other(ref: StackRef, name: str, passphrase: str | None, clock: Clock, ids: Ids) -> Props:
    """The outputs of another stack of the same backend as they stand in its state, secrets marked."""
    parts = name.split("/")
    project = parts[-2] if len(parts) > 1 else load_project(ref.work_dir).name
    if len(parts) > 3 or (len(parts) == 3 and parts[0] != "organization"):
        raise StackMissing(f"no stack {name!r} here: the name is STACK, PROJECT/STACK or organization/PROJECT/STACK")
    backend = open_backend(replace(ref, stack=parts[-1]), project, clock, ids)
    data, where = backend.read(), str(backend.path)
    salt, secrets = peek_salt(data, where)
    cipher: Cipher = NoCipher()
    if secrets:
        cipher = await cipher_for(passphrase, salt, ids.token, where=where)
    root = root_of(parse(data, cipher, where))
    return {} if root is None else root.outputs


def root_of(snapshot: Snapshot) -> Resource | None:
    """The stack itself among its resources."""
    return next((r for r in snapshot.resources if r.type == urn.STACK_TYPE and not r.delete), None)


def outputs_of(snapshot: Snapshot) -> Mapping[str, Output]:
    """The stack's outputs; those that are not known in a preview are left out."""
    root = root_of(snapshot)
    if root is None:
        return {}
    return {
        key: Output(wire.reveal(value), wire.has_secret(value))
        for key, value in root.outputs.items()
        if not wire.has_unknown(value)
    }
