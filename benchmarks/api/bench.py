"""What the API's pure functions cost: one write's steps, a table, a selector, a patch, a protobuf body.

python benchmarks/api/bench.py

Prints one JSON row a measurement: name, value, unit. Processor time, best of five, to keep other work on the machine
out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from iacorch.api import catalogue, defaults, objects, patch, strategy, validate
from iacorch.api.columns import table
from iacorch.api.values import quantity, selectors
from iacorch.api.wire import openapi, protobuf, schema, structure
from tests.api.protobuf_encoder import encode

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def deployment() -> dict[str, Any]:
    """As people write them: probes, resources, environment from a config map, two volumes."""
    container = {
        "name": "web",
        "image": "registry.example/web:1.2.3",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "mode"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "livenessProbe": {"tcpSocket": {"port": "http"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes = [{"name": "config", "configMap": {"name": "web"}}, {"name": "tmp", "emptyDir": {}}]
    labels = {"app": "web", "tier": "front"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": labels},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": volumes}},
        },
    }


def row(name: str, work: Callable[[], Any], *, times: int, unit: str = "us") -> None:
    best = min(_seconds(work, times) for _ in range(5))
    print(json.dumps({"name": name, "value": round(best / times * 1e6, 2), "unit": unit}))


def _seconds(work: Callable[[], Any], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - start


def main() -> None:
    kind, body = catalogue.DEPLOYMENT, deployment()
    start = time.process_time()
    schema.decode(kind, body)
    print(
        json.dumps(
            {
                "name": "first use of a kind's schema",
                "value": round((time.process_time() - start) * 1e3, 1),
                "unit": "ms",
            }
        )
    )
    filled = defaults.with_defaults(kind, body)
    stored = strategy.prepare_create(kind, filled, uid="u", now=NOW)
    wrong = {**body, "spec": {**body["spec"], "replicas": "x"}}
    row("schema: a right Deployment", lambda: schema.decode(kind, body), times=2000)
    row("schema: a wrong Deployment, with words", lambda: _refused(kind, wrong), times=500)
    row("defaults: a Deployment", lambda: defaults.with_defaults(kind, body), times=1000)
    row("strategy: create a Deployment", lambda: strategy.prepare_create(kind, filled, uid="u", now=NOW), times=2000)
    row("validate: a Deployment", lambda: validate.create(kind, stored), times=500)
    row("a write: schema to validation, a Deployment", lambda: _write(kind, body), times=500)
    changed = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}}}
    type_ = structure.type_of(kind)
    row(
        "patch: strategic, one image",
        lambda: patch.apply(patch.STRATEGIC_PATCH, stored, changed, type_=type_),
        times=2000,
    )
    wire = encode(body)
    row("protobuf: decode a Deployment", lambda: protobuf.decode(wire), times=500)
    row("deep copy of a Deployment", lambda: objects.deep_copy(stored), times=2000)
    pods = [_pod(index) for index in range(1000)]
    row("table: 1,000 pods", lambda: table.table(catalogue.POD, pods, now=NOW), times=5)
    chosen = selectors.parse_labels("app=web,tier in (front,back)")
    row("selector: 1,000 pods", lambda: [chosen.matches(objects.labels(pod)) for pod in pods], times=20)
    row("selector: parse", lambda: selectors.parse_labels("app=web,tier in (front,back)"), times=2000)
    row("quantity: parse, remembered", lambda: quantity.parse("1500Mi"), times=20000)
    row("OpenAPI: the document of core v1", lambda: openapi.document(catalogue.builtin(), "", "v1"), times=2)


def _write(kind: catalogue.Kind, body: dict[str, Any]) -> None:
    filled = defaults.with_defaults(kind, schema.decode(kind, body).obj)
    validate.create(kind, strategy.prepare_create(kind, filled, uid="u", now=NOW))


def _refused(kind: catalogue.Kind, body: dict[str, Any]) -> None:
    try:
        schema.decode(kind, body)
    except schema.BadRequest:
        return


def _pod(index: int) -> dict[str, Any]:
    status = {"name": "web", "ready": True, "restartCount": index % 3, "state": {"running": {}}}
    return {
        "metadata": {
            "name": f"web-{index}",
            "namespace": "default",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "web", "tier": "front"},
        },
        "spec": {"containers": [{"name": "web"}], "nodeName": f"n{index % 7}"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [status]},
    }


if __name__ == "__main__":
    main()
