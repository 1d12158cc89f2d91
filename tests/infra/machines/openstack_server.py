"""An OpenStack to try the libcloud driver against: the parts of Keystone, Nova and Glance that it asks, over HTTP.

What they answer is what their API references say (Identity v3, Compute 2.1, Image v2): a server is BUILD at first, is
listed as DELETED for a while, and where no host has room it is made all the same and turns to ERROR with a fault.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

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
BREAK_AFTER: Final = 0
"""A fate of a request: it is carried out, and the connection ends without an answer."""
NO_HOST: Final = "No valid host was found. There are not enough hosts available."
_STATES: Final = {"os-stop": "SHUTOFF", "os-start": "ACTIVE", "reboot": "ACTIVE"}


class Refused(Exception):
    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code, self.body = code, {name: {"code": code, "message": message}}


@dataclass
class OpenStack:
    """One project. `fates` are of the next creates: an HTTP code, or BREAK_AFTER."""

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

    def answer(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """What an authorised request gets. Raises Refused."""
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
        raise Refused(404, "itemNotFound", f"no {method} {path}")

    def make(self, asked: Mapping[str, Any]) -> str:
        if self.quota is not None and len(self.alive()) >= self.quota:
            said = f"Quota exceeded for instances: Requested 1, but already used {self.quota} of {self.quota} instances"
            raise Refused(403, "forbidden", said)
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
            raise Refused(404, "itemNotFound", f"Instance {id} could not be found.")
        return server

    def catalog(self) -> list[dict[str, Any]]:
        def service(type: str, name: str) -> dict[str, Any]:
            endpoint = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "id": name}
            return {"type": type, "name": name, "id": name, "endpoints": [{**endpoint, "url": f"{self.url}/{name}"}]}

        kinds = {"compute": "nova", "image": "glance", "network": "neutron", "volumev3": "cinderv3"}
        return [service(type, name) for type, name in kinds.items()]


def _handler(cloud: OpenStack, lock: threading.Lock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            path = urlsplit(self.path).path
            if re.fullmatch(r".*/v3/auth/tokens", path):
                user = body["auth"]["identity"]["password"]["user"]
                if user["password"] != "secret":
                    return self._say(401, {"error": {"code": 401, "message": "The request needs authentication."}})
                token = {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": cloud.catalog(), "user": user}
                return self._say(201, {"token": {**token, "roles": []}}, {"X-Subject-Token": "t0ken"})
            creates = self.command == "POST" and path == "/nova/servers"
            with lock:
                fate = cloud.fates.popleft() if creates and cloud.fates else None
                if fate:
                    return self._say(fate, {"overLimit": {"code": fate, "message": "This request was rate-limited."}})
                try:
                    code, answer = cloud.answer(self.command, path, body)
                except Refused as refused:
                    code, answer = refused.code, refused.body
            if fate == BREAK_AFTER:
                self.close_connection = True
                return None
            return self._say(code, answer)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

        def _say(self, code: int, answer: Mapping[str, Any], headers: Mapping[str, str] = {}) -> None:
            said = b"" if code == 204 else json.dumps(answer).encode()
            self.send_response(code)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(said)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


@contextmanager
def openstack_server() -> Iterator[OpenStack]:
    cloud = OpenStack()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(cloud, threading.Lock())) as server:
        cloud.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield cloud
        finally:
            server.shutdown()
            thread.join()
