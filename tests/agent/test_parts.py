"""The agent's small parts: tallies of probes, images, names, container specifications, journal, node, tunnel, join."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from iacorch.agent import node, tunnel
from iacorch.agent.containers import images, names
from iacorch.agent.containers.environment import ConfigMissing
from iacorch.agent.containers.specification import Inputs, container_spec
from iacorch.agent.health import Health, Watching
from iacorch.agent.journal import Journal
from iacorch.agent.lifecycle.observed import StartContainer
from iacorch.agent.logs import options, why_waiting
from iacorch.agent.network.contract import NetworkState
from iacorch.agent.pods.prober import SocketProber, Subject, port_number
from iacorch.agent.pods.probes import Settings, Tally
from iacorch.agent.runtime.contract import ImageState, Resources, RuntimeInfo
from iacorch.agent.runtime.fake import FakeRuntime
from iacorch.client.tunnel import CREDIT_BYTES, Frame, FrameType, decode
from iacorch.errors import BadRequest, NotFound, RuntimeFailed
from iacorch.kit.clock import SystemClock
from iacorch.kit.tasks import Tasks

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DNS = names.ClusterDns("10.96.0.10", "cluster.local")


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {"containers": [], **spec}}


# Probes


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ("", None),
        ("b", None),
        ("bb", None),
        ("bbb", False),
        ("g", None),
        ("gg", True),
        ("ggbb", True),
        ("ggbbgbb", True),
        ("ggbbb", False),
        ("bbbg", False),
        ("bbbgg", True),
    ],
)
def test_a_verdict_turns_after_enough_equal_answers(answers: str, verdict: bool | None) -> None:
    tally = Tally()
    for answer in answers:
        tally = tally.add(answer == "g", Settings(success_threshold=2, failure_threshold=3))
    assert tally.verdict is verdict


def test_ports_are_numbers_or_names() -> None:
    assert port_number(80, {}) == port_number("80", {}) == port_number("http", {"http": 80}) == 80
    with pytest.raises(ValueError, match="no port named 'http'"):
        port_number("http", {})


async def test_a_probe_that_cannot_connect_says_so_in_few_words() -> None:
    async with SocketProber(FakeRuntime(SystemClock())) as prober:
        nobody = Subject("c", "127.0.0.1", {"http": 1})
        http = await prober.ask({"httpGet": {"port": "http", "path": "/x"}}, nobody, timeout_seconds=20)
        tcp = await prober.ask({"tcpSocket": {"port": 1}}, nobody, timeout_seconds=20)
        unnamed = await prober.ask({"httpGet": {"port": "web"}}, nobody, timeout_seconds=20)
    assert http.message == 'Get "http://127.0.0.1:1/x": connection refused'
    assert tcp.message == "dial tcp 127.0.0.1:1: connection refused"
    assert unnamed.message == "the container has no port named 'web'"


# Images


@pytest.mark.parametrize(
    ("reference", "given", "policy"),
    [
        ("app", None, "Always"),
        ("app:latest", None, "Always"),
        ("host:5000/app", None, "Always"),
        ("app:1", None, "IfNotPresent"),
        ("host:5000/app:1", None, "IfNotPresent"),
        ("app@sha256:" + "0" * 64, None, "IfNotPresent"),
        ("app", "Never", "Never"),
    ],
)
def test_the_pull_policy(reference: str, given: str | None, policy: str) -> None:
    assert images.policy_of(reference, given) == policy


# Names


def test_a_pod_asks_the_clusters_dns_first() -> None:
    text = names.resolv_conf(pod(), "nameserver 192.0.2.53\nsearch example.com\n", DNS)
    assert text == (
        "nameserver 10.96.0.10\n"
        "search shop.svc.cluster.local svc.cluster.local cluster.local example.com\n"
        "options ndots:5\n"
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hostNetwork": True}, None),
        ({"dnsPolicy": "Default"}, "nameserver 192.0.2.53\n"),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}}, "nameserver 192.0.2.1\n"),
        (
            {"dnsPolicy": "None", "dnsConfig": {"options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}},
            "options ndots:2 rotate\n",
        ),
    ],
)
def test_dns_policies(spec: dict[str, Any], expected: str | None) -> None:
    assert names.resolv_conf(pod(**spec), "nameserver 192.0.2.53\n", DNS) == expected


def test_the_hosts_file_names_the_pod() -> None:
    spec = {"subdomain": "db", "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["a", "b"]}]}
    lines = names.hosts_file(pod(**spec), "10.244.0.2", DNS).splitlines()
    assert "10.244.0.2\tweb.db.shop.svc.cluster.local\tweb" in lines
    assert "192.0.2.9\ta b" in lines


# Container specifications


def spec_of(container: dict[str, Any], image_user: str = "", **pod_spec: Any) -> Any:
    inputs = Inputs({"A": "1"}, (), ImageState("sha256:0", ("app:1",), user=image_user), 1 << 30)
    whole = {"name": "app", "image": "app:1", **container}
    return container_spec(pod(containers=[whole], **pod_spec), whole, StartContainer("app", 0, 0, "s"), inputs)


def test_requests_and_limits() -> None:
    resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "64Mi"}}
    assert spec_of({"resources": resources}).resources == Resources(100, 1000, 64 << 20)


def test_commands_are_expanded() -> None:
    assert spec_of({"command": ["$(A)"], "args": ["$(B)"]}).command == ("1",)


@pytest.mark.parametrize(
    ("own", "of_pod", "user"),
    [
        ({}, {}, ""),
        ({"runAsUser": 5}, {"runAsUser": 6}, "5"),
        ({}, {"runAsUser": 6, "runAsGroup": 7}, "6:7"),
        ({"runAsGroup": 7}, {}, "0:7"),
    ],
)
def test_users(own: dict[str, Any], of_pod: dict[str, Any], user: str) -> None:
    assert spec_of({"securityContext": own}, securityContext=of_pod).security.user == user


@pytest.mark.parametrize(
    ("own", "image_user", "message"),
    [
        ({}, "", "image will run as root"),
        ({}, "nobody", "non-numeric user"),
        ({"runAsUser": 0}, "1000", "breaks non-root policy"),
    ],
)
def test_root_is_refused_where_that_is_asked(own: dict[str, Any], image_user: str, message: str) -> None:
    with pytest.raises(ConfigMissing, match=message):
        spec_of({"securityContext": {"runAsNonRoot": True, **own}}, image_user)
    assert spec_of({"securityContext": {"runAsNonRoot": True}}, "1000").security.user == ""


# Journal


def test_the_journal_remembers_and_forgets(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.put(pod())
    assert Journal(tmp_path / "journal").read() == [pod()]
    journal.remove("u")
    journal.remove("u")
    assert Journal(tmp_path / "journal").read() == []


def test_what_the_disk_refuses_is_said_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "journal")  # no folder can be made there, as on a disk that is full
    journal.put(pod())
    assert "cannot be written" in journal.trouble
    (tmp_path / "file").unlink()
    journal.put(pod())
    assert (journal.trouble, Journal(tmp_path / "file" / "journal").read()) == ("", [pod()])


def test_a_broken_entry_is_put_aside(tmp_path: Path) -> None:
    Journal(tmp_path).put(pod())
    (tmp_path / "v.json").write_bytes(b'{"metadata"')
    (tmp_path / "w.json").write_bytes(b"[]")
    assert Journal(tmp_path).read() == [pod()]
    assert {path.name for path in tmp_path.iterdir()} == {"u.json", "v.broken", "w.broken"}


# Node

MACHINE = node.Machine("n1", "192.0.2.1", RuntimeInfo("docker://1", "Debian", "6.1", "amd64", 2, 4 << 30), 10 << 30)


def test_the_nodes_status_changes_only_when_something_does() -> None:
    first = node.node_status(MACHINE, NetworkState(False, "NoPodRange", "waiting"), {}, NOW)
    later = NOW + timedelta(minutes=1)
    assert node.node_status(MACHINE, NetworkState(False, "NoPodRange", "waiting"), first, later) == first
    second = node.node_status(MACHINE, NetworkState(True, "Ready", "it is"), first, later)
    changed = {c["type"] for c in second["conditions"] if c not in first["conditions"]}
    assert changed == {"NetworkUnavailable"}
    assert first["capacity"] == {"cpu": "2", "memory": "4194304Ki", "ephemeral-storage": "10485760Ki", "pods": "110"}


def test_a_node_whose_runtime_or_disk_is_not_well_says_so() -> None:
    network = NetworkState(True, "Ready", "it is")
    first = node.node_status(MACHINE, network, {}, NOW)
    ill = node.node_status(MACHINE, network, first, NOW, Health("Docker does not answer", "no space left"))
    said = {c["type"]: (c["status"], c["message"]) for c in ill["conditions"] if c not in first["conditions"]}
    assert said == {"Ready": ("False", "Docker does not answer"), "DiskPressure": ("True", "no space left")}


async def test_a_runtime_that_misses_two_answers_is_not_well_until_the_next_one() -> None:
    runtime = FakeRuntime(SystemClock())
    watching = Watching(runtime, SystemClock(), disk_trouble=lambda: "")
    seen = []
    for fails in (True, False, True, True, False):
        if fails:
            runtime.fail("info", RuntimeFailed("connection refused", operation="info", subject="engine"))
        await watching.ask()
        seen.append(watching.health().runtime)
    assert seen == ["", "", "", "the container runtime does not answer: connection refused", ""]


def test_a_node_that_was_lost_is_ready_again() -> None:
    first = node.node_status(MACHINE, NetworkState(True, "Ready", "it is"), {}, NOW)
    lost = {**first, "conditions": [{**c, "status": "Unknown"} for c in first["conditions"]]}
    again = node.node_status(MACHINE, NetworkState(True, "Ready", "it is"), lost, NOW)
    assert {c["type"]: c["status"] for c in again["conditions"]}["Ready"] == "True"


def test_what_becomes_of_a_node_is_news_once() -> None:
    network = NetworkState(True, "Ready", "it is")
    first = node.node_status(MACHINE, network, {}, NOW)
    ill = node.node_status(MACHINE, network, first, NOW, Health("Docker does not answer", "no space left"))
    assert [reason for reason, *_ in node.news("n1", {}, first)] == ["NodeReady"]
    assert list(node.news("n1", first, first)) == []
    assert sorted(node.news("n1", first, ill)) == [
        ("NodeHasDiskPressure", "Node n1 status is now: NodeHasDiskPressure: no space left", True),
        ("NodeNotReady", "Node n1 status is now: NodeNotReady: Docker does not answer", True),
    ]
    assert sorted(node.news("n1", ill, first)) == [
        ("NodeHasNoDiskPressure", "Node n1 status is now: NodeHasNoDiskPressure", False),
        ("NodeReady", "Node n1 status is now: NodeReady", False),
    ]


# Tunnel


class Wire:
    """The server's end: what was sent, as frames."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()

    async def send_bytes(self, data: bytes) -> None:
        self.frames.put_nowait(decode(data))


