"""An EC2 whose instances are machines: behind each stands a container of the node image, at the address EC2 tells.

A machine has what cloud-init would have made of its key pair and user data: the image's administrator with sudo, their
keys, a script that is run once. Started, stopped, rebooted and terminated instances are so in truth. By hand, for the
programs in `stacks/`:

    python -m tests.infra.machines.ec2_machines
"""

from __future__ import annotations

import base64
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import boto3
import yaml
from moto.ec2.models import ec2_backends

from iacorch.infra.machines.aws.images import ALIASES
from iacorch.kit.ids import SystemIds
from tests.infra.machines import containers
from tests.infra.machines.ec2_server import Ec2Server, ec2_server

ADMINISTRATOR: Final = "admin"
"""Of Debian's images on EC2."""
LABEL: Final = "iacorch.test/ec2"
_RETIRING: Final = (
    "<eventsSet><item><code>instance-retirement</code><description>scheduled</description>"
    "<notBefore>2099-01-01T00:00:00.000Z</notBefore></item></eventsSet>"
)
_INIT: Final = """set -eu
useradd --create-home --shell /bin/bash {user}
echo '{user} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users
for user in {keyed}; do
  home=$(getent passwd $user | cut -d: -f6)
  install -d -m 0700 -o $user -g $user $home/.ssh
  cat >$home/.ssh/authorized_keys <<'KEYS'
{keys}
KEYS
  chown $user:$user $home/.ssh/authorized_keys
  chmod 0600 $home/.ssh/authorized_keys
done
"""


class Machines:
    """Implements `Behind`. Every container carries the label of this server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.retiring: set[str] = set()
        """IDs of instances that EC2 says it will take away soon, which moto knows nothing of."""

    def __call__(self, action: str, asked: Mapping[str, str], ids: Sequence[str]) -> dict[str, str]:
        told: dict[str, str] = {}
        for id in ids:
            match action:
                case "RunInstances":
                    told |= self._run(id, asked)
                case "TerminateInstances":
                    containers.docker("rm", "--force", "--volumes", self.container(id))
                case "StopInstances":
                    containers.docker("stop", "--time", "10", self.container(id))
                case "StartInstances":
                    containers.docker("start", self.container(id))
                    told |= self._tell_address(id)
                case "RebootInstances":
                    containers.docker("restart", "--time", "10", self.container(id))
                    told |= self._tell_address(id)
                case "DescribeInstanceStatus" if id in self.retiring:
                    told[f"<instanceId>{id}</instanceId>"] = f"<instanceId>{id}</instanceId>{_RETIRING}"
        return told

    def container(self, id: str) -> str:
        return f"iacec2-{self._server}-{id}"

    def alive(self) -> list[str]:
        """Names of the containers."""
        return containers.docker("ps", "--all", "--format", "{{.Names}}", "--filter", self._filter).split()

    def end(self) -> None:
        """Remove them all, whatever the server thinks of them."""
        if names := self.alive():
            subprocess.run(["docker", "rm", "--force", "--volumes", *names], capture_output=True, check=False)

    @property
    def _filter(self) -> str:
        return f"label={LABEL}={self._server}"

    def _run(self, id: str, asked: Mapping[str, str]) -> dict[str, str]:
        name = self.container(id)
        containers.server(name, labels={LABEL: self._server})
        user_data = base64.b64decode(asked.get("UserData", "")).decode()
        config: dict[str, Any] = {}
        if user_data.startswith("#cloud-config"):
            config = yaml.safe_load(user_data) or {}
        keys = [*config.get("ssh_authorized_keys", ()), *_pair(asked.get("KeyName", ""))]
        keyed = f"{ADMINISTRATOR} root" if config.get("disable_root") is False else ADMINISTRATOR
        script = _INIT.format(user=ADMINISTRATOR, keyed=keyed, keys="\n".join(key.strip() for key in keys))
        containers.docker("exec", "-i", name, "sh", text=script)
        if user_data.startswith("#!"):
            containers.docker(
                "exec", "-i", name, "sh", "-c", "cat >/root/user-data; chmod 0700 /root/user-data", text=user_data
            )
            containers.docker("exec", "--detach", name, "/root/user-data")
        return self._tell_address(id)

    def _tell_address(self, id: str) -> dict[str, str]:
        return tell_address(id, containers.address_of(self.container(id)))


def tell_address(id: str, address: str) -> dict[str, str]:
    """Put the machine's address into moto's records; what to change in an answer that was written before."""
    instance = _instance(id)
    nic, before = instance.nics[0], str(instance.private_ip)
    nic.private_ip_address = address
    nic.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": address}]
    nic.public_ip = address
    return {f">{before}<": f">{address}<"}


def _backends() -> list[Any]:
    """What moto keeps for each account and region; IDs of machines and digests of keys are of one account only."""
    return [backend for regions in ec2_backends.values() for backend in regions.values()]


def _instance(id: str) -> Any:
    found = [backend.get_instance_by_id(id) for backend in _backends()]
    (instance,) = (instance for instance in found if instance is not None)
    return instance


def _pair(name: str) -> list[str]:
    """The public key of a key pair; names are digests of keys, so any region's will do."""
    for backend in _backends():
        if name in backend.key_pairs:
            return [str(backend.key_pairs[name].public_key)]
    return []


def debian(server: Ec2Server, region: str) -> str:
    """The ID of an image that `debian-12` means, as its publisher names it."""
    alias = ALIASES["debian-12"]
    anybody = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("ec2", region_name=region, endpoint_url=server.url, **anybody)
    name = alias.pattern.format(arch="amd64").replace("*", "20260101-1")
    found = client.register_image(Name=name, Architecture="x86_64", RootDeviceName="/dev/xvda")
    client.close()
    id = str(found["ImageId"])
    image = ec2_backends[server.account][region].amis[id]
    image.owner_id, image.architecture = alias.owner, "x86_64"  # moto gives it to who asks, and forgets the latter
    return id


@contextmanager
def ec2_with_machines() -> Iterator[tuple[Ec2Server, Machines]]:
    """A server, and the machines behind it, for as long as the block lasts."""
    machines = Machines(SystemIds().suffix())
    with ec2_server() as server:
        server.machines_behind = machines
        try:
            yield server, machines
        finally:
            machines.end()


def main() -> None:
    """Serve until Ctrl-C; then everything is removed."""
    region = "eu-central-1"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ec2_with_machines() as (server, machines):
        debian(server, region)
        print(f"EC2 for trying answers at {server.url} (region {region}) until Ctrl-C.")  # noqa: T201  # a program for a person
        print("Give the programs AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x and these settings:")  # noqa: T201  # as above
        print(f"  region {region}\n  endpoint_url {server.url}", flush=True)  # noqa: T201  # as above
        try:
            signal.pause()
        except KeyboardInterrupt:
            print(f"removing {len(machines.alive())} machines")  # noqa: T201  # as above


if __name__ == "__main__":
    main()
