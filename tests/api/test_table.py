from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iacorch.api import catalogue, columns
from iacorch.api.catalogue import Column, Kind
from iacorch.api.columns import table
from iacorch.api.columns.text import human
from tests.api import build

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MADE = {"name": "x", "creationTimestamp": "2026-01-02T03:00:00Z"}


def cells(kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    made = {**obj, "metadata": {**MADE, **(obj.get("metadata") or {})}}
    document = table.table(kind, [made], now=NOW)
    names = [column["name"] for column in document["columnDefinitions"]]
    row = document["rows"][0]["cells"]
    assert len(names) == len(row)
    return dict(zip(names, row, strict=True))


@pytest.mark.parametrize(
    "kind", [kind for kind in catalogue.builtin() if not kind.is_virtual], ids=lambda k: k.qualified
)
def test_every_kind_has_as_many_cells_as_columns_even_for_an_empty_object(kind: Kind) -> None:
    definitions, row = columns.of(kind)
    assert len(row({}, NOW)) == len(definitions)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (9 * 3600, "9h"),
        (47 * 3600, "47h"),
        (49 * 3600, "2d1h"),
        (9 * 86_400, "9d"),
        (800 * 86_400, "2y70d"),
        (3000 * 86_400, "8y"),
        (-5, "<invalid>"),
    ],
)
def test_ages_read_as_in_kubectl(seconds: int, words: str) -> None:
    assert human(seconds) == words


def waiting(reason: str) -> dict[str, Any]:
    return {"name": "c", "state": {"waiting": {"reason": reason}}}


def terminated(reason: str = "", **more: Any) -> dict[str, Any]:
    return {"name": "c", "state": {"terminated": {"reason": reason, **more}}}


RUNNING = {"name": "c", "ready": True, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Running", "containerStatuses": [RUNNING]}, "Running"),
        ({"phase": "Running", "containerStatuses": [waiting("CrashLoopBackOff")]}, "CrashLoopBackOff"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        ({"phase": "Succeeded", "containerStatuses": [terminated("Completed")]}, "Completed"),
        ({"phase": "Failed", "containerStatuses": [terminated(exitCode=3)]}, "ExitCode:3"),
        ({"phase": "Failed", "containerStatuses": [terminated(signal=9)]}, "Signal:9"),
        ({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}, "Init:0/1"),
        ({"phase": "Pending", "initContainerStatuses": [waiting("ImagePullBackOff")]}, "Init:ImagePullBackOff"),
        ({"phase": "Pending", "initContainerStatuses": [terminated("Error", exitCode=1)]}, "Init:Error"),
    ],
)
def test_the_status_of_a_pod_in_one_word(status: dict[str, Any], words: str) -> None:
    pod = build.pod(initContainers=[{"name": "i"}]) | {"status": status}
    assert cells(catalogue.POD, pod)["Status"] == words


def test_a_pod_row() -> None:
    running = {**RUNNING, "restartCount": 2, "lastState": {"terminated": {"finishedAt": "2026-01-02T03:03:05Z"}}}
    pod = build.pod(nodeName="n1") | {
        "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [running]}
    }
    row = cells(catalogue.POD, pod)
    assert row["Ready"] == "1/1"
    assert row["Restarts"] == "2 (60s ago)"
    assert row["Age"] == "4m5s"
    assert (row["IP"], row["Node"]) == ("10.0.0.1", "n1")
    pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:00Z"
    assert cells(catalogue.POD, pod)["Status"] == "Terminating"


def test_other_rows() -> None:
    deployment = build.deployment(replicas=3) | {"status": {"readyReplicas": 2, "updatedReplicas": 3}}
    row = cells(catalogue.DEPLOYMENT, deployment)
    assert (row["Ready"], row["Up-to-date"], row["Available"], row["Selector"]) == ("2/3", 3, 0, "app=web")
    service = build.service(type="NodePort", clusterIP="10.96.0.1", ports=[{"port": 80, "nodePort": 30080}])
    row = cells(catalogue.SERVICE, service)
    assert (row["Port(s)"], row["External-IP"]) == ("80:30080/TCP", "<none>")
    node = {
        "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    row = cells(catalogue.NODE, node)
    assert (row["Status"], row["Roles"]) == ("Ready,SchedulingDisabled", "control-plane")
    slice_ = {
        "addressType": "IPv4",
        "ports": [{"port": 80}],
        "endpoints": [{"addresses": [f"10.0.0.{n}"]} for n in range(5)],
    }
    assert cells(catalogue.ENDPOINT_SLICE, slice_)["Endpoints"] == "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more..."
    event = {
        "involvedObject": {"kind": "Pod", "name": "p"},
        "eventTime": "2026-01-02T03:04:00.000000Z",
        "message": "m\n",
    }
    row = cells(catalogue.EVENT, event)
    assert (row["Object"], row["Last Seen"], row["Message"], row["Count"]) == ("pod/p", "5s", "m", 1)


def test_the_object_comes_along_as_asked() -> None:
    pod = build.pod()
    metadata = table.table(catalogue.POD, [pod], now=NOW)["rows"][0]["object"]
    assert metadata["kind"] == "PartialObjectMetadata"
    assert table.table(catalogue.POD, [pod], now=NOW, include_object="Object")["rows"][0]["object"] is pod
    bare = table.table(catalogue.POD, [pod], now=NOW, include_object="None", columns_too=False)
    assert bare["rows"][0].keys() == {"cells"}
    assert bare["columnDefinitions"] == []


def test_a_custom_kind_brings_its_columns() -> None:
    widget = replace(
        catalogue.CONFIG_MAP,
        group="example.com",
        kind="Widget",
        columns=(Column("Size", "integer", json_path=".spec.size"),),
    )
    assert cells(widget, {"spec": {"size": 3}}) == {"Name": "x", "Size": 3}
    assert cells(replace(widget, columns=()), {})["Age"] == "4m5s"


def test_an_unreadable_time_does_not_break_a_row() -> None:
    assert cells(catalogue.CONFIG_MAP, {"metadata": {"creationTimestamp": "x"}})["Age"] == "<invalid>"
    later = (NOW + timedelta(hours=1)).isoformat()
    assert cells(catalogue.CONFIG_MAP, {"metadata": {"creationTimestamp": later}})["Age"] == "<invalid>"


def test_a_scale_has_columns_of_its_own() -> None:
    scale = {"metadata": {"name": "web"}, "spec": {"replicas": 3}, "status": {"replicas": 2}}
    found = table.table(catalogue.DEPLOYMENT, [scale], now=NOW, subresource="scale")
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert found["rows"][0]["cells"][:3] == ["web", 3, 2]
    status = table.table(catalogue.DEPLOYMENT, [build.deployment()], now=NOW, subresource="status")
    assert [column["name"] for column in status["columnDefinitions"]][1] == "Ready"


@pytest.mark.parametrize(
    ("phase", "reason", "words"),
    [("Running", "Completed", "Terminating"), ("Succeeded", "Completed", "Completed"), ("Failed", "Error", "Error")],
)
def test_a_pod_that_ended_says_how_while_it_is_removed(phase: str, reason: str, words: str) -> None:
    pod = build.pod() | {"status": {"phase": phase, "containerStatuses": [terminated(reason)]}}
    pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:00Z"
    assert cells(catalogue.POD, pod)["Status"] == words