@asynccontextmanager
async def numbers(params: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[bytes]]:
    if params.get("missing"):
        raise NotFound("there is no such thing")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(int(params["chunks"])):
            yield b"x" * 100_000

    if params.get("odd"):
        raise ArithmeticError("nobody thought of this")
    if params.get("cut"):
        raise aiohttp.ClientPayloadError("the engine went away")
    yield chunks()


def opening(stream: int, **params: Any) -> Frame:
    return Frame(FrameType.OPEN, stream, orjson.dumps({"verb": "numbers", "params": params}))


async def test_a_stream_never_exceeds_its_credit() -> None:
    wire = Wire()
    async with asyncio.timeout(10), Tasks("test") as tasks:
        streams = tunnel.Streams(tasks, wire, {"numbers": numbers})
        streams.take(opening(2, chunks=10))
        received = 0
        while received < CREDIT_BYTES:
            received += len((await wire.frames.get()).payload)
        assert received == CREDIT_BYTES
        for _ in range(10):
            await asyncio.sleep(0)
        assert wire.frames.empty()
        streams.take(Frame(FrameType.CREDIT, 2, (1_000_000).to_bytes(4, "big")))
        while (frame := await wire.frames.get()).type is FrameType.DATA:
            received += len(frame.payload)
        assert received == 1_000_000
        assert frame == Frame(FrameType.END, 2, b"{}")


