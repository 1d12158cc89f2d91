"""The one door to libcloud: one call at a time in a thread, retries, errors translated.

In: the name of a method of libcloud's driver. Out: its answer, or a leaf of MachineError. libcloud's connections are
not made for several threads, hence the lock. Its drivers say most things in the text of an HTTP error, so that text is
read for the few words that decide what the caller does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import libcloud.compute.providers
import requests
from libcloud.common.exceptions import RateLimitReachedError
from libcloud.common.types import InvalidCredsError, LibcloudError, ServiceUnavailableError
from libcloud.compute.base import NodeDriver
from libcloud.compute.types import Provider

from iacorch.errors import MachineError
from iacorch.infra.machines.errors import (
    CannotDo,
    CloudRefused,
    CloudUnavailable,
    InsufficientCapacity,
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    MissingCredentials,
    NotPermitted,
    QuotaExceeded,
    Throttled,
    UnknownImage,
)
from iacorch.infra.machines.libcloud.settings import LibcloudSettings
from iacorch.infra.machines.retries import Retries
from iacorch.kit import limits

_THROTTLED = ("requestlimitexceeded", "throttl", "rate limit")
_QUOTA = ("quota", "limitexceeded", "limit exceeded", "reached the maximum")
_NO_ROOM = (
    "no valid host",
    "out of stock",
    "any more capacity",
    "size is not available in",
    "plan is not available in",
)
_LOOKED_IN = ("settings.positional", "settings.arguments")


class Libcloud:
    """One account at one cloud."""

    def __init__(self, driver: Any, provider: str, retries: Retries) -> None:
        self._driver = driver
        self._provider = provider
        self._retries = retries
        self._lock = asyncio.Lock()

    def does(self, method: str) -> bool:
        """Whether the cloud's driver has a method of its own, which libcloud's base class only declares."""
        declared = getattr(NodeDriver, method, None)
        found = getattr(type(self._driver), method, None)
        return found is not None and found is not declared

    def takes(self, method: str, argument: str) -> bool:
        """Whether a method has this argument: drivers differ in what a machine may be made with."""
        return argument in inspect.signature(getattr(self._driver, method)).parameters

    def takes_keys(self) -> bool:
        """Whether machines take the text of a public key as `auth`; some drivers say so and have no such argument."""
        known: tuple[str, ...] = tuple(getattr(self._driver, "features", {}).get("create_node", ()))
        return "ssh_key" in known and self.takes("create_node", "auth")

    async def once(self, method: str, *arguments: Any, about: str = "", **named: Any) -> Any:
        """One call, not repeated: for what makes things."""
        call: Callable[..., Any] = getattr(self._driver, method)
        async with self._lock:
            try:
                async with asyncio.timeout(limits.CLOUD_CALL_SECONDS):
                    return await asyncio.to_thread(call, *arguments, **named)
            except NotImplementedError as error:
                raise CannotDo(f"libcloud ({self._provider})", method) from error
            except (requests.RequestException, OSError, TimeoutError) as error:
                raise CloudUnavailable(method, str(error) or type(error).__name__) from error
            except Exception as error:  # a third of libcloud's drivers raise Exception itself for what clouds refuse
                if type(error) is not Exception and not type(error).__module__.startswith("libcloud."):
                    raise
                raise meaning(self._provider, method, error, about=about) from error

    async def call(self, method: str, *arguments: Any, about: str = "", **named: Any) -> Any:
        """A call that may be repeated."""
        return await self._retries.run(lambda: self.once(method, *arguments, about=about, **named))


def opened(settings: LibcloudSettings, retries: Retries) -> Libcloud:
    """Raises InvalidSpec (no such provider, wrong arguments), MissingCredentials."""
    names = {name.lower(): value for name, value in vars(Provider).items() if name.isupper()}
    provider = settings.provider.lower()
    if provider not in names:
        known = ", ".join(sorted(names)[:8])
        raise InvalidSpec("provider", f"libcloud has no provider {settings.provider!r}", hint=f"it has {known}, ...")
    try:
        made = libcloud.compute.providers.get_driver(names[provider])(*settings.positional, **settings.arguments)
    except InvalidCredsError as error:
        raise MissingCredentials(settings.provider, looked_in=_LOOKED_IN, found=str(error)) from error
    except (TypeError, ValueError, AttributeError, LibcloudError) as error:
        raise InvalidSpec("arguments", f"{settings.provider}: {error}", hint=_signature(names[provider])) from error
    return Libcloud(made, settings.provider, retries)


def meaning(provider: str, operation: str, error: Exception, *, about: str) -> MachineError:
    """The leaf for what libcloud raised. Pure."""
    said = str(error)
    lowered = said.lower()
    code = int(getattr(error, "code", 0) or getattr(error, "http_code", 0) or 0)
    if isinstance(error, RateLimitReachedError):
        return Throttled(operation, retry_after_seconds=error.retry_after)
    if code == 429 or any(words in lowered for words in _THROTTLED):
        return Throttled(operation)
    if isinstance(error, InvalidCredsError) or code == 401:
        return MissingCredentials(provider, looked_in=_LOOKED_IN, found=f"the cloud does not take them: {said}")
    if any(words in lowered for words in _QUOTA):
        return QuotaExceeded("machines", said)
    if ("insufficient" in lowered and "capacity" in lowered) or any(words in lowered for words in _NO_ROOM):
        return InsufficientCapacity(zone="", instance_type=about)
    if code == 403:
        return NotPermitted(operation, said)
    if "idempotentparam" in lowered:
        return MachineExists(about, "", f"another machine was asked for under the same token: {said}")
    if "amiid" in lowered or "image" in operation:
        return UnknownImage(about, field="image")
    if code == 404 or "instanceid.notfound" in lowered:
        return MachineNotFound(about)
    if code >= 500 or isinstance(error, ServiceUnavailableError):
        return CloudUnavailable(operation, said)
    return CloudRefused(operation, code=str(code or type(error).__name__), message=said)


def _signature(provider: Any) -> str:
    made = libcloud.compute.providers.get_driver(provider)
    return f"its arguments are {inspect.signature(made.__init__)}"
