"""EC2 only: what a request says, what error codes mean, what is found without credentials or in no region."""

from __future__ import annotations

import pytest

from iacorch.errors import MachineError
from iacorch.infra.machines import errors
from iacorch.infra.machines.aws.driver import AwsDriver
from iacorch.infra.machines.aws.failures import About, meaning
from iacorch.infra.machines.aws.images import Image, choose
from iacorch.infra.machines.aws.prices import micros, offerings, price_list
from iacorch.infra.machines.aws.settings import AwsSettings, options_of, settings_of
from iacorch.infra.machines.aws.shapes import client_token, labels_of, run_request
from iacorch.infra.machines.contract import CapacityType, DataDisk, MachineSpec, OwnerTags
from iacorch.kit.ids import SystemIds
from tests.infra.machines.worlds import QuickClock

SPEC = MachineSpec("web-1", "m7i.large", OwnerTags("prod", "uid-1", "uid-1"), labels={"team": "blue"})
IMAGE = Image("ami-1", "/dev/xvda", 8 * 1024**3, "admin", "amd64")


def request(spec: MachineSpec, **options: object) -> dict[str, object]:
    return run_request(spec, options_of(options), IMAGE, generation=0, key_name="key", groups=["sg-1"])


def test_a_request_tags_machine_and_disks_and_asks_for_the_metadata_token() -> None:
    asked = request(SPEC)
    tags = {
        "Name": "web-1",
        "iacorch.dev/claim": "uid-1",
        "iacorch.dev/cluster": "prod",
        "iacorch.dev/labels": "team",
        "iacorch.dev/token": "uid-1",
        "team": "blue",
    }
    expected = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    assert asked["TagSpecifications"] == [
        {"ResourceType": "instance", "Tags": expected},
        {"ResourceType": "volume", "Tags": expected},
    ]
    assert asked["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpEndpoint": "enabled",
        "HttpPutResponseHopLimit": 1,
    }


def test_data_outlives_its_machine_and_the_root_disk_does_not() -> None:
    disks = request(MachineSpec("a", "m7i.large", OwnerTags("c", "t"), data_disks=(DataDisk(5 * 1024**3 + 1),)))
    assert [
        (d["DeviceName"], d["Ebs"]["VolumeSize"], d["Ebs"]["DeleteOnTermination"])
        for d in disks["BlockDeviceMappings"]  # type: ignore[attr-defined]
    ] == [("/dev/xvda", 20, True), ("/dev/sdf", 6, False)]


def test_a_spot_request_carries_its_price_and_placement() -> None:
    spot = MachineSpec(
        "a",
        "m7i.large",
        OwnerTags("c", "t"),
        zone="eu-central-1b",
        capacity_type=CapacityType.SPOT,
        max_price_micros_per_hour=31_250,
    )
    asked = request(spot, placement_group="together", public_address=True, subnet="subnet-1", instance_profile="nodes")
    assert asked["InstanceMarketOptions"]["SpotOptions"]["MaxPrice"] == "0.031250"  # type: ignore[index]
    assert asked["Placement"] == {"AvailabilityZone": "eu-central-1b", "GroupName": "together"}
    assert asked["IamInstanceProfile"] == {"Name": "nodes"}
    assert asked["NetworkInterfaces"] == [
        {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": ["sg-1"], "SubnetId": "subnet-1"}
    ]
    assert "SecurityGroupIds" not in asked


def test_every_life_of_an_owner_has_its_own_client_token_of_at_most_64_characters() -> None:
    tokens = {client_token(OwnerTags("c" * 63, "t" * 100), generation) for generation in range(16)}
    assert len(tokens) == 16
    assert max(map(len, tokens)) <= 64


@pytest.mark.parametrize(
    ("code", "status", "leaf"),
    [
        ("RequestLimitExceeded", 503, errors.Throttled),
        ("InternalError", 500, errors.CloudUnavailable),
        ("SomethingNew", 502, errors.CloudUnavailable),
        ("UnauthorizedOperation", 403, errors.NotPermitted),
        ("AuthFailure", 401, errors.MissingCredentials),
        ("InsufficientInstanceCapacity", 400, errors.InsufficientCapacity),
        ("VcpuLimitExceeded", 400, errors.QuotaExceeded),
        ("InvalidInstanceID.Malformed", 400, errors.MachineNotFound),
        ("InvalidAMIID.NotFound", 400, errors.UnknownImage),
        ("InvalidSubnetID.NotFound", 400, errors.InvalidSpec),
        ("IdempotentParameterMismatch", 400, errors.MachineExists),
        ("SomethingNew", 400, errors.CloudRefused),
    ],
)
def test_error_codes_are_leaves(code: str, status: int, leaf: type[MachineError]) -> None:
    assert type(meaning("run_instances", code, "words", status=status, about=About())) is leaf


def test_the_newest_image_is_chosen_and_equal_ones_by_id() -> None:
    found = [
        {"ImageId": "ami-2", "CreationDate": "2026-01-01"},
        {"ImageId": "ami-1", "CreationDate": "2026-02-01"},
        {"ImageId": "ami-3", "CreationDate": "2026-02-01"},
    ]
    assert (choose(found) or {})["ImageId"] == "ami-3"
    assert choose([]) is None


@pytest.mark.parametrize(("price", "expected"), [("0.0416", 41_600), ("0.00000001", 1), ("12", 12_000_000), ("0", 0)])
def test_prices_are_exact_and_never_rounded_to_nothing(price: str, expected: int) -> None:
    assert micros(price) == expected


def test_a_region_without_a_price_is_never_cheap() -> None:
    here, nowhere = price_list("us-east-1"), price_list("xx-nowhere-1")
    assert all(nowhere[name].price_micros_per_hour >= here[name].price_micros_per_hour for name in here)


def test_offerings_are_narrowed_to_zones_types_and_spot_prices() -> None:
    sold = offerings(
        "eu-central-1",
        types=("t3.small",),
        by_zone={"eu-central-1a": ("t3.small", "m7i.large"), "eu-central-1b": ()},
        spot_micros={("t3.small", "eu-central-1a"): 7_000},
    )
    assert [(o.key, o.price_micros_per_hour) for o in sold] == [
        (("t3.small", "eu-central-1a", "on-demand"), 24_000),
        (("t3.small", "eu-central-1a", "spot"), 7_000),
    ]


def test_an_unknown_region_is_named_with_the_closest(aws_environment: None) -> None:
    with pytest.raises(errors.UnknownRegion) as caught:
        AwsDriver(AwsSettings(region="eu-centrl-1"), QuickClock(), SystemIds())
    assert "eu-central-1" in caught.value.hint


def test_missing_credentials_say_where_they_were_looked_for(
    aws_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(errors.MissingCredentials, match="AWS_PROFILE"):
        AwsDriver(AwsSettings(region="eu-central-1"), QuickClock(), SystemIds())


@pytest.mark.parametrize(
    ("raw", "field"), [({}, "region"), ({"region": 7}, "region"), ({"region": "x", "colour": 1}, "colour")]
)
def test_settings_that_cannot_be_are_named(raw: dict[str, object], field: str) -> None:
    with pytest.raises(errors.InvalidSpec) as caught:
        settings_of(raw)
    assert caught.value.field == field


def test_tags_of_other_people_are_no_labels() -> None:
    theirs = {"CostCentre": "42", "aws:autoscaling": "x", "team": "blue", "Name": "web-1"}
    assert labels_of({**theirs, "iacorch.dev/labels": "team"}) == {"team": "blue"}
    assert labels_of(theirs) == {"CostCentre": "42", "team": "blue"}  # from before labels were named
