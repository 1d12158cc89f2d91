"""libcloud only: whose a machine is by its name, what errors mean, DigitalOcean's API by hand and OpenStack's."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from email import message_from_string
from typing import Any, ClassVar

import pytest
import requests_mock
import yaml
from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError
from libcloud.compute.base import Node, NodeAuthSSHKey, NodeDriver, NodeImage, NodeSize
from libcloud.compute.types import NodeState

from iacorch.errors import MachineError
from iacorch.infra.machines import errors
from iacorch.infra.machines.contract import MachineSpec, MachineState, OwnerTags
from iacorch.infra.machines.libcloud import marks, user_data
from iacorch.infra.machines.libcloud.api import Libcloud, meaning
from iacorch.infra.machines.libcloud.driver import LibcloudDriver
from iacorch.infra.machines.libcloud.settings import settings_of
from iacorch.infra.machines.retries import Retries, wait_running
from iacorch.kit.ids import SystemIds
from tests.infra.machines.openstack_server import openstack_server
from tests.infra.machines.vultr_server import TOKEN, vultr_server
from tests.infra.machines.worlds import QuickClock

_API = "https://api.digitalocean.com/v2"


@pytest.mark.parametrize(
    "owner", [OwnerTags("prod", "t0ken"), OwnerTags("prod", "t", "claim-1"), OwnerTags("a-b", "1f-2e", "1f-2e")]
)
def test_an_owner_comes_back_from_the_name(owner: OwnerTags) -> None:
    name = marks.marked(MachineSpec("web-1", "s", owner))
    found = OwnerTags(owner.cluster, owner.token, "" if owner.claim == owner.token else owner.claim)
    assert marks.read(name) == ("web-1", found)


@pytest.mark.parametrize("name", ["web-1", "a--b", "a--b--c--d--e", "--a--b", ""])
def test_other_names_are_nobodys(name: str) -> None:
    assert marks.read(name) == (name, None)


def test_what_no_host_name_can_carry_is_refused() -> None:
    with pytest.raises(errors.InvalidSpec, match=r"owner\.cluster"):
        marks.marked(MachineSpec("web", "s", OwnerTags("my cluster", "t")))
    with pytest.raises(errors.InvalidSpec, match="at most 255"):
        marks.marked(MachineSpec("web", "s", OwnerTags("c" * 250, "t")))


@pytest.mark.parametrize(
    ("raised", "leaf"),
    [
        (RateLimitReachedError(headers={"retry-after": "7"}), errors.Throttled),
        (BaseHTTPError(429, "slow down"), errors.Throttled),
        (InvalidCredsError("wrong"), errors.MissingCredentials),
        (BaseHTTPError(401, "who"), errors.MissingCredentials),
        (BaseHTTPError(403, "no"), errors.NotPermitted),
        (BaseHTTPError(403, "Quota exceeded for cores"), errors.QuotaExceeded),
        (BaseHTTPError(500, "No valid host was found"), errors.InsufficientCapacity),
        (BaseHTTPError(404, "gone"), errors.MachineNotFound),
        (BaseHTTPError(502, "bad gateway"), errors.CloudUnavailable),
        (BaseHTTPError(422, "name is odd"), errors.CloudRefused),
    ],
)
def test_what_libcloud_raises_is_typed(raised: Exception, leaf: type[MachineError]) -> None:
    assert type(meaning("openstack", "list_nodes", raised, about="x")) is leaf


async def test_vultrs_month_is_an_hours_price_and_a_wrong_token_is_told() -> None:
    """Its driver raises an exception of its own, which is no LibcloudError."""
    with vultr_server() as cloud:
        host, port = cloud.url.removeprefix("http://").split(":")
        raw: dict[str, Any] = {"provider": "vultr", "positional": [TOKEN], "image": "2136"}
        raw |= {"arguments": {"secure": False, "host": host, "port": int(port)}}
        (sold,) = await LibcloudDriver(settings_of(raw), QuickClock(), SystemIds()).offerings()
        assert (sold.key, sold.price_micros_per_hour) == (("vc2-1c-2gb", "fra", "on-demand"), 13_698)
        wrong = LibcloudDriver(settings_of({**raw, "positional": ["guess"]}), QuickClock(), SystemIds())
        with pytest.raises(errors.MissingCredentials, match="Invalid API token"):
            await wrong.offerings()


class _Plain(NodeDriver):  # type: ignore[misc]  # libcloud's classes have no types
    """A cloud of which only what `create_node` takes is asked."""

    features: ClassVar[dict[str, list[str]]] = {"create_node": ["ssh_key"]}

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def list_nodes(self) -> list[Node]:
        made = self.asked and [Node("n-1", self.asked["name"], NodeState.RUNNING, ["192.0.2.1"], [], self)]
        return made or []

    def list_sizes(self) -> list[NodeSize]:
        return [NodeSize("s", "s", 1024, 10, 0, 0.01, self)]

    def list_images(self) -> list[NodeImage]:
        return [NodeImage("debian", "debian", self)]


class _WithKeys(_Plain):
    def create_node(self, name: str, size: NodeSize, image: NodeImage, auth: NodeAuthSSHKey | None = None) -> Node:
        self.asked = {"name": name, "auth": auth}
        return self.list_nodes()[0]


class _WithoutKeys(_Plain):
    """Says that it has keys, and has no argument for them, as some do."""

    def create_node(self, name: str, size: NodeSize, image: NodeImage) -> Node:
        if name.startswith("full"):
            raise Exception("Server add failed: out of stock")  # as a third of libcloud's drivers do
        self.asked = {"name": name}
        return self.list_nodes()[0]


def _driver_on(inner: _Plain, **settings: Any) -> LibcloudDriver:
    clock = QuickClock()
    told = settings_of({"provider": "upcloud", "image": "debian", **settings})
    return LibcloudDriver(told, clock, SystemIds(), cloud=Libcloud(inner, "upcloud", Retries(clock, SystemIds())))


async def test_a_key_goes_by_itself_where_no_user_data_is_taken_and_never_gets_lost() -> None:
    spec = MachineSpec("web-1", "s", OwnerTags("prod", "t0ken"), ssh_public_key="ssh-ed25519 A x")
    with_keys = _WithKeys()
    await _driver_on(with_keys).create(spec)
    assert with_keys.asked["auth"].pubkey == "ssh-ed25519 A x"
    with pytest.raises(errors.CannotDo, match="SSH key") as refused:
        await _driver_on(_WithoutKeys()).create(spec)
    assert "account_keys: true" in refused.value.hint
    made = await _driver_on(_WithoutKeys(), account_keys=True).create(spec)
    assert made.owner == spec.owner


async def test_what_a_driver_raises_without_a_type_is_typed_and_a_mistake_of_ours_is_not() -> None:
    driver = _driver_on(_WithoutKeys(), account_keys=True)
    with pytest.raises(errors.InsufficientCapacity):
        await driver.create(MachineSpec("full", "s", OwnerTags("prod", "t0ken")))
    with pytest.raises(TypeError):
        await Libcloud(_WithoutKeys(), "upcloud", Retries(QuickClock(), SystemIds())).once("create_node")


def test_names_that_cannot_tell_whose_a_machine_is_are_refused_before_one_is_made() -> None:
    with pytest.raises(errors.InvalidSpec, match="takes no '--' in names"):
        LibcloudDriver(settings_of({"provider": "linode", "positional": ["t"]}), QuickClock(), SystemIds())


class DigitalOcean:
    """The part of DigitalOcean's API that is used, with one size, region and image."""

    def __init__(self, mocked: requests_mock.Mocker) -> None:
        self.droplets: list[dict[str, Any]] = []
        size = {"slug": "s-1vcpu-1gb", "memory": 1024, "disk": 25, "vcpus": 1, "transfer": 1.0, "price_hourly": 0.00893}
        size |= {"price_monthly": 6.0, "regions": ["fra1"], "available": True}
        region = {"slug": "fra1", "name": "Frankfurt 1", "available": True, "sizes": [], "features": []}
        image = {"id": 7, "slug": "debian-12-x64", "name": "12 x64", "distribution": "Debian", "public": True}
        self._image = image
        image |= {"min_disk_size": 7, "created_at": "2026-01-01T00:00:00Z", "regions": ["fra1"]}
        for name, rows in (("sizes", [size]), ("regions", [region]), ("images", [image])):
            mocked.get(f"{_API}/{name}", json={name: rows, "links": {}, "meta": {"total": 1}})
        mocked.get(f"{_API}/droplets", json=self._list)
        mocked.post(f"{_API}/droplets", json=self._create, status_code=202)
        mocked.delete(re.compile(f"{_API}/droplets/"), json=self._delete, status_code=204)

    def _list(self, request: Any, context: Any) -> dict[str, Any]:
        return {"droplets": self.droplets, "links": {}, "meta": {"total": len(self.droplets)}}

    def _create(self, request: Any, context: Any) -> dict[str, Any]:
        asked = request.json()
        droplet = {
            "id": 1000 + len(self.droplets),
            "name": asked["name"],
            "status": "active",
            "created_at": "2026-01-01T00:00:00Z",
            "size_slug": asked["size"],
            "region": {"slug": asked["region"], "name": "Frankfurt 1"},
            "image": self._image,
            "networks": {"v4": [{"ip_address": "192.0.2.9", "type": "public"}], "v6": []},
            "asked": asked,
        }
        self.droplets.append(droplet)
        return {"droplet": droplet}

    def _delete(self, request: Any, context: Any) -> dict[str, Any]:
        self.droplets = [d for d in self.droplets if str(d["id"]) != request.path.rsplit("/", 1)[-1]]
        return {}