async def test_a_stream_that_fails_ends_with_its_error_and_leaves_the_others() -> None:
    wire = Wire()
    async with asyncio.timeout(10), Tasks("test") as tasks:
        streams = tunnel.Streams(tasks, wire, {"numbers": numbers})
        streams.take(opening(2, missing=True))
        end = await wire.frames.get()
        assert (end.type, orjson.loads(end.payload)["error"]["code"]) == (FrameType.END, 404)
        streams.take(Frame(FrameType.OPEN, 4, b'{"verb": "dance", "params": {}}'))
        assert orjson.loads((await wire.frames.get()).payload)["error"]["code"] == 400
        streams.take(Frame(FrameType.OPEN, 6, b"not JSON"))
        assert orjson.loads((await wire.frames.get()).payload)["error"]["code"] == 400
        for stream, how in ((8, "odd"), (10, "cut")):
            streams.take(opening(stream, **{how: True}))
            end = await wire.frames.get()
            assert (end.stream, end.type) == (stream, FrameType.END)
            assert orjson.loads(end.payload)["error"]["code"] == 500
        streams.take(opening(12, chunks=1))
        assert (await wire.frames.get()).type is FrameType.DATA


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("ErrImagePull", "image can't be pulled"),
        ("ImagePullBackOff", "trying and failing to pull image"),
        ("PodInitializing", "PodInitializing"),
        ("", "ContainerCreating"),
    ],
)
def test_a_log_that_has_not_begun_says_why(reason: str, words: str) -> None:
    status = {"containerStatuses": [{"name": "app", "state": {"waiting": {"reason": reason}}}]}
    assert why_waiting({"status": status}, "app") == words


def test_logs_since_before_all_time_are_all_logs() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert options({"sinceSeconds": 60}, now=now).since == now - timedelta(seconds=60)
    assert options({"sinceSeconds": 100_000_000_000}, now=now).since is None
    assert options({"sinceSeconds": 10**18}, now=now).since is None
    with pytest.raises(BadRequest, match="before the first"):
        options({"sinceTime": "0001-01-01T00:00:00+01:00"}, now=now)


async def test_a_stream_that_the_server_ends_is_cancelled() -> None:
    wire = Wire()
    async with asyncio.timeout(10), Tasks("test") as tasks:
        streams = tunnel.Streams(tasks, wire, {"numbers": numbers})
        streams.take(opening(2, chunks=10))
        await wire.frames.get()
        streams.take(Frame(FrameType.END, 2))
        streams.take(Frame(FrameType.CREDIT, 2, (1_000_000).to_bytes(4, "big")))
        streams.take(opening(2, chunks=0))
        while (frame := await wire.frames.get()).type is FrameType.DATA:
            pass
        assert frame == Frame(FrameType.END, 2, b"{}")
