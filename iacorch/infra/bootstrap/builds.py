"""Another build of a daemon in the place of the one that runs, and back again.

A new build lies beside the old one (`/opt/iacorch/ID`), and the unit names the one that runs. In: a session, the unit,
the ID of the build before. `remember` keeps what the unit read, `go_back` puts it there again and starts the old build,
`forget` drops builds that nobody would go back to. Called by the provider around a playbook that changes the build.
"""

from __future__ import annotations

from typing import Final

from iacorch.infra.bootstrap.ssh import SshSession
from iacorch.kit import limits

_REMEMBER: Final = """\
set -e
umask 077
tar -C / -cf /opt/iacorch/{build}/before.tar etc/iacorch etc/systemd/system/{unit}.service
"""
_GO_BACK: Final = """\
set -e
tar -C / -xpf /opt/iacorch/{build}/before.tar
systemctl daemon-reload
systemctl reset-failed {unit}.service 2>/dev/null || true
systemctl restart {unit}.service
systemctl is-active {unit}.service
"""
# What is younger than an hour may be another unit's, which is just being changed to it.
_FORGET: Final = """\
find /opt/iacorch -mindepth 1 -maxdepth 1 -type d ! -name {build} -mmin +60 | while read -r build; do
  grep -qs "$build/" /etc/systemd/system/iacorch*.service || rm -rf "$build"
done
"""


async def remember(session: SshSession, unit: str, build: str) -> None:
    """Raises RemoteFailed."""
    await session.run(_REMEMBER.format(unit=unit, build=build))


async def go_back(session: SshSession, unit: str, build: str) -> None:
    """Raises RemoteFailed where the old build does not start either."""
    await session.run(_GO_BACK.format(unit=unit, build=build), timeout_seconds=limits.GO_BACK_SECONDS)


async def forget(session: SshSession, build: str) -> None:
    """`build` stays, and what units name."""
    await session.run(_FORGET.format(build=build))
