"""One world for each driver, opened for one test and emptied after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import boto3
import pytest

from iacorch.infra.machines.aws.driver import AwsDriver
from iacorch.infra.machines.aws.settings import AwsSettings
from iacorch.infra.machines.contract import MachineSpec, OwnerTags
from iacorch.infra.machines.fake import FakeCloud, FakeDriver, Fault, Faults
from iacorch.kit.ids import SystemIds
from tests.infra.machines.ec2_server import BREAK_AFTER, Ec2Server, ec2_server
from tests.infra.machines.worlds import IDS, QuickClock, World

REGION = "eu-central-1"
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


def some_image(server: Ec2Server) -> str:
    """The ID of an image, registered at the first question."""
    client = boto3.client("ec2", region_name=REGION, endpoint_url=server.url)
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


WORLDS: dict[str, Callable[[pytest.FixtureRequest], World]] = {
    "fake": lambda request: fake_world(),
    "aws": lambda request: aws_world(request.getfixturevalue("ec2")),
}


@pytest.fixture(params=list(WORLDS))
async def world(request: pytest.FixtureRequest, aws_environment: None) -> AsyncIterator[World]:
    """Every world, emptied when the test is over."""
    opened = WORLDS[request.param](request)
    async with opened.resources:
        try:
            yield opened
        finally:
            cleaner, cluster = opened.open(), opened.spec.owner.cluster
            for machine in await cleaner.list_owned(cluster):
                await cleaner.delete(machine.id, cluster=cluster, discard_data=True)
            await cleaner.aclose()
