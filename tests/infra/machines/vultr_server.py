"""A Vultr to try the libcloud driver against: instances, plans, regions and systems of its API v2, over HTTP.

One of the clouds that take a bearer token and answer at one address, as Hetzner's and DigitalOcean's do. What it says
is what its API reference says: an instance is `pending` with the address 0.0.0.0 at first, user data comes in base64.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.infra.machines.http_cloud import Refused, serving

TOKEN: Final = "t0ken"
FRANKFURT, PARIS = "fra", "cdg"
SYSTEM: Final = {"id": 2136, "name": "Debian 12 x64 (bookworm)", "arch": "x64", "family": "debian"}
PLAN: Final[dict[str, Any]] = {
    "id": "vc2-1c-2gb",
    "vcpu_count": 1,
    "ram": 2048,
    "disk": 55,
    "disk_count": 1,
    "bandwidth": 2048,
    "monthly_cost": 10,
    "type": "vc2",
    "locations": [FRANKFURT],
}
_CITIES: Final = {FRANKFURT: ("Frankfurt", "DE"), PARIS: ("Paris", "FR")}
_NO_ROOM: Final = "Server add failed: Plan is not available in the selected datacenter."
_FULL: Final = "Server add failed: You have reached the maximum number of instances for this account."
_LIMITED: Final = "Rate limit exceeded."


@dataclass
class Vultr:
    """Implements `JsonCloud`: one account."""

    url: str = ""
    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    """Bodies of the creates that were taken."""
    fates: deque[int] = field(default_factory=deque)
    quota: int | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def creates(self, method: str, path: str) -> bool:
        return (method, path) == ("POST", "/v2/instances")

    def refusal(self, code: int) -> Refused:
        return _refused(code, _LIMITED if code in (429, 503) else _NO_ROOM)

    def answer(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _refused(401, "Invalid API token.")
        match method, path.strip("/").split("/")[1:]:
            case "GET", ["plans"]:
                return 200, _page("plans", [PLAN]), {}
            case "GET", ["plans-metal" | "bare-metals" as kind]:
                return 200, _page(kind.replace("-", "_"), []), {}
            case "GET", ["regions"]:
                regions = [
                    {"id": id, "city": city, "country": country, "continent": "Europe", "options": []}
                    for id, (city, country) in _CITIES.items()
                ]
                return 200, _page("regions", regions), {}
            case "GET", ["os"]:
                return 200, _page("os", [SYSTEM]), {}
            case "GET", ["instances"]:
                return 200, _page("instances", [self._older(each) for each in self.instances.values()]), {}
            case "POST", ["instances"]:
                return 202, {"instance": self.instances[self.make(body)]}, {}
            case "POST", ["instances", id, "start" | "reboot"]:
                self._found(id)["power_status"] = "running"
                return 204, {}, {}
            case "POST", ["instances", "halt"]:
                for id in body["instance_ids"]:
                    self._found(id)["power_status"] = "stopped"
                return 204, {}, {}
            case "DELETE", ["instances", id]:
                self._found(id)
                del self.instances[id]
                return 204, {}, {}
        raise _refused(404, f"no {method} {path}")

    def make(self, asked: Mapping[str, Any]) -> str:
        if self.quota is not None and len(self.instances) >= self.quota:
            raise _refused(400, _FULL)
        if asked["region"] not in PLAN["locations"]:
            raise _refused(400, _NO_ROOM)
        id = f"i-{next(self._numbers)}"
        self.asked.append(dict(asked))
        same = {"plan": asked["plan"], "region": asked["region"], "os_id": asked["os_id"], "label": asked["label"]}
        states = {"status": "pending", "power_status": "running", "server_status": "none"}
        networks = dict.fromkeys(
            ("v6_main_ip", "v6_network", "internal_ip", "firewall_group_id", "image_id", "tag"), ""
        )
        addresses = {"main_ip": "0.0.0.0", "netmask_v4": "", "gateway_v4": "0.0.0.0", "v6_network_size": 0}
        sizes = {"ram": 2048, "disk": 55, "vcpu_count": 1, "allowed_bandwidth": 2000, "app_id": 0, "features": []}
        made = {"id": id, "os": SYSTEM["name"], "date_created": "2026-01-01T00:00:00+00:00"}
        self.instances[id] = made | same | states | networks | addresses | sizes
        return id

    def _older(self, instance: dict[str, Any]) -> dict[str, Any]:
        """As it is now; the next look finds it further on."""
        seen = dict(instance)
        if instance["status"] == "pending":
            instance |= {"status": "active", "main_ip": f"192.0.2.{len(self.instances)}"}
        return seen

    def _found(self, id: str) -> dict[str, Any]:
        if id not in self.instances:
            raise _refused(404, "Invalid instance.")
        return self.instances[id]


def _page(key: str, rows: list[Any]) -> dict[str, Any]:
    return {key: rows, "meta": {"total": len(rows), "links": {"next": "", "prev": ""}}}


def _refused(code: int, said: str) -> Refused:
    return Refused(code, {"error": said, "status": code})


@contextmanager
def vultr_server() -> Iterator[Vultr]:
    cloud = Vultr()
    with serving(cloud):
        yield cloud