@pytest.fixture
def ocean() -> Iterator[DigitalOcean]:
    with requests_mock.Mocker() as mocked:
        yield DigitalOcean(mocked)


async def test_a_droplet_is_made_once_with_its_key_found_and_deleted(ocean: DigitalOcean) -> None:
    settings = settings_of({"provider": "digital_ocean", "positional": ["token"], "image": "7"})
    driver = LibcloudDriver(settings, QuickClock(), SystemIds())
    sold = await driver.offerings()
    assert [(o.key, o.price_micros_per_hour) for o in sold] == [(("s-1vcpu-1gb", "fra1", "on-demand"), 8_930)]
    spec = MachineSpec("web-1", "s-1vcpu-1gb", OwnerTags("prod", "t0ken"), ssh_public_key="ssh-ed25519 AAAA me")
    first, second = await driver.create(spec), await driver.create(spec)
    assert first.id == second.id
    assert (first.address, first.owner, first.zone) == ("192.0.2.9", spec.owner, "fra1")
    assert len(ocean.droplets) == 1
    assert "ssh-ed25519 AAAA me" in ocean.droplets[0]["asked"]["user_data"]
    assert await driver.list_owned("other") == ()
    await driver.delete(first.id, cluster="prod")
    assert await driver.list_owned("prod") == ()


