"""Asks things of the fleet as a person would: with kubectl, docker and iacorch."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
APP = "app.kubernetes.io/name=web"


class NotHappened(Exception):
    """Something that was promised did not happen."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet of this checkout: its kubectl, its machines (node name -> container), its web address."""

    kubectl_path: str
    kubeconfig: Path
    machines: dict[str, str]
    address: tuple[str, int]

    @staticmethod
    def of_this_checkout() -> Fleet:
        kubeconfig = ROOT / ".iacorch/kubeconfig"
        if not kubeconfig.exists():
            raise SystemExit("there is no fleet yet: run `make up` first")
        kubectl = run([str(ROOT / "scripts/kubectl")])
        nodes = json.loads(run([*IACORCH, "stack", "output", "nodes", "--json"]))
        machines = {name: node["machine"] for name, node in nodes.items()}
        first = nodes[min(nodes)]
        port = json.loads(run([kubectl, "--kubeconfig", str(kubeconfig), "get", "service", "web", "-o", "json"]))[
            "spec"
        ]["ports"][0]["nodePort"]
        return Fleet(kubectl, kubeconfig, machines, (first["loopback"], first["published"][str(port)]))

    def kubectl(self, *arguments: str, timeout_seconds: float = 180, check: bool = True) -> str:
        """Show and run a kubectl command; its output."""
        print(f"   $ kubectl {' '.join(arguments)}", flush=True)
        return self.ask(*arguments, timeout_seconds=timeout_seconds, check=check)

    def ask(self, *arguments: str, timeout_seconds: float = 60, check: bool = True) -> str:
        command = [self.kubectl_path, "--kubeconfig", str(self.kubeconfig), *arguments]
        return run(command, timeout_seconds=timeout_seconds, check=check)

    def get(self, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.ask("get", *arguments, "-o", "json"))
        return answer

    def web_pods(self) -> list[dict[str, Any]]:
        """The web tier's pods that are not on their way out."""
        pods = self.get("pods", "-l", APP)["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[dict[str, Any]]:
        return [pod for pod in self.web_pods() if condition(pod, "Ready") == "True"]

    def endpoints(self) -> set[str]:
        """Names of the pods that the web Service sends traffic to."""
        slices = self.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        ready = [end for each in slices for end in each.get("endpoints") or () if end["conditions"].get("ready")]
        return {end["targetRef"]["name"] for end in ready}

    def machine(self, node: str) -> str:
        return self.machines[node]

    def in_machine(self, node: str, *command: str) -> str:
        """Run a command inside a machine, as its administrator would."""
        print(f"   {node}# {' '.join(command)}", flush=True)
        return run(["docker", "exec", self.machine(node), *command])

    def docker(self, *arguments: str) -> str:
        print(f"   $ docker {' '.join(arguments)}", flush=True)
        return run(["docker", *arguments])

    def iacorch(self, *arguments: str, timeout_seconds: float = 300) -> str:
        print(f"   $ iacorch {' '.join(arguments)}", flush=True)
        return run([*IACORCH, *arguments], timeout_seconds=timeout_seconds)


IACORCH: Sequence[str] = (str(ROOT / ".venv/bin/iacorch"),)


def condition(obj: dict[str, Any], kind: str) -> str:
    conditions = obj.get("status", {}).get("conditions") or ()
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "Unknown")


def run(command: Sequence[str], *, timeout_seconds: float = 60, check: bool = True) -> str:
    """The command's output. Raises NotHappened with what it said when it fails."""
    environment = os.environ | {"PULUMI_CONFIG_PASSPHRASE_FILE": str(ROOT / ".iacorch/passphrase")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_seconds, check=False, cwd=ROOT, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise NotHappened(f"{' '.join(command)} did not end within {timeout_seconds:.0f} s") from error
    if check and done.returncode != 0:
        raise NotHappened(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout.strip()


def keep(name: str, seconds: float, *, goal: float) -> None:
    """Leave a measured time for `make bench`."""
    place = ROOT / ".iacorch/measured"
    place.mkdir(parents=True, exist_ok=True)
    row = {"name": f"demo: {name}", "value": round(seconds, 1), "unit": "s", "goal": goal}
    (place / f"demo.{name.replace(' ', '-')}.json").write_text(json.dumps(row) + "\n")


def wait_for(what: str, happened: Callable[[], T | None], *, within_seconds: float) -> T:
    """Poll until `happened` returns something true; says how long it took. Raises NotHappened."""
    began = time.monotonic()
    while True:
        try:
            found = happened()
        except NotHappened:
            found = None
        seconds = time.monotonic() - began
        if found:
            print(f"   {what}: {seconds:.1f} s", flush=True)
            return found
        if seconds > within_seconds:
            raise NotHappened(f"{what}: not within {within_seconds:.0f} s")
        time.sleep(0.1)
