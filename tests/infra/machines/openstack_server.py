"""An OpenStack to try the libcloud driver against: the parts of Keystone, Nova and Glance that it asks, over HTTP.

What they answer is what their API references say (Identity v3, Compute 2.1, Image v2): a server is BUILD at first, is
listed as DELETED for a while, and where no host has room it is made all the same and turns to ERROR with a fault.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.infra.machines.http_cloud import Refused, serving

IMAGE: Final = {
    "id": "img-debian-12",
    "name": "debian-12",
    "status": "active",
    "visibility": "public",
    "min_ram": 512,
    "min_disk": 5,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}
FLAVOR: Final = {"id": "flv-2", "name": "m1.small", "ram": 2048, "vcpus": 1, "disk": 20, "swap": ""}
NO_HOST: Final = "No valid host was found. There are not enough hosts available."
_STATES: Final = {"os-stop": "SHUTOFF", "os-start": "ACTIVE", "reboot": "ACTIVE"}


@dataclass
class OpenStack:
    """Implements `JsonCloud`: one project."""

    url: str = ""
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the creates that were taken."""
    fates: deque[int] = field(default_factory=deque)
    quota: int | None = None
    has_room: bool = True
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def alive(self) -> list[dict[str, Any]]:
        return [server for server in self.servers.values() if server["status"] != "DELETED"]

    def creates(self, method: str, path: str) -> bool:
        return (method, path) == ("POST", "/nova/servers")

    def refusal(self, code: int) -> Refused:
        return _refused(code, "overLimit", "This request was rate-limited.")

    def answer(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        if path.endswith("/v3/auth/tokens"):
            user = body["auth"]["identity"]["password"]["user"]
            if user["password"] != "secret":
                raise _refused(401, "error", "The request needs authentication.")
            token = {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": self.catalog(), "user": user}
            return 201, {"token": {**token, "roles": []}}, {"X-Subject-Token": "t0ken"}
        return (*self._answer(method, path, body), {})

    def _answer(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        match method, path.strip("/").split("/"):
            case "GET", ["nova", "flavors", "detail"]:
                return 200, {"flavors": [FLAVOR]}
            case "GET", ["glance", "v2", "images"]:
                return 200, {"images": [IMAGE]}
            case "GET", ["nova", "servers", "detail"]:
                shown = [self._older(server) for server in list(self.servers.values())]
                return 200, {"servers": [server for server in shown if server]}
            case "GET", ["nova", "servers", id]:
                return 200, {"server": self._found(id)}
            case "POST", ["nova", "servers"]:
                return 202, {"server": {"id": self.make(body["server"]), "adminPass": "x"}}
            case "POST", ["nova", "servers", id, "action"]:
                self._found(id)["status"] = _STATES[next(iter(body))]
                return 202, {}
            case "DELETE", ["nova", "servers", id]:
                self._found(id)["status"] = "DELETED"
                return 204, {}
        raise _refused(404, "itemNotFound", f"no {method} {path}")

    def make(self, asked: Mapping[str, Any]) -> str:
        if self.quota is not None and len(self.alive()) >= self.quota:
            said = f"Quota exceeded for instances: Requested 1, but already used {self.quota} of {self.quota} instances"
            raise _refused(403, "forbidden", said)
        id = f"srv-{next(self._numbers)}"
        at = "2026-01-01T00:00:00Z"
        self.servers[id] = {
            "id": id,
            "name": asked["name"],
            "status": "BUILD",
            "addresses": {},
            "image": {"id": asked["imageRef"]},
            "flavor": {"id": asked["flavorRef"]},
            "hostId": "",
            "tenant_id": "project",
            "links": [{"rel": "self", "href": f"{self.url}/nova/servers/{id}"}],
            "metadata": {},
            "created": at,
            "updated": at,
            "OS-EXT-AZ:availability_zone": "nova",
        }
        self.asked.append(dict(asked))
        return id

    def _older(self, server: dict[str, Any]) -> dict[str, Any] | None:
        """As it is now; the next look finds it further on."""
        seen = dict(server)
        if server["status"] == "DELETED":
            del self.servers[server["id"]]
        elif server["status"] == "BUILD" and self.has_room:
            address = {"addr": f"192.0.2.{len(self.servers)}", "version": 4, "OS-EXT-IPS:type": "fixed"}
            server |= {"status": "ACTIVE", "addresses": {"private": [address]}}
        elif server["status"] == "BUILD":
            server |= {"status": "ERROR", "fault": {"code": 500, "message": NO_HOST}}
        return seen

    def _found(self, id: str) -> dict[str, Any]:
        if (server := self.servers.get(id)) is None or server["status"] == "DELETED":
            raise _refused(404, "itemNotFound", f"Instance {id} could not be found.")
        return server

    def catalog(self) -> list[dict[str, Any]]:
        def service(type: str, name: str) -> dict[str, Any]:
            endpoint = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "id": name}
            return {"type": type, "name": name, "id": name, "endpoints": [{**endpoint, "url": f"{self.url}/{name}"}]}

        kinds = {"compute": "nova", "image": "glance", "network": "neutron", "volumev3": "cinderv3"}
        return [service(type, name) for type, name in kinds.items()]


def _refused(code: int, name: str, message: str) -> Refused:
    return Refused(code, {name: {"code": code, "message": message}})


@contextmanager
def openstack_server() -> Iterator[OpenStack]:
    cloud = OpenStack()
    with serving(cloud):
        yield cloud