async def test_a_server_for_which_no_host_had_room_is_broken_and_says_why() -> None:
    with openstack_server() as cloud:
        cloud.has_room = False
        account = {"api_version": "2.2", "ex_force_auth_url": cloud.url, "ex_tenant_name": "project"}
        raw = {"provider": "openstack", "positional": ["user", "secret"], "arguments": account, "image": "debian-12"}
        driver = LibcloudDriver(settings_of(raw), QuickClock(), SystemIds())
        made = await driver.create(MachineSpec("web-1", "flv-2", OwnerTags("prod", "t0ken")))
        with pytest.raises(errors.NeverBooted, match="No valid host was found"):
            await wait_running(driver, made.id, QuickClock())
        seen = await driver.read(made.id)
        assert (seen.state, seen.instance_type, seen.image) == (MachineState.BROKEN, "flv-2", "img-debian-12")


async def test_a_key_and_user_data_reach_openstack_and_a_wrong_password_is_told() -> None:
    with openstack_server() as cloud:
        account = {"api_version": "2.2", "ex_force_auth_url": cloud.url, "ex_tenant_name": "project"}
        raw = {"provider": "openstack", "positional": ["user", "secret"], "arguments": account, "image": "debian-12"}
        driver = LibcloudDriver(settings_of(raw), QuickClock(), SystemIds())
        await driver.create(MachineSpec("web-1", "flv-2", OwnerTags("prod", "t0ken"), ssh_public_key="ssh-ed25519 A x"))
        assert "ssh-ed25519 A x" in base64.b64decode(cloud.asked[0]["user_data"]).decode()
        wrong = LibcloudDriver(settings_of({**raw, "positional": ["user", "guess"]}), QuickClock(), SystemIds())
        with pytest.raises(errors.MissingCredentials, match="does not take them"):
            await wrong.offerings()


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"provider": "no-such-cloud"}, "provider"),
        ({"provider": "digital_ocean", "arguments": {"colour": "red"}}, "arguments"),
    ],
)
def test_a_provider_that_cannot_be_opened_is_named(raw: dict[str, object], field: str) -> None:
    with pytest.raises(errors.InvalidSpec) as caught:
        LibcloudDriver(settings_of(raw), QuickClock(), SystemIds())
    assert caught.value.field == field


KEY = "ssh-ed25519 AAAA administrator"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#cloud-config\npackages: [jq]\nssh_authorized_keys: [ssh-rsa BBBB me]\n",
        "#cloud-config\n",
        "#!/bin/sh\necho hello\n",
        'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--x--\n',
    ],
)
def test_user_data_of_a_class_and_the_key_both_reach_the_machine(text: str) -> None:
    whole = user_data.with_key(text, KEY)
    assert whole == user_data.with_key(text, KEY), "the same machine is asked for again"
    message = message_from_string(whole)
    parts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    texts = [part.decode() for part in parts if isinstance(part, bytes)] if message.is_multipart() else [whole]
    (config,) = (yaml.safe_load(part) for part in texts if part.startswith("#cloud-config"))
    assert config["ssh_authorized_keys"][-1] == KEY
    assert config["disable_root"] is False
    if text.startswith("#!"):
        assert text in texts
    if "packages" in text:
        assert (config["packages"], len(config["ssh_authorized_keys"])) == (["jq"], 2)


@pytest.mark.parametrize(
    "text", ["#cloud-config\n- a list\n", "#cloud-config\n: [", "just words", "MIME-Version: 1.0\n\nx"]
)
def test_user_data_that_cloud_init_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidSpec, match="user_data"):
        user_data.with_key(text, KEY)
