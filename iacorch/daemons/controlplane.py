"""`iacorchd`: server, controllers and scheduler in one process.

In: flags. Out: a running control plane, until SIGTERM. This is the composition root: it makes the clock, the IDs, the
store, the registry, the server and the controllers, and hands each what it needs; it decides nothing itself. Read on in
`iacorch.server.http.app` and `iacorch.controllers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import structlog
import uvloop

import iacorch
from iacorch import controllers, scheduler
from iacorch.api import catalogue
from iacorch.client.config import Endpoint, kubeconfig
from iacorch.client.informers import Informers
from iacorch.daemons.process import notify, only_one, set_up_logging
from iacorch.errors import ConfigError, IacorchError
from iacorch.kit import limits
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from iacorch.kit.tasks import Tasks
from iacorch.server import bootstrapping, pruning
from iacorch.server.http.app import ApiServer
from iacorch.server.identity.authn import Authenticator
from iacorch.server.identity.pki import Pki, write_private
from iacorch.server.identity.rotation import Rotation
from iacorch.server.local import LocalClient
from iacorch.server.objects.sealing import SecretSeal
from iacorch.server.objects.storage import ObjectStore
from iacorch.server.registry import Registry
from iacorch.store.sqlite import SqliteStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flags say."""

    data_dir: Path
    host: str
    port: int
    advertise: str
    kubeconfig: Path | None
    tls_sans: tuple[str, ...]
    join_token: str
    controllers: bool
    scheduling: str = "spread"
    """A name in `scheduler.PROFILES`."""


