"""What the daemon does around a provisioner: it hears of another way to the API, and waits for no answer for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from iacorch.client.config import Endpoint
from iacorch.daemons.provisioner import is_another
from iacorch.errors import ConfigError
from iacorch.kit.virtual import run_virtual

HERE, ELSEWHERE = Endpoint("https://here", b""), Endpoint("https://elsewhere", b"")


def asked(find: Callable[[], Awaitable[Endpoint]]) -> bool:
    return run_virtual(is_another(find, HERE))


def test_another_way_to_the_api_is_heard_of() -> None:
    async def same() -> Endpoint:
        return HERE

    async def other() -> Endpoint:
        return ELSEWHERE

    assert not asked(same)
    assert asked(other)


def test_who_cannot_read_it_or_gets_no_answer_goes_on_as_before() -> None:
    async def broken() -> Endpoint:
        raise ConfigError("the stack cannot be read")

    async def silent() -> Endpoint:
        await asyncio.Event().wait()
        return ELSEWHERE

    assert not asked(broken)
    assert not asked(silent)
