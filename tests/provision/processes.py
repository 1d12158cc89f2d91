"""A control plane and provisioners as processes, to be killed; shared by the tests of pools on a cloud."""

from __future__ import annotations

import base64
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from iacorch.kit.clock import SystemClock
from tests.infra.engine.killable import Kill
from tests.server import daemon

REGION = "eu-central-1"
PATIENCE_SECONDS = 600.0
_TOKEN = "lets-machines-join-0123456789"
_PROGRAM = """import json, os, pulumi
pulumi.export("joining", pulumi.Output.secret(json.loads(os.environ["JOINING"])))
"""
Running = subprocess.Popen[bytes]


async def until(holds: Callable[[], bool | Awaitable[bool]], what: str, alive: Running | None = None) -> None:
    """Wait for it, boundedly, and only while this process lives."""
    clock = SystemClock()
    give_up = clock.monotonic() + PATIENCE_SECONDS
    while True:
        found = holds()
        if await found if inspect.isawaitable(found) else found:
            return
        assert clock.monotonic() < give_up, f"waited in vain: {what}"
        assert alive is None or alive.poll() is None, f"the provisioner has ended: {what}"
        await clock.sleep(0.2)


def cloud_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that mean nothing, and nothing of the person who runs the tests."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def offering(capacity_type: str, price: str) -> dict[str, Any]:
    return {
        "machineType": "t3.small",
        "zone": f"{REGION}a",
        "capacityType": capacity_type,
        "moneyPerHour": price,
        "capacity": {"cpu": "2", "memory": "2Gi"},
    }


def deployment(*, replicas: int = 1, cpu: str = "500m", image: str = "none") -> dict[str, Any]:
    """Pods that ask for a place; nobody has the image, unless it is said."""
    resources = {"requests": {"cpu": cpu}}
    container = {"name": "x", "image": image, "imagePullPolicy": "Never", "resources": resources}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }


@dataclass
class Site:
    """Everything under one folder: the control plane's data, the stack that says how to join, the provisioner's.

    `build` is a folder with another build of iacorch, which provisioners and commands are from then on.
    """

    root: Path
    kubeconfig: Path = Path()
    build: Path | None = None
    _started: list[Running] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.root / "provisioner"

    def said(self) -> str:
        """By all provisioners so far."""
        log = self.root / "provisioner.log"
        return log.read_text() if log.exists() else ""

    @contextmanager
    def serving(self, *, listen: str = "127.0.0.1:0") -> Iterator[Site]:
        """With a control plane; what was started here ends with the block."""
        token, project = self.root / "token", self.root / "project"
        token.write_text(_TOKEN)
        project.mkdir()
        (project / "Pulumi.yaml").write_text("name: site\nruntime: python\n")
        (project / "__main__.py").write_text(_PROGRAM)
        (self.root / "stacks").mkdir()
        running = daemon.start(self.root / "data", "--join-token-file", str(token), listen=listen)
        try:
            self.kubeconfig = running.kubeconfig
            self.iacorch("stack", "init", "site", stack=False)
            self.iacorch("up", "--yes")
            yield self
        finally:
            for process in self._started:
                process.kill()
                process.communicate()
            daemon.stop(running)

    def provisioner(self, kill: Kill | None = None, *flags: str, state: Path | None = None) -> Running:
        """A new process on the same state, or on another one; it ends itself where `kill` says."""
        log = (self.root / "provisioner.log").open("ab")
        words = ("provisioner", "--state-dir", str(state or self.state), "--kubeconfig", str(self.kubeconfig), *flags)
        module = "tests.infra.engine.killable" if kill is not None else "iacorch.cli.main"
        command = self._command(*words, module=module)
        environment = self._environment() | (kill.environment() if kill is not None else {})
        with log:
            process = subprocess.Popen(
                command, cwd=self.build, env=environment, stdout=log, stderr=log, process_group=0
            )
        self._started.append(process)
        return process

    def iacorch(self, *words: str, stack: bool = True) -> str:
        """What a command says, which must do well."""
        if words[0] in ("reap", "upgrade", "why"):
            words = (*words, "--kubeconfig", str(self.kubeconfig))
        command = self._command(*words, stack=stack)
        done = subprocess.run(
            command, cwd=self.build, env=self._environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def machine_class(self, driver: str, template: dict[str, Any], offerings: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "apiVersion": "iacorch.dev/v1alpha1",
            "kind": "MachineClass",
            "metadata": {"name": "rented"},
            "spec": {"driver": driver, "template": template, "offerings": offerings},
        }

    def pool(self, **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "iacorch.dev/v1alpha1",
            "kind": "NodePool",
            "metadata": {"name": "burst"},
            "spec": {"classRef": {"name": "rented"}, **spec},
        }

    def _command(self, *words: str, stack: bool = True, module: str = "iacorch.cli.main") -> list[str]:
        options = ["--cwd", str(self.root / "project"), "--backend", f"file://{self.root / 'stacks'}"]
        options += ["--engine", "builtin", "--stack", "site"] if stack else []
        return [sys.executable, "-m", module, *words, *options]

    def _environment(self) -> dict[str, str]:
        found = yaml.safe_load(self.kubeconfig.read_text())
        (cluster,) = found["clusters"]
        server, ca = cluster["cluster"]["server"], cluster["cluster"]["certificate-authority-data"]
        joining = {
            "server": server,
            "ca_cert": base64.b64decode(ca).decode(),
            "join_token": _TOKEN,
            "kubeconfig": self.kubeconfig.read_text(),
        }
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PULUMI_CONFIG_PASSPHRASE": "x",
            "PULUMI_HOME": str(self.root / "home"),
            "JOINING": json.dumps(joining),
            **({"PYTHONPATH": str(self.build)} if self.build is not None else {}),
        }
