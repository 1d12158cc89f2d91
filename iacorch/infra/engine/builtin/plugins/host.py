"""Finds provider plugins and starts them.

In: a package name. Out: a `Plugin` that shook hands. A plugin is looked for beside the running Python, on PATH and in
Pulumi's own plugin folder; then in `bundled`, the table of plugins that iacorch brings along. Nothing is ever
downloaded.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import grpc.aio

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin import child
from iacorch.infra.engine.builtin.plugins.plugin import CHANNEL_OPTIONS, Plugin
from iacorch.infra.engine.errors import PluginDied, PluginMissing
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks


def find(package: str, bundled: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> Sequence[str]:
    """The command that starts the plugin of `package`. PluginMissing says where it was looked for."""
    program = f"pulumi-resource-{package}"
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    if found := shutil.which(program, path=path):
        return [found]
    home = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    for folder in sorted(home.glob(f"resource-{package}-v*"), key=_version, reverse=True):
        if os.access(folder / program, os.X_OK):
            return [str(folder / program)]
    if package in bundled:
        return bundled[package]
    raise PluginMissing(
        f"there is no provider plugin for the package {package!r}: {program} is neither on PATH nor in {home}",
        hint="install the plugin there; the built-in engine downloads none, the Pulumi CLI does",
    )


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", folder.name.rpartition("-v")[2]))


class PluginHost:
    """Starts plugins and ends them all when left."""

    def __init__(
        self, tasks: Tasks, bundled: Mapping[str, Sequence[str]], environment: Mapping[str, str], root: Path,
        program: Path, on_line: Callable[[str, str], None], held: Sequence[int],
        fixed: Mapping[str, Sequence[str]],
    ) -> None:  # fmt: skip
        """`held`: descriptors that every plugin inherits, so that the next run knows when the last is gone.

        `fixed`: commands of plugins that are not looked for.
        """
        self._tasks, self._bundled, self._environment = tasks, bundled, environment
        self._root, self._program, self._on_line, self._held = root, program, on_line, held
        self._fixed = fixed
        self._plugins: list[Plugin] = []
        self._expected: dict[str, asyncio.Task[Plugin | EngineError]] = {}
        self.engine_address = ""

    def expect(self, package: str) -> None:
        """Begin to start a plugin that will probably be asked for; what goes wrong is told to whoever asks for it."""
        if package not in self._expected:
            self._expected[package] = self._tasks.spawn(self._started(package), name=f"start {package}")

    async def load(self, package: str) -> Plugin:
        """Start the plugin of `package` and shake hands."""
        expected = self._expected.pop(package, None)
        started = await (self._started(package) if expected is None else expected)
        if isinstance(started, EngineError):
            raise started
        self._plugins.append(started)
        await started.handshake(self.engine_address, self._root, self._program)
        return started

    async def _started(self, package: str) -> Plugin | EngineError:
        try:
            return await self._start(package)
        except EngineError as error:
            return error

    async def _start(self, package: str) -> Plugin:
        argv = self._fixed.get(package) or find(package, self._bundled, self._environment)
        process = await child.start(
            [*argv, self.engine_address], name=f"provider {package}", cwd=self._program, environment=self._environment,
            pass_fds=self._held,
        )  # fmt: skip
        port = None
        try:
            async with asyncio.timeout(limits.ENGINE_PLUGIN_START_SECONDS):
                port = await process.first_line()
        except TimeoutError:
            pass  # told below, with what it printed
        except asyncio.CancelledError:
            await process.stop()
            raise
        process.follow(self._tasks, lambda line: self._on_line(package, line))
        if port is None or not port.isdigit():
            await process.stop()
            found = f"it printed {port!r} for a port" if port is not None else "it printed no port"
            said = f"\n{process.tail}" if process.tail else ""
            raise PluginDied(f"the provider plugin {argv[0]} did not start: {found}{said}")
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        return Plugin(package, process, channel, self._program)

    async def close(self) -> None:
        """End every plugin, also those that were expected in vain."""
        expected, self._expected = self._expected, {}
        for task in expected.values():
            task.cancel()
        for unused in await asyncio.gather(*expected.values(), return_exceptions=True):
            if isinstance(unused, Plugin):
                self._plugins.append(unused)
        plugins, self._plugins = self._plugins, []
        await asyncio.gather(*(plugin.close() for plugin in plugins))
