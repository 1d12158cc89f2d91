"""Nodes and pods as network namespaces that live as long as a process of ours: nothing is left behind, whatever fails.

`Fleet` makes two nodes joined by a wire, an agent process in each, and pods as processes in namespaces of their own.
Namespaces have no names, so two runs at once cannot meet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 20.0
POD = [str(Path(__file__).with_name("pod_program.py"))]
AGENT = "tests.agent.network.agent_program"


def why_not() -> str:
    """Why namespaces cannot be made here; "" when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("nft", "ip", "unshare", "nsenter"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    tried = subprocess.run(["unshare", "-n", "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"network namespaces cannot be made here: {tried.stderr.strip()[:100]}"


needs_netns = [pytest.mark.netns, pytest.mark.skipif(bool(why_not()), reason=why_not() or "available")]


def eventually(look: Callable[[], T], right: Callable[[T], bool]) -> T:
    """Look until it is right; what was seen last when it takes too long, for the caller's assert to show."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        seen = look()
        if right(seen) or time.monotonic() > end:
            return seen
        time.sleep(0.02)


class Remote:
    """A program of ours, obeying."""

    def __init__(self, enter: list[str], arguments: list[str], *, away: bool = False) -> None:
        self._process = subprocess.Popen(
            [*enter, sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "AWAY": "1" if away else ""},
        )
        self.pid = self._process.pid

    def ask(self, do: str, **arguments: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(orjson.dumps({"do": do, **arguments}) + b"\n")
        stdin.flush()
        line = stdout.readline()
        assert line, f"{self._process.args!r} ended"
        return orjson.loads(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


class Node:
    """A namespace that outlives its agent."""

    def __init__(self, number: int, directory: Path) -> None:
        self.number, self.name, self.address = number, f"node-{number}", f"172.31.0.{number}"
        self.directory = directory
        self.host = Remote(["unshare", "-n"], POD)
        self.host.ask("tcp", address="127.0.0.1", port=1, count=0)
        self.enter = ["nsenter", "-t", str(self.host.pid), "-n"]
        self.agent: Remote | None = None

    def run(self, *command: str) -> str:
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True).stdout

    def start_agent(self, *, away: bool = False) -> Remote:
        self.agent = Remote(self.enter, ["-m", AGENT, self.name, self.address, str(self.directory)], away=away)
        return self.agent

    def wait_ready(self) -> None:
        agent = self.agent
        assert agent is not None
        state = eventually(lambda: agent.ask("state"), lambda seen: bool(seen["ready"]))
        assert state["ready"], state

    def kill_agent(self) -> None:
        if self.agent is not None:
            self.agent.kill()
            self.agent = None

    def close(self) -> None:
        self.kill_agent()
        self.host.kill()

    def object(self) -> dict[str, Any]:
        return {
            "kind": "Node",
            "metadata": {"name": self.name},
            "spec": {"podCIDR": f"10.244.{self.number}.0/24"},
            "status": {"addresses": [{"type": "InternalIP", "address": self.address}]},
        }


class Fleet:
    """Two nodes and their pods; a context manager, so that whatever fails, every process ends."""

    def __init__(self, directory: Path, *, how_many: int = 2) -> None:
        self.nodes = [Node(n, directory / str(n)) for n in range(1, how_many + 1)]
        self.pods: dict[str, Remote] = {}
        self.addresses: dict[str, str] = {}

    def __enter__(self) -> Fleet:
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_up(self) -> None:
        one, two = str(self.nodes[0].host.pid), str(self.nodes[-1].host.pid)
        other = "wire" if one != two else "unused"
        wire = ["name", "wire", "netns", one, "type", "veth", "peer", "name", other, "netns", two]
        subprocess.run(["ip", "link", "add", *wire], check=True)
        for node in self.nodes:
            node.run("ip", "link", "set", "lo", "up")
            node.run("ip", "link", "set", "wire", "up")
            node.run("ip", "address", "add", f"{node.address}/24", "dev", "wire")
        for node in self.nodes:
            node.start_agent()
        self.put(*(node.object() for node in self.nodes))
        for node in self.nodes:
            node.wait_ready()

    def close(self) -> None:
        for pod in self.pods.values():
            pod.kill()
        for node in self.nodes:
            node.close()

    def put(self, *objects: dict[str, Any]) -> None:
        for node in self.nodes:
            if node.agent is not None:
                node.agent.ask("put", objects=objects)

    def agent(self, node: int) -> Remote:
        agent = self.nodes[node].agent
        assert agent is not None
        return agent

    def pod(self, name: str, node: int, **attach: Any) -> str:
        """Start a pod that serves 8080 on a node; answers its address."""
        pod = self.pods[name] = Remote(["unshare", "-n"], POD)
        pod.ask("serve", name=name, port=8080)
        who = {"pod_uid": f"uid-{name}", "namespace": "default", "name": name, "sandbox_pid": pod.pid}
        address = self.agent(node).ask("attach", **who, **attach)
        assert isinstance(address, str), address
        self.addresses[name] = address
        return address

    def enter_pod(self, name: str, *command: str) -> None:
        subprocess.run(["nsenter", "-t", str(self.pods[name].pid), "-n", *command], check=False, capture_output=True)
