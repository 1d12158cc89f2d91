"""A pool on a cloud, with nothing pretended but the cloud: pods that fit nowhere make `iacorch provisioner`, a process,
rent an instance, which is a machine, which becomes a node. It is killed on the way. `iacorch reap` finds a stray. The
CA is changed, of which the machine hears through the provisioner.

The stages build on each other, so they are one test of a few minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, MACHINE_CLASS, NODE, NODE_CLAIM, NODE_POOL, POD
from iacorch.api.objects import Object
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.daemons.provisioner import cluster_name
from iacorch.infra.bootstrap.marks import UPDATE
from iacorch.infra.machines.aws.shapes import as_list
from iacorch.infra.machines.contract import OwnerTags
from iacorch.provision.pools.words import POOL_LABEL
from tests.agent import busybox
from tests.infra.machines import containers
from tests.infra.machines.ec2_machines import Machines, debian, ec2_with_machines
from tests.infra.machines.ec2_server import Ec2Server
from tests.provision.processes import REGION, Site, cloud_environment, deployment, offering, until

pytestmark = [pytest.mark.docker, pytest.mark.skipif(not busybox.engine_answers(), reason="needs a Docker Engine")]


@pytest.fixture
def ec2() -> Iterator[tuple[Ec2Server, Machines]]:
    with ec2_with_machines() as found:
        yield found


async def test_pods_that_fit_nowhere_make_an_instance_a_node(
    ec2: tuple[Ec2Server, Machines], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, machines = ec2
    cloud_environment(monkeypatch)
    debian(server, REGION)
    server.then("RunInstances", "InsufficientInstanceCapacity")  # what is cheapest is not to be had
    with Site(tmp_path).serving(listen=f"{containers.gateway()}:0") as site:
        async with HttpClient(read_kubeconfig(site.kubeconfig)) as client:
            settings = {"region": REGION, "endpoint_url": server.url}
            offerings = [offering("spot", "0.01"), offering("on-demand", "0.02")]
            await client.create(MACHINE_CLASS, site.machine_class("aws", {"settings": settings}, offerings))
            await client.create(NODE_POOL, site.pool())
            await client.create(DEPLOYMENT, deployment())
            first = site.provisioner()
            await until(lambda: bool(machines.alive()), "an instance is made", first)
            first.kill()  # -9, while it is being made a node
            first.wait()
            second = site.provisioner()

            async def is_ready() -> bool:
                claims = (await client.list(NODE_CLAIM)).items
                return any(objects.condition_is(claim, "Ready") for claim in claims)

            await until(is_ready, "the claim is Ready", second)
            (claim,) = [c for c in (await client.list(NODE_CLAIM)).items if objects.condition_is(c, "Ready")]
            assert objects.spec(claim)["offering"]["capacityType"] == "on-demand"
            assert len(machines.alive()) == 1, "the second run found what the first had made"
            (node,) = (await client.list(NODE)).items
            assert objects.labels(node)[POOL_LABEL] == "burst"
            (refused,) = objects.status(await client.get(MACHINE_CLASS, "", "rented"))["refused"]
            assert (refused["capacityType"], refused["reason"]) == ("spot", "InsufficientCapacity")

            async def is_bound() -> bool:
                pods = (await client.list(POD, "default")).items
                return [objects.spec(pod).get("nodeName") for pod in pods] == [objects.name(node)]

            await until(is_bound, "the pod has a place", second)
            stray = make_stray(server, await cluster_name(client))
            said = site.iacorch("reap")
            assert stray in said, said
            assert "1 machines have an owner, 1 have none; --yes removes them" in said
            assert len(machines.alive()) == 2, "by default it only says so"
            assert "removed 1" in site.iacorch("reap", "--yes")
            assert len(machines.alive()) == 1

        await the_ca_is_changed(site, node)
        assert len(machines.alive()) == 1, "it was changed in place"
        async with HttpClient(read_kubeconfig(site.kubeconfig)) as client:
            await client.delete(NODE_POOL, "", "burst")
            await until(lambda: machines.alive() == [], "everything is given back by a provisioner that heard", second)

            async def is_gone() -> bool:
                return not (await client.list(NODE_CLAIM)).items and not (await client.list(NODE)).items

            await until(is_gone, "claim and node are gone", second)
    assert json.loads((site.state / "project" / "Pulumi.yaml").read_text())["name"] == "iacorch-claims"


async def the_ca_is_changed(site: Site, node: Object) -> None:
    """The machine's stack is the provisioner's: it is asked through the claim, and bootstrap runs there again."""
    server = ("--kubeconfig", str(site.kubeconfig))
    site.iacorch("certs", "rotate", "--ca", *server)
    site.iacorch("up", "--yes")  # the stack hears of the new CA
    said = site.iacorch("upgrade", "--plan")
    assert f"{objects.name(node)} (node pool)" in said, said
    said = site.iacorch("upgrade", "--yes", "--no-drain")
    assert "upgraded 1 machines" in said, said
    # Refused while a node has a certificate of the old CA.
    site.iacorch("certs", "rotate", "--ca", "--finish", *server)
    async with HttpClient(read_kubeconfig(site.kubeconfig)) as client:
        (claim,) = (await client.list(NODE_CLAIM)).items
        assert objects.condition_is(claim, "Updated"), claim
        assert UPDATE not in objects.annotations(claim)
        (again,) = (await client.list(NODE)).items
        assert objects.uid(again) == objects.uid(node)


def make_stray(server: Ec2Server, cluster: str) -> str:
    """An instance of a claim that is gone."""
    client = boto3.client("ec2", region_name=REGION, endpoint_url=server.url)
    tags = as_list({**OwnerTags(cluster, token="t", claim="gone").as_tags(), "Name": "stray"})
    image = client.describe_images(Owners=["136693071363"])["Images"][0]["ImageId"]
    made = client.run_instances(
        ImageId=image,
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    client.close()
    return str(made["Instances"][0]["InstanceId"])
