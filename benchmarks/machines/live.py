"""`stacks/qemu.py` from nothing to pods on virtual machines and back to nothing, with the seconds of each stage.

    sudo iacorch image machine FOLDER
    python benchmarks/machines/live.py FOLDER [--workers 2] [--accelerator auto] [--json]

In FOLDER is what `iacorch image machine` made. The built-in engine runs the program in a folder of its own. What must
be true: every node Ready under the address that other machines reach; a pod with limits on each, whose control group
has them (with cgroup v2 the file memory.max); pods of two machines reach each other; a container over its memory is
OOMKilled; the same `up` again changes nothing; `destroy` leaves no process and no disk. Emulated machines take a
quarter of an hour and both cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.agent import busybox

HERE = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 3_600.0
LIMIT_BYTES = 32 * 1024**2
#: event of `iacorch up` -> the stage that ends with it
STAGES = {
    "control-plane: building": "machines boot until SSH lets the control plane's in",
    "ControlPlane control-plane  created": "control plane bootstrapped",
    "worker-1: building": "the worker's machine lets SSH in",
    "Node worker-1  created": "node bootstrapped and Ready",
}


class Fleet:
    """One stack in a folder of its own."""

    def __init__(self, folder: Path, image: Path, *, workers: int, accelerator: str, show: Callable[..., None]) -> None:
        self.folder, self._show = folder, show
        self.machines = folder / "machines"
        self.environment = {
            **os.environ,
            "PATH": f"{HERE / '.tools/bin'}:{HERE / '.venv/bin'}:{os.environ['PATH']}",
            "PULUMI_CONFIG_PASSPHRASE": "bench",
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "IACORCH_ENGINE": "builtin",
            "KUBECONFIG": str(folder / "kubeconfig"),
        }
        (folder / "Pulumi.yaml").write_text((HERE / "Pulumi.yaml").read_text())
        for name in ("stacks", ".venv"):
            (folder / name).symlink_to(HERE / name)
        config = {
            "image": str(image / "disk.qcow2"),
            "kernel": str(image / "vmlinuz"),
            "initrd": str(image / "initrd"),
            "folder": str(self.machines),
            "workers": str(workers),
            "instance_type": "medium",
            "accelerator": accelerator,
            "api_port": "26443",
        }
        settings = {"config": {f"iacorch:{name}": value for name, value in config.items()}}
        (folder / "Pulumi.qemu.yaml").write_text(yaml.safe_dump(settings))
        self.run("iacorch", "stack", "select", "--create", "qemu")

    def run(self, *command: str, given: str = "") -> str:
        """Its output; whatever it says is shown when it fails."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, input=given, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")
        return done.stdout

    def up(self) -> str:
        """With a row for each stage."""
        began, said = time.monotonic(), []
        with subprocess.Popen(
            ["iacorch", "up", "--yes", "--stack", "qemu"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                for event in [event for event in STAGES if event in line]:
                    self._show(STAGES[event], time.monotonic() - began, "s since the start")
        if process.returncode:
            sys.exit("".join(said[-60:]))
        return "".join(said)

    def wait(self, what: str, ask: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ask():
            if time.monotonic() >= deadline:
                sys.exit(f"not in {PATIENCE_SECONDS:.0f} s: {what}\n{self.run('kubectl', 'describe', 'pods')}")
            time.sleep(1)

    def on(self, node: str, script: str) -> str:
        """A shell on a machine."""
        outputs = json.loads(self.run("iacorch", "stack", "output", "--json", "--show-secrets", "--stack", "qemu"))
        key, way = self.folder / "key", outputs["nodes"][node]
        key.touch(mode=0o600)
        key.write_text(outputs["ssh_key"])
        options = ["-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "LogLevel=ERROR", "-i", str(key), "-p", str(int(way["port"]))]
        return self.run("ssh", *options, f"{way['user']}@{way['address']}", "sudo", "sh", "-s", given=script)

    def pod(self, name: str, node: str, script: str, limit_bytes: int = LIMIT_BYTES) -> None:
        container = {
            "name": "main",
            "image": busybox.IMAGE,
            "imagePullPolicy": "Never",
            "command": ["/bin/busybox", "sh", "-c", script],
            "resources": {"limits": {"memory": str(limit_bytes), "cpu": "500m"}},
        }
        spec = {
            "nodeName": node,
            "restartPolicy": "Never",
            "containers": [container],
            "terminationGracePeriodSeconds": 1,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self.run("kubectl", "apply", "-f", "-", given=json.dumps(pod))

    def status(self, name: str, path: str) -> str:
        return self.run("kubectl", "get", "pod", name, "-o", f"jsonpath={{.status.{path}}}")

    def processes(self) -> list[str]:
        """QEMUs of these machines."""
        found = subprocess.run(["pgrep", "-af", str(self.machines)], capture_output=True, text=True, check=False)
        return [line for line in found.stdout.splitlines() if "qemu-system" in line]


def tell(fleet: Fleet, workers: int, show: Callable[..., None]) -> None:
    @contextmanager
    def timed(what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        show(what, time.monotonic() - began, "s")

    nodes = [f"worker-{number}" for number in range(1, workers + 1)]
    with timed("up: from nothing to nodes that are Ready"):
        fleet.up()
    kubeconfig = fleet.run("iacorch", "stack", "output", "kubeconfig", "--show-secrets", "--stack", "qemu")
    Path(fleet.environment["KUBECONFIG"]).write_text(kubeconfig)
    with timed("the image onto the nodes"):
        fleet.run("iacorch", "image", "load", "--stack", "qemu", busybox.IMAGE)
    for node in nodes:
        with timed(f"a pod with limits runs on {node}"):
            fleet.pod(f"on-{node}", node, "echo here is $(hostname); exec httpd -f -p 8080 -h /bin")
            fleet.wait(f"on-{node}", lambda name=f"on-{node}": fleet.status(name, "phase") == "Running")  # type: ignore[misc]
        assert "here is" in fleet.run("kubectl", "logs", f"on-{node}")
        looked = fleet.on(node, _LIMIT.format(name=f"on-{node}"))
        assert looked.split() == [str(LIMIT_BYTES)], looked
    if workers > 1:
        with timed("a pod of one machine is asked by a pod of another"):
            address = fleet.status(f"on-{nodes[0]}", "podIP")
            fleet.pod("asks", nodes[1], f"wget -q -O /dev/null http://{address}:8080/busybox && echo answered")
            fleet.wait("asks", lambda: fleet.status("asks", "phase") in ("Succeeded", "Failed"))
        assert "answered" in fleet.run("kubectl", "logs", "asks")
    with timed("a container over its memory is OOMKilled"):
        fleet.pod("greedy", nodes[0], "dd if=/dev/zero of=/dev/null bs=256M count=1")
        fleet.wait("greedy", lambda: fleet.status("greedy", "phase") == "Failed")
    reason = fleet.status("greedy", "containerStatuses[0].state.terminated.reason")
    assert reason == "OOMKilled", reason
    with timed("up again, nothing changed"):
        again = fleet.up()
    assert "created" not in again and "updated" not in again, again  # noqa: PT018  # one idea
    with timed("destroy"):
        fleet.run("iacorch", "destroy", "--yes", "--stack", "qemu")
    assert not fleet.processes(), fleet.processes()
    assert not list(fleet.machines.glob("*/*/*")), list(fleet.machines.glob("*/*/*"))


_LIMIT = """
id=$(docker ps -q --filter name=iacorch_main_{name}_)
group=$(sed -n 's/^0:://p' /proc/$(docker inspect -f '{{{{.State.Pid}}}}' "$id")/cgroup)
cat /sys/fs/cgroup$group/memory.max
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, help="what `iacorch image machine` made")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    def show(name: str, value: float, unit: str) -> None:
        found = {"name": f"QEMU: {name}", "value": round(value, 1), "unit": unit, "goal": None}
        print(json.dumps(found) if arguments.json else f"  {name:<60} {value:>8.1f} {unit}", flush=True)

    busybox.image()
    with tempfile.TemporaryDirectory(prefix="iacorch-qemu-") as name:
        fleet = Fleet(
            Path(name),
            arguments.image.absolute(),
            workers=arguments.workers,
            accelerator=arguments.accelerator,
            show=show,
        )
        try:
            tell(fleet, arguments.workers, show)
        finally:
            if fleet.processes():
                fleet.run("iacorch", "destroy", "--yes", "--stack", "qemu")


if __name__ == "__main__":
    main()
