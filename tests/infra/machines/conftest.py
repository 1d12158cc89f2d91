"""One world for each driver, opened for one test and emptied after it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from libcloud.compute.drivers.dummy import DummyNodeDriver

from iacorch.infra.machines.aws.driver import AwsDriver
from iacorch.infra.machines.aws.settings import AwsSettings
from iacorch.infra.machines.contract import CapacityType, MachineSpec, MachineState, OwnerTags, Power
from iacorch.infra.machines.docker.driver import DockerDriver
from iacorch.infra.machines.docker.settings import DockerSettings, Size
from iacorch.infra.machines.fake import FakeCloud, FakeDriver, Fault, Faults
from iacorch.infra.machines.libcloud.api import Libcloud
from iacorch.infra.machines.libcloud.driver import LibcloudDriver
from iacorch.infra.machines.libcloud.settings import LibcloudSettings
from iacorch.infra.machines.qemu.driver import QemuDriver
from iacorch.infra.machines.qemu.settings import QemuSettings
from iacorch.infra.machines.qemu.settings import Size as VirtualSize
from iacorch.infra.machines.retries import Retries, wait_running
from iacorch.infra.machines.ssh.driver import SshDriver
from iacorch.infra.machines.ssh.settings import settings_of as ssh_settings
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from tests.infra.machines import containers
from tests.infra.machines.ec2_server import BREAK_AFTER, Ec2Server, ec2_server
from tests.infra.machines.http_cloud import BREAK_AFTER as BROKEN
from tests.infra.machines.openstack_server import openstack_server
from tests.infra.machines.vultr_server import FRANKFURT, PARIS, TOKEN, vultr_server
from tests.infra.machines.worlds import IDS, QuickClock, World

REGION = "eu-central-1"
AMERICA = "us-east-1"
"""Where moto thinks that those are who sign as libcloud does, without a region."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJb8rB3xG1Jm2YQe0nC0m1q8gN6yqzq0mYv8m2Tt0x9Z test"


def fake_world() -> World:
    clock = QuickClock()
    cloud = FakeCloud(clock, SystemIds(), faults=Faults(latency_seconds=0, boot_seconds=3, delete_seconds=2))

    def fill_quota() -> None:
        cloud.quotas.machines = len(cloud.alive())

    async def foreign() -> str:
        spec = MachineSpec("theirs", "general.small", OwnerTags("", ""), zone="fake-1a", image="debian-12")
        instance = await cloud.run("theirs", spec)
        return instance.id

    return World(
        open=lambda: FakeDriver(cloud, clock, SystemIds()),
        clock=clock,
        spec=MachineSpec("x", "general.small", OwnerTags(f"c-{IDS.suffix()}", ""), zone="fake-1a", ssh_public_key=KEY),
        bad={"instance_type": "general.tiny", "image": "debian-11", "zone": "fake-1z"},
        fill_quota=fill_quota,
        run_dry=lambda spec: cloud.faults.dry.add((spec.instance_type, spec.zone, spec.capacity_type.value)),
        lose_answer=lambda: cloud.faults.then("run", Fault.LOSE_ANSWER),
        throttle=lambda times: cloud.faults.then("run", *[Fault.THROTTLE] * times),
        list_late=lambda: setattr(cloud.faults, "visible_after_seconds", 10.0),
        make_foreign=foreign,
    )


@pytest.fixture(scope="session")
def ec2() -> Iterator[Ec2Server]:
    """One server for all tests of a process; each test has a cluster of its own there."""
    with ec2_server() as server:
        yield server


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that mean nothing, and nothing of the person who runs the tests."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def some_image(server: Ec2Server, region: str = REGION) -> str:
    """The ID of an image, registered at the first question."""
    client = boto3.client("ec2", region_name=region, endpoint_url=server.url)
    found = client.describe_images(Owners=["self"])["Images"]
    if not found:
        client.register_image(Name="debian", Architecture="x86_64", RootDeviceName="/dev/xvda")
        found = client.describe_images(Owners=["self"])["Images"]
    client.close()
    return str(found[0]["ImageId"])


def aws_world(server: Ec2Server) -> World:
    clock = QuickClock()
    settings = AwsSettings(
        region=REGION, endpoint_url=server.url, image=some_image(server), instance_types=("t3.small",)
    )
    server.script.clear()
    server.machines, server.late = None, 0

    def fill_quota() -> None:
        server.machines = 0

    async def foreign() -> str:
        client = boto3.client("ec2", region_name=REGION, endpoint_url=server.url)
        made = client.run_instances(ImageId=settings.image, InstanceType="t3.small", MinCount=1, MaxCount=1)
        client.close()
        return str(made["Instances"][0]["InstanceId"])

    return World(
        open=lambda: AwsDriver(settings, clock, SystemIds()),
        clock=clock,
        spec=MachineSpec("x", "t3.small", OwnerTags(f"c-{IDS.suffix()}", ""), zone=f"{REGION}a", ssh_public_key=KEY),
        bad={"instance_type": "t3.tiny", "image": "ami-12345678", "zone": f"{REGION}z"},
        fill_quota=fill_quota,
        run_dry=lambda spec: server.then("RunInstances", "InsufficientInstanceCapacity"),
        lose_answer=lambda: server.then("RunInstances", BREAK_AFTER),
        throttle=lambda times: server.then("RunInstances", *["RequestLimitExceeded"] * times),
        list_late=lambda: setattr(server, "late", 3),
        make_foreign=foreign,
    )


