"""`iacorchd` as a process: starts, stops, is killed, starts again."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from iacorch.api.catalogue import CONFIG_MAP, SECRET
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.client.informer import Informer
from iacorch.kit.clock import SystemClock
from iacorch.kit.tasks import Tasks
from tests.server import daemon


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"k": "v" * 100}}


async def create_until_it_dies(running: daemon.Daemon, kill_after: int) -> list[str]:
    """Names of what was acknowledged; the daemon is killed in the middle of it."""
    acknowledged: list[str] = []

    async def worker(client: HttpClient, number: int) -> None:
        for index in range(10_000):
            name = f"m-{number}-{index}"
            await client.create(CONFIG_MAP, config_map(name))
            acknowledged.append(name)
            if len(acknowledged) == kill_after:
                running.process.kill()

    async with HttpClient(read_kubeconfig(running.kubeconfig)) as client:
        await asyncio.gather(*(worker(client, number) for number in range(8)), return_exceptions=True)
    return acknowledged


async def names_in(running: daemon.Daemon) -> set[str]:
    async with HttpClient(read_kubeconfig(running.kubeconfig)) as client:
        return {obj["metadata"]["name"] for obj in (await client.list(CONFIG_MAP, "default")).items}


def test_kill_9_in_the_middle_of_writes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    running = daemon.start(tmp_path / "data", "--no-controllers")
    acknowledged = asyncio.run(create_until_it_dies(running, 200))
    assert running.process.wait(10) == -signal.SIGKILL
    assert len(acknowledged) >= 200
    with daemon.running(tmp_path / "data", "--no-controllers") as again:
        assert set(acknowledged) <= asyncio.run(names_in(again))


def test_sigterm_ends_it_cleanly_and_the_next_one_goes_on(tmp_path: Path) -> None:
    running = daemon.start(tmp_path / "data", "--no-controllers")
    authority = (tmp_path / "data" / "ca.crt").read_bytes()
    assert daemon.stop(running) == 0
    with daemon.running(tmp_path / "data", "--no-controllers"):
        assert (tmp_path / "data" / "ca.crt").read_bytes() == authority


async def told_across_a_restart(first: daemon.Daemon, number: signal.Signals) -> tuple[daemon.Daemon, set[str]]:
    """What an informer holds that watched through a restart at the same address, in which objects came and went."""
    endpoint = read_kubeconfig(first.kubeconfig)
    async with HttpClient(endpoint) as client, Tasks("test") as tasks:
        for name in ("kept", "dropped"):
            await client.create(CONFIG_MAP, config_map(name))
        informer = Informer(client, CONFIG_MAP, "default", clock=SystemClock())
        tasks.spawn(informer.run())
        await informer.synced.wait()
        daemon.stop(first, number)
        again = await asyncio.to_thread(
            daemon.start, first.data_dir, "--no-controllers", listen=endpoint.url.removeprefix("https://")
        )
        try:
            async with HttpClient(endpoint) as other:
                await other.delete(CONFIG_MAP, "default", "dropped")
                made = await other.create(CONFIG_MAP, config_map("new"))
            revision = int(made["metadata"]["resourceVersion"])
            assert await informer.reached(revision, timeout_seconds=60), "the informer never heard of it"
        except BaseException:
            daemon.stop(again)
            raise
        return again, {obj["metadata"]["name"] for obj in informer.items()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_informer_lives_through_a_restart(tmp_path: Path, number: signal.Signals) -> None:
    again, names = asyncio.run(told_across_a_restart(daemon.start(tmp_path / "data", "--no-controllers"), number))
    daemon.stop(again)
    assert names == {"kept", "new"}


def test_a_second_one_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with daemon.running(tmp_path / "data", "--no-controllers") as first:
        command = [sys.executable, "-m", "iacorch.daemons.controlplane", "--data-dir", str(tmp_path / "data")]
        second = subprocess.run([*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
        assert second.returncode == 1
        assert f"is in use by another iacorchd (process {first.process.pid})" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_key_that_is_missing_is_not_made_anew_while_secrets_need_it(tmp_path: Path) -> None:
    async def store_a_secret(running: daemon.Daemon) -> None:
        async with HttpClient(read_kubeconfig(running.kubeconfig)) as client:
            await client.create(SECRET, {"metadata": {"namespace": "default", "name": "s"}, "data": {"k": "dg=="}})

    with daemon.running(tmp_path / "data", "--no-controllers") as running:
        asyncio.run(store_a_secret(running))
    key = tmp_path / "data" / "secrets.key"
    aside = key.rename(tmp_path / "aside")
    command = [sys.executable, "-m", "iacorch.daemons.controlplane", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run([*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "secrets.key is missing, and Secrets are stored that only its key can open" in done.stderr
    assert not key.exists()
    aside.rename(key)
    with daemon.running(tmp_path / "data", "--no-controllers"):
        pass


def test_what_it_writes_is_private(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "deep" / "config"
    with daemon.running(tmp_path / "data", "--no-controllers", "--kubeconfig", str(kubeconfig)) as running:
        for path in (kubeconfig, running.kubeconfig, running.data_dir / "secrets.key", running.data_dir / "pki/ca.key"):
            assert path.stat().st_mode & 0o777 == 0o600, path
        assert (running.data_dir / "ca.crt").stat().st_mode & 0o777 == 0o644


def test_further_names_are_in_the_certificate(tmp_path: Path) -> None:
    flags = ("--no-controllers", "--tls-san", "plane.example", "--advertise", "192.0.2.7:6443")
    with daemon.running(tmp_path / "data", *flags) as running:
        certificate = ssl._ssl._test_decode_cert(str(running.data_dir / "pki" / "server.crt"))  # type: ignore[attr-defined]
        names = {value for _, value in certificate["subjectAltName"]}
        assert {"plane.example", "192.0.2.7", "localhost", "127.0.0.1"} <= names
        assert "https://192.0.2.7:6443" in running.kubeconfig.read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["--listen", "nonsense"], "--listen: expected HOST:PORT, found 'nonsense'", id="listen"),
        pytest.param(["--listen", "192.0.2.1:6443"], "cannot listen on 192.0.2.1:6443", id="address"),
        pytest.param(["--join-token-file", "/nowhere"], "--join-token-file: /nowhere cannot be read", id="token"),
    ],
)
def test_wrong_flags_are_told_in_one_message(tmp_path: Path, flags: list[str], words: str) -> None:
    command = [sys.executable, "-m", "iacorch.daemons.controlplane", "--data-dir", str(tmp_path / "data"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_store_is_told_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is not a database " * 100)
    command = [sys.executable, "-m", "iacorch.daemons.controlplane", "--data-dir", str(tmp_path)]
    done = subprocess.run([*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "is not a sound SQLite file" in done.stderr
    assert "Traceback" not in done.stderr