_EPILOG: Final = """\b
Examples:
  iacorchd --data-dir /var/lib/iacorchd
  iacorchd --data-dir /var/lib/iacorchd --listen 0.0.0.0:6443 --advertise 192.0.2.1:6443 --join-token-file /etc/token

\b
The administrator's kubeconfig is DATA_DIR/admin.kubeconfig. Bootstrap writes a unit for systemd; see docs/nodes.md.

\b
Exit codes:
  0  it was stopped (SIGTERM, SIGINT)
  1  it could not start or go on; the reason is on standard error
  2  an option is wrong
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EPILOG)
@click.version_option(iacorch.__version__, prog_name="iacorchd")
@click.option("--data-dir", type=click.Path(path_type=Path), required=True, metavar="DIR",
              help="Where everything is kept: objects, keys, certificates.")  # fmt: skip
@click.option("--listen", default="127.0.0.1:6443", show_default=True, metavar="HOST:PORT", help="Where to serve.")
@click.option("--advertise", default="", metavar="HOST:PORT",
              help="Where others reach this server; by default as --listen.")  # fmt: skip
@click.option(
    "--kubeconfig", "kubeconfig_path", type=click.Path(path_type=Path), help="Also write the admin's kubeconfig here."
)
@click.option(
    "--tls-san", "tls_sans", multiple=True, metavar="NAME", help="A further name or address of this server. Repeatable."
)
@click.option("--join-token-file", type=click.Path(path_type=Path), help="The token that lets machines join.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is logged, on standard error.",
)
@click.option(
    "--scheduling",
    type=click.Choice(sorted(scheduler.PROFILES)),
    default="spread",
    show_default=True,
    help="Give pods to the least allocated nodes (spread), or fill nodes one after the other (pack).",
)
@click.option("--no-controllers", is_flag=True, help="Only the API: no controllers, no scheduler.")
def main(
    data_dir: Path,
    listen: str,
    advertise: str,
    kubeconfig_path: Path | None,
    tls_sans: tuple[str, ...],
    join_token_file: Path | None,
    log_level: str,
    scheduling: str,
    no_controllers: bool,
) -> None:
    """Run an iacorch control plane: the API, the controllers and the scheduler."""
    set_up_logging(log_level)
    try:
        host, port = _split_address(listen, "--listen")
        token = _read_token(join_token_file) if join_token_file else ""
        settings = Settings(
            data_dir, host, port, advertise, kubeconfig_path, tls_sans, token, not no_controllers, scheduling
        )
        with only_one(data_dir, "iacorchd"), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except IacorchError as error:
        click.echo(f"iacorchd: {error.message}" + (f"\n  {error.hint}" if error.hint else ""), err=True)
        sys.exit(1)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with running(settings):
        _collect_rarely()
        notify("READY=1")
        await stopping.wait()
        notify("STOPPING=1")


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """A control plane that serves inside the block; yields its URL."""
    clock, ids = SystemClock(), SystemIds()
    pki = Pki(settings.data_dir / "pki", clock=clock, ids=ids)
    store = await SqliteStore.open(settings.data_dir / "store.db")
    try:
        sealed = (await store.range(ObjectStore.prefix(catalogue.SECRET), limit=1)).entries
        cipher = SecretSeal.from_file(settings.data_dir / "secrets.key", ids, needed=bool(sealed))
        registry = Registry(store, clock=clock, ids=ids, cipher=cipher)
        await bootstrapping.fill(registry)
        names = _server_names(settings)
        context = pki.server_context(names)
        url = ""  # known once the port is

        def publish() -> None:
            _write_access(settings, pki, url)
            log.info("certificates were made anew", data_dir=str(settings.data_dir))

        rotation = Rotation(pki, registry.certificates, clock, names=names, publish=publish)
        authenticator = Authenticator(settings.join_token)
        server = ApiServer(registry, pki=pki, authenticator=authenticator, clock=clock, ids=ids, rotation=rotation)
        try:
            port = await server.start(settings.host, settings.port, context)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}",
                where="--listen",
                hint="name another address, or end the process that uses this one",
            ) from error
        url = f"https://{_advertised(settings, port)}"
        _write_access(settings, pki, url)
        async with Tasks("controlplane") as tasks:
            tasks.spawn(registry.guard_store(), name="store")
            tasks.spawn(registry.run_bookmarks(), name="bookmarks")
            tasks.spawn(pruning.run(registry, clock), name="events")
            tasks.spawn(_keep_certificates(rotation, clock), name="certificates")
            if settings.controllers:
                _start_controllers(tasks, LocalClient(registry), clock, ids, settings.scheduling)
            server.ready = True
            log.info("serving", url=url, data_dir=str(settings.data_dir))
            try:
                yield url
            finally:
                await server.stop()
    finally:
        await store.close()


def _start_controllers(tasks: Tasks, client: LocalClient, clock: SystemClock, ids: SystemIds, scheduling: str) -> None:
    """Controllers and scheduler share one set of informers: one copy of the cluster in memory."""
    informers = Informers(client, clock=clock)
    tasks.spawn(informers.run(), name="informers")
    tasks.spawn(controllers.run(client, clock, ids, informers=informers), name="controllers")
    tasks.spawn(
        scheduler.run(client, clock, ids, informers=informers, profile=scheduler.PROFILES[scheduling]), name="scheduler"
    )


async def _keep_certificates(rotation: Rotation, clock: SystemClock) -> None:
    """For ever: certificates near their end are made anew while the server runs."""
    while True:
        await clock.sleep(limits.CERTIFICATE_CHECK_SECONDS)
        try:
            rotation.renew()
        except (ConfigError, OSError) as error:
            log.error("certificates cannot be made anew", error=str(error))


def _write_access(settings: Settings, pki: Pki, url: str) -> None:
    admin = pki.admin()
    endpoint = Endpoint(url, pki.trusted, admin.certificate, admin.key)
    text = kubeconfig(endpoint).encode()
    write_private(settings.data_dir / "ca.crt", pki.trusted, mode=0o644)
    write_private(settings.data_dir / "admin.kubeconfig", text)
    if settings.kubeconfig is not None:
        try:
            settings.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
            write_private(settings.kubeconfig, text)
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", where=str(settings.kubeconfig)) from error


def _server_names(settings: Settings) -> list[str]:
    names = ["localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", *settings.tls_sans]
    if settings.advertise:
        names.append(_split_address(settings.advertise, "--advertise")[0])
    if settings.host not in ("", "0.0.0.0", "::"):
        names.append(settings.host)
    else:
        names.append(socket.gethostname())
    return list(dict.fromkeys(names))


def _advertised(settings: Settings, port: int) -> str:
    if settings.advertise:
        host, asked = _split_address(settings.advertise, "--advertise")
        return f"{host}:{asked or port}"
    host = "127.0.0.1" if settings.host in ("", "0.0.0.0", "::") else settings.host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split_address(text: str, flag: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"expected HOST:PORT, found {text!r}", where=flag)
    return host.strip("[]"), int(port)


def _read_token(path: Path) -> str:
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", where="--join-token-file") from error
    if len(token) < 16:
        raise ConfigError(f"{path} must hold a token of at least 16 characters", where="--join-token-file")
    return token


def _collect_rarely() -> None:
    """Requests make and drop many small dicts and no cycles: look for cycles less often, and never in what is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


if __name__ == "__main__":
    main()