def docker_world() -> World:
    settings = DockerSettings(image=containers.machine_image(), sizes={"tiny": Size(cores=0.5, memory_mib=64)})
    return World(
        open=lambda: DockerDriver(settings, SystemClock(), SystemIds()),
        clock=SystemClock(),
        spec=MachineSpec(
            "x",
            "tiny",
            OwnerTags(f"iacdrv-{IDS.suffix()}", ""),
            capacity_type=CapacityType.OWNED,
            zone="local",
            ssh_public_key=KEY,
        ),
        bad={"instance_type": "tinny", "image": "iacorch/no-such-image:1", "zone": "remote"},
    )


def ssh_world(rack: containers.Rack, ledger: Path) -> World:
    settings = ssh_settings({"hosts": rack.hosts(), "private_key": rack.private_key, "ledger": str(ledger)})
    world = World(
        open=lambda: SshDriver(settings, SystemClock(), SystemIds()),
        clock=SystemClock(),
        spec=MachineSpec(
            "x", "rack", OwnerTags(f"c-{IDS.suffix()}", ""), capacity_type=CapacityType.OWNED, zone="cellar"
        ),
        bad={"instance_type": "rakc", "zone": "attic"},
        run_dry=lambda spec: rack.occupy(),
    )
    world.resources.callback(rack.vacate)
    return world


class Dummy(DummyNodeDriver):  # type: ignore[misc]  # it comes without types
    """libcloud's dummy, which uses IDs again, ignores names and leaves what it reboots rebooting for ever."""

    def create_node(self, name: str, size: Any, image: Any) -> Any:
        node = super().create_node(name=name, size=size, image=image)
        node.id, node.name, node.size = IDS.uid(), name, size
        return node

    def destroy_node(self, node: Any) -> bool:
        if node in self.nl:
            super().destroy_node(node)
        return True

    def reboot_node(self, node: Any) -> bool:
        return True


def libcloud_dummy_world() -> World:
    clock, inner = QuickClock(), Dummy(0)
    settings = LibcloudSettings(provider="dummy", image="Ubuntu 9.10", account_keys=True)
    api = Libcloud(inner, "dummy", Retries(clock, SystemIds()))

    async def foreign() -> str:
        return str(inner.list_nodes()[0].id)

    return World(
        open=lambda: LibcloudDriver(settings, clock, SystemIds(), cloud=api),
        clock=clock,
        spec=MachineSpec("x", "2", OwnerTags(f"c-{IDS.suffix()}", ""), zone="London Loft"),
        bad={"instance_type": "7", "image": "Ubuntu 9.11", "zone": "Paris Loft"},
        make_foreign=foreign,
    )


def libcloud_ec2_world(server: Ec2Server) -> World:
    clock, image = QuickClock(), some_image(server, AMERICA)
    server.script.clear()
    server.machines, server.late = None, 0
    host, port = server.url.removeprefix("http://").split(":")
    place = {"secure": False, "host": host, "port": int(port), "region": AMERICA}
    settings = LibcloudSettings(provider="ec2", positional=("key", "secret"), arguments=place, image=image)

    def fill_quota() -> None:
        server.machines = 0

    return World(
        open=lambda: LibcloudDriver(settings, clock, SystemIds()),
        clock=clock,
        spec=MachineSpec("x", "t3.small", OwnerTags(f"c-{IDS.suffix()}", ""), zone=f"{AMERICA}a", ssh_public_key=KEY),
        bad={"instance_type": "t3.tiny", "image": "ami-12345678", "zone": f"{AMERICA}z"},
        fill_quota=fill_quota,
        run_dry=lambda spec: server.then("RunInstances", "InsufficientInstanceCapacity"),
        lose_answer=lambda: server.then("RunInstances", BREAK_AFTER),
        throttle=lambda times: server.then("RunInstances", *["RequestLimitExceeded"] * times),
    )


def openstack_world() -> World:
    clock, stack = QuickClock(), AsyncExitStack()
    cloud = stack.enter_context(openstack_server())
    account = {"api_version": "2.2", "ex_force_auth_url": cloud.url, "ex_tenant_name": "project"}
    settings = LibcloudSettings(
        provider="openstack", positional=("user", "secret"), arguments=account, image="debian-12", ssh_user="debian"
    )

    def fill_quota() -> None:
        cloud.quota = len(cloud.alive())

    async def foreign() -> str:
        return cloud.make({"name": "theirs", "imageRef": "img-debian-12", "flavorRef": "flv-2"})

    return World(
        open=lambda: LibcloudDriver(settings, clock, SystemIds()),
        clock=clock,
        spec=MachineSpec("x", "flv-2", OwnerTags(f"c-{IDS.suffix()}", ""), ssh_public_key=KEY),
        bad={"instance_type": "flv-3", "image": "debian-11"},
        fill_quota=fill_quota,
        lose_answer=lambda: cloud.fates.append(BROKEN),
        throttle=lambda times: cloud.fates.extend([429] * times),
        make_foreign=foreign,
        resources=stack,
    )


