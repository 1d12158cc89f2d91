"""What a machine needs around it: a key pair and a security group, one set a cluster, made when first needed.

In: a cluster's name and a public key. Out: names and IDs to put into a request. Both are named by what they are made
from, so two operators make the same ones, and what the other one made is taken. `tidy` removes them with the last
machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from typing import Any, Final

from iacorch.infra.machines.aws.api import Ec2
from iacorch.infra.machines.aws.settings import AwsSettings
from iacorch.infra.machines.aws.shapes import as_list
from iacorch.infra.machines.contract import TAG_CLUSTER
from iacorch.infra.machines.errors import CloudRefused, CloudUnavailable, InvalidSpec
from iacorch.kit import limits
from iacorch.kit.clock import Clock

_TAKEN: Final = frozenset({"InvalidKeyPair.Duplicate", "InvalidGroup.Duplicate", "InvalidPermission.Duplicate"})
_IN_USE: Final = frozenset({"DependencyViolation", "InvalidGroup.InUse", "CannotDelete"})


async def key_pair(ec2: Ec2, cluster: str, public_key: str) -> str:
    """The name of the key pair for a line of authorized_keys; empty without a key."""
    if not public_key.strip():
        return ""
    material = " ".join(public_key.split()[:2])  # the comment is no part of the key
    name = f"iacorch-{cluster}-{hashlib.sha256(material.encode()).hexdigest()[:12]}"
    found = await ec2.pages("describe_key_pairs", "KeyPairs", Filters=[{"Name": "key-name", "Values": [name]}])
    if not found:
        tags = [{"ResourceType": "key-pair", "Tags": as_list({TAG_CLUSTER: cluster})}]
        await _unless_taken(
            ec2.call("import_key_pair", KeyName=name, PublicKeyMaterial=material.encode(), TagSpecifications=tags)
        )
    return name


async def security_group(ec2: Ec2, cluster: str, settings: AwsSettings, clock: Clock, *, subnet: str) -> str:
    """The ID of the cluster's group in the network of `subnet` (empty: the default network).

    Everything among its machines, SSH from `ssh_from`, and `open_ports`. A rule that is missing is added; what somebody
    added is left.
    """
    network = await _network(ec2, subnet)
    name = f"iacorch-{cluster}"
    found = await _group(ec2, name, network)
    if found is None:
        tags = [{"ResourceType": "security-group", "Tags": as_list({TAG_CLUSTER: cluster, "Name": name})}]
        description = f"Machines of the cluster {cluster}"
        await _unless_taken(
            ec2.call(
                "create_security_group", GroupName=name, Description=description, VpcId=network, TagSpecifications=tags
            )
        )
        found = await _listed(ec2, name, network, clock)
    await _open(ec2, found, settings)
    return str(found["GroupId"])


async def tidy(ec2: Ec2, cluster: str) -> tuple[str, ...]:
    """Remove both kinds as far as nothing uses them."""
    ours = [{"Name": f"tag:{TAG_CLUSTER}", "Values": [cluster]}]
    removed = []
    for pair in await ec2.pages("describe_key_pairs", "KeyPairs", Filters=ours):
        await ec2.call("delete_key_pair", KeyName=pair["KeyName"])
        removed.append(f"key pair {pair['KeyName']}")
    for group in await ec2.pages("describe_security_groups", "SecurityGroups", Filters=ours):
        try:
            await ec2.call("delete_security_group", GroupId=group["GroupId"])
        except CloudRefused as error:
            if error.code not in _IN_USE:
                raise
            continue  # a machine on its way out still holds it: the next time
        removed.append(f"security group {group['GroupName']}")
    return tuple(removed)


async def _network(ec2: Ec2, subnet: str) -> str:
    if subnet:
        return str((await ec2.pages("describe_subnets", "Subnets", SubnetIds=[subnet]))[0]["VpcId"])
    found = await ec2.pages("describe_vpcs", "Vpcs", Filters=[{"Name": "is-default", "Values": ["true"]}])
    if not found:
        raise InvalidSpec("options.subnet", "the account has no default network", hint="name a subnet")
    return str(found[0]["VpcId"])


async def _group(ec2: Ec2, name: str, network: str) -> dict[str, Any] | None:
    filters = [{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [network]}]
    found = await ec2.pages("describe_security_groups", "SecurityGroups", Filters=filters)
    return found[0] if found else None


async def _listed(ec2: Ec2, name: str, network: str, clock: Clock) -> dict[str, Any]:
    """A group that was made just now, by us or another operator: EC2 may list it a little later."""
    deadline = clock.monotonic() + limits.CLOUD_VISIBLE_SECONDS
    while (found := await _group(ec2, name, network)) is None:
        if clock.monotonic() >= deadline:
            raise CloudUnavailable("create_security_group", f"{name} was made and is not listed")
        await clock.sleep(limits.CLOUD_POLL_SECONDS)
    return found


async def _open(ec2: Ec2, group: dict[str, Any], settings: AwsSettings) -> None:
    id, rules = group["GroupId"], group.get("IpPermissions") or []
    wanted: list[dict[str, Any]] = []
    among = [rule for rule in rules if rule.get("IpProtocol") == "-1"]
    if not any(pair.get("GroupId") == id for rule in among for pair in rule.get("UserIdGroupPairs") or ()):
        wanted.append({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": id}]})
    tcp = [rule for rule in rules if rule.get("IpProtocol") == "tcp" and rule.get("FromPort") == rule.get("ToPort")]
    opened = {(rule.get("FromPort"), ip.get("CidrIp")) for rule in tcp for ip in rule.get("IpRanges") or ()}
    for port, cidr in ((22, settings.ssh_from), *((port, "0.0.0.0/0") for port in settings.open_ports)):
        if (port, cidr) not in opened:
            wanted.append({"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr}]})
    for rule in wanted:  # one by one: a rule that another operator added meanwhile does not keep the others out
        await _unless_taken(ec2.call("authorize_security_group_ingress", GroupId=id, IpPermissions=[rule]))


async def _unless_taken(call: Awaitable[Any]) -> None:
    try:
        await call
    except CloudRefused as error:
        if error.code not in _TAKEN:
            raise
