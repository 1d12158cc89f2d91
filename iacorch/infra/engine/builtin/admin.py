"""What people do to a stack between deployments: configuration, export, import.

In: a stack reference. Out: the files changed, whole or not at all. Both engines share these files, so these functions
serve whichever engine deploys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.builtin.stack.passphrase import PassphraseCipher
from iacorch.infra.engine.builtin.stack.project import ConfigValue, full_key, load_project, open_value
from iacorch.infra.engine.builtin.values import state
from iacorch.infra.engine.contract import StackRef
from iacorch.infra.engine.errors import PassphraseWrong, StateBroken


async def read_config(engine: BuiltIn, ref: StackRef) -> Mapping[str, tuple[str, bool]]:
    """Every value of the stack by full key, in the clear, and whether it is secret."""
    opened = await engine.open(ref)
    return {
        key: (open_value(value, opened.cipher), value.secure) for key, value in sorted(opened.config.values.items())
    }


async def set_config(engine: BuiltIn, ref: StackRef, key: str, text: str, *, secret: bool) -> None:
    """Set one value; a secret one is encrypted with the stack's passphrase."""
    opened = await engine.open(ref)
    config = opened.config
    value = ConfigValue(text)
    if secret:
        if not isinstance(opened.cipher, PassphraseCipher):
            raise PassphraseWrong(
                "a secret value needs a passphrase", hint="set PULUMI_CONFIG_PASSPHRASE and run again"
            )
        value = ConfigValue(opened.cipher.close(text, known_as=key), secure=True)
        config = replace(config, salt=config.salt or opened.cipher.salt)
    config.with_value(full_key(opened.project.name, key), value).save()


async def remove_config(engine: BuiltIn, ref: StackRef, key: str) -> bool:
    """Remove one value; False if there was none."""
    opened = await engine.open(ref)
    full = full_key(opened.project.name, key)
    if full not in opened.config.values:
        return False
    opened.config.with_value(full, None).save()
    return True


def export(engine: BuiltIn, ref: StackRef) -> bytes:
    """The deployment as `pulumi stack export` writes it; secrets stay encrypted."""
    document = orjson.loads(engine.backend(ref).read())
    latest = (document.get("checkpoint") or {}).get("latest") or {}
    return orjson.dumps({"version": state.VERSION, "deployment": latest}, option=orjson.OPT_INDENT_2)


async def import_(engine: BuiltIn, ref: StackRef, data: bytes) -> int:
    """Replace the state by an exported deployment, after checking it; returns the number of resources."""
    project = load_project(ref.work_dir).name
    try:
        document = orjson.loads(data)
        deployment = document["deployment"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise StateBroken(f"this is no exported stack: {error!r}") from error
    checkpoint = {
        "version": document.get("version"),
        "checkpoint": {"stack": f"organization/{project}/{ref.stack}", "latest": deployment},
    }
    whole = orjson.dumps(checkpoint)
    opened = await engine.open(ref)
    snapshot = state.parse(whole, opened.cipher, "the imported deployment")
    backend = opened.backend
    async with backend.locks.writing(on_wait=lambda _: None):
        backend.back_up(backend.read())
        backend.write(whole)
    return len(snapshot.resources)