def vultr_world() -> World:
    clock, stack = QuickClock(), AsyncExitStack()
    cloud = stack.enter_context(vultr_server())
    host, port = cloud.url.removeprefix("http://").split(":")
    place = {"secure": False, "host": host, "port": int(port)}
    settings = LibcloudSettings(provider="vultr", positional=(TOKEN,), arguments=place, image="2136")

    def fill_quota() -> None:
        cloud.quota = len(cloud.instances)

    async def foreign() -> str:
        return cloud.make({"label": "theirs", "region": FRANKFURT, "plan": "vc2-1c-2gb", "os_id": 2136})

    return World(
        open=lambda: LibcloudDriver(settings, clock, SystemIds()),
        clock=clock,
        spec=MachineSpec("x", "vc2-1c-2gb", OwnerTags(f"c-{IDS.suffix()}", ""), zone=FRANKFURT, ssh_public_key=KEY),
        bad={"instance_type": "vc2-9c", "image": "Debian 11", "zone": f"{PARIS}-1"},
        fill_quota=fill_quota,
        run_dry=lambda spec: cloud.fates.append(400),
        lose_answer=lambda: cloud.fates.append(BROKEN),
        throttle=lambda times: cloud.fates.extend([503] * times),
        make_foreign=foreign,
        resources=stack,
    )


def qemu_world(*, libvirt: str = "") -> World:
    if shutil.which("qemu-system-x86_64") is None or shutil.which("qemu-img") is None:
        pytest.skip("needs qemu-system-x86 and qemu-utils")
    if libvirt and (shutil.which("virsh") is None or subprocess.run(["virsh", "-c", libvirt, "uri"]).returncode):
        pytest.skip("needs a libvirt that answers")
    # A monitor's path may have 107 bytes, and libvirt's user enters the folder: pytest's own are longer, and private.
    short = Path(tempfile.mkdtemp(prefix="iacq-", dir="/tmp"))
    image = short / "image.raw"
    image.write_bytes(bytes(1024**2))  # nothing to boot: the firmware waits, which is a running machine
    sizes = {"tiny": VirtualSize(cores=1, memory_mib=64, disk_gib=1)}
    settings = QemuSettings(
        image=str(image), folder=short, halt_seconds=0.2, accelerator="tcg", sizes=sizes, libvirt=libvirt
    )
    cluster = f"c-{IDS.suffix()}"
    world = World(
        open=lambda: QemuDriver(settings, SystemClock(), SystemIds()),
        clock=SystemClock(),
        spec=MachineSpec("x", "tiny", OwnerTags(cluster, ""), capacity_type=CapacityType.OWNED, zone="local"),
        bad={"instance_type": "tinny", "image": "/no/such/image.qcow2", "zone": "remote"},
    )
    world.resources.callback(shutil.rmtree, short, ignore_errors=True)
    return world


WORLDS: dict[str, Callable[[pytest.FixtureRequest], World]] = {
    "fake": lambda request: fake_world(),
    "aws": lambda request: aws_world(request.getfixturevalue("ec2")),
    "libcloud-dummy": lambda request: libcloud_dummy_world(),
    "libcloud-ec2": lambda request: libcloud_ec2_world(request.getfixturevalue("ec2")),
    "libcloud-openstack": lambda request: openstack_world(),
    "libcloud-vultr": lambda request: vultr_world(),
    "qemu": lambda request: qemu_world(),
    "qemu-libvirt": lambda request: qemu_world(libvirt="qemu:///system"),
    "docker": lambda request: docker_world(),
    "ssh": lambda request: ssh_world(
        request.getfixturevalue("rack"), request.getfixturevalue("tmp_path") / "hosts.json"
    ),
}
NEEDS_DOCKER = frozenset({"docker", "ssh"})


@pytest.fixture(scope="session")
def rack() -> Iterator[containers.Rack]:
    """Hosts with a real sshd; each test finds them unadopted."""
    with containers.rack(IDS.suffix()) as hosts:
        yield hosts


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.docker] if name in NEEDS_DOCKER else []) for name in WORLDS]
)
async def world(request: pytest.FixtureRequest, aws_environment: None) -> AsyncIterator[World]:
    """Every world, emptied when the test is over."""
    opened = WORLDS[request.param](request)
    async with opened.resources:
        try:
            yield opened
        finally:
            cleaner, cluster = opened.open(), opened.spec.owner.cluster
            for machine in await cleaner.list_owned(cluster):
                if machine.state is MachineState.STOPPED and not cleaner.capabilities.creates:
                    await cleaner.power(machine.id, Power.ON)
                    await wait_running(cleaner, machine.id, opened.clock)
                await cleaner.delete(machine.id, cluster=cluster, discard_data=True)
            await cleaner.tidy(cluster)
            await cleaner.aclose()
