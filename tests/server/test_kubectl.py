"""What a person types: the real kubectl against a real iacorchd. One idea a row."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server import daemon

pytestmark = pytest.mark.client

ROOT = Path(__file__).parents[2]
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example/web:1
        ports: [{containerPort: 8080}]
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: one}}
spec:
  containers:
  - {name: main, image: "registry.example/one:1", env: [{name: A, value: "1"}]}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""


@pytest.fixture(scope="module")
def kubectl_binary() -> str:
    found = subprocess.run([ROOT / "scripts" / "kubectl"], capture_output=True, text=True)
    if found.returncode != 0:
        pytest.skip(f"no kubectl: {found.stderr.strip()}")
    return found.stdout.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[daemon.Daemon]:
    with daemon.running(tmp_path_factory.mktemp("kubectl") / "data", "--no-controllers") as running:
        yield running


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Kubectl = Callable[..., Ran]
_numbers = itertools.count()


@pytest.fixture
def kubectl(kubectl_binary: str, server: daemon.Daemon, tmp_path: Path) -> Kubectl:
    """Runs kubectl in a namespace of its own: `kubectl("get pods")`, with a manifest on its standard input."""
    base = [kubectl_binary, "--kubeconfig", str(server.kubeconfig), "--cache-dir", str(server.data_dir / "cache")]

    def run(command: str | list[str], manifest: str = "") -> Ran:
        words = command.split() if isinstance(command, str) else command
        done = subprocess.run([*base, "-n", name, *words], input=manifest, capture_output=True, text=True, timeout=60)
        return Ran(done.returncode, done.stdout, done.stderr)

    name = f"t{next(_numbers)}"
    subprocess.run([*base, "create", "namespace", name], check=True, capture_output=True, timeout=60)
    return run


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param("get deployment web", r"NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0/2 ", id="get"),
        pytest.param(
            "get deployment web -o wide", r"CONTAINERS +IMAGES +SELECTOR\n.*registry.example/web:1", id="wide"
        ),
        pytest.param("get deployment web -o yaml", r"replicas: 2\n", id="yaml"),
        pytest.param("get deployment web -o json", r'"kind": "Deployment"', id="json"),
        pytest.param("get deployment web -o jsonpath={.spec.replicas}", r"^2$", id="jsonpath"),
        pytest.param(
            "get deploy,svc,pod", r"deployment.apps/web .*\n\nNAME.*\nservice/web +ClusterIP +10\.96\.", id="mixed"
        ),
        pytest.param("get pods -l app=one -o name", r"^pod/one\n$", id="label"),
        pytest.param("get pods --field-selector status.phase=Pending -o name", r"^pod/one\n$", id="field"),
        pytest.param("get pods --show-labels", r"app=one", id="labels"),
        pytest.param("describe deployment web", r"Replicas: +2 desired", id="describe-deployment"),
        pytest.param("describe pod one", r"Image: +registry.example/one:1", id="describe-pod"),
        pytest.param("describe service web", r"TargetPort: +8080/TCP", id="describe-service"),
        pytest.param("label pod one tier=front", r"pod/one labeled", id="label-write"),
        pytest.param("annotate pod one note=hello", r"pod/one annotated", id="annotate"),
        pytest.param("scale deployment web --replicas 5", r"deployment.apps/web scaled", id="scale"),
        pytest.param("set image deployment/web web=registry.example/web:2", r"image updated", id="set-image"),
        pytest.param(
            ["patch", "deployment", "web", "-p", '{"spec":{"replicas":4}}'],
            r"deployment.apps/web patched",
            id="strategic",
        ),
        pytest.param(
            ["patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"replicas":4}}'], r"patched", id="merge"
        ),
        pytest.param(
            ["patch", "deployment", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":4}]'],
            r"patched",
            id="json-patch",
        ),
        pytest.param("delete deployment web", r'deployment.apps "web" deleted', id="delete"),
        pytest.param("delete pods --all", r'pod "one" deleted', id="delete-all"),
        pytest.param("delete pod -l app=one", r'pod "one" deleted', id="delete-label"),
        pytest.param("rollout history deployment web", r"deployment.apps/web", id="rollout-history"),
        pytest.param("create configmap c --from-literal a=1", r"configmap/c created", id="create-configmap"),
        pytest.param("create secret generic s --from-literal a=1", r"secret/s created", id="create-secret"),
        pytest.param("create serviceaccount robot", r"serviceaccount/robot created", id="create-serviceaccount"),
        pytest.param(
            "create deployment d --image=registry.example/d:1", r"deployment.apps/d created", id="create-deployment"
        ),
        pytest.param("expose deployment web --name w2 --port 80", r"service/w2 exposed", id="expose"),
        pytest.param("run r --image=registry.example/r:1", r"pod/r created", id="run"),
        pytest.param("get events", r"", id="events"),
        pytest.param("wait pod/one --for=jsonpath={.status.phase}=Pending --timeout=5s", r"condition met", id="wait"),
        pytest.param("auth can-i create pods", r"^yes\n$", id="can-i"),
        pytest.param("auth whoami", r"Username +admin", id="whoami"),
        pytest.param("api-resources", r"deployments +deploy +apps/v1 +true +Deployment", id="api-resources"),
        pytest.param("api-versions", r"apps/v1", id="api-versions"),
        pytest.param("explain pod.spec.containers", r"KIND: +Pod\n", id="explain"),
        pytest.param("version", r"Server Version: v1\.37", id="version"),
        pytest.param("get namespaces", r"default +Active", id="namespaces"),
        pytest.param("get --raw /readyz", r"^ok", id="raw"),
    ],
)
def test_what_a_person_types(kubectl: Kubectl, command: str | list[str], words: str) -> None:
    applied = kubectl("apply -f -", f"{DEPLOYMENT}---{POD}---{SERVICE}")
    assert applied.code == 0, applied.err
    done = kubectl(command)
    assert done.code == 0, done.err
    assert re.search(words, done.out), done.out


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        pytest.param(POD.replace("image:", "imagee:"), 'unknown field "spec.containers[0].imagee"', id="unknown-field"),
        pytest.param(
            POD.replace("name: one", "name: One"), "a lowercase RFC 1123 subdomain must consist of", id="name"
        ),
        pytest.param(POD.replace("kind: Pod", "kind: Pot"), 'no matches for kind "Pot" in version "v1"', id="kind"),
        pytest.param(POD.replace("apiVersion: v1", "apiVersion: v9"), 'no matches for kind "Pod"', id="version"),
        pytest.param(
            DEPLOYMENT.replace("replicas: 2", "replicas: two"),
            "cannot unmarshal string into Go struct field",
            id="type",
        ),
        pytest.param(
            DEPLOYMENT.replace("labels: {app: web}}\n    spec", "labels: {app: other}}\n    spec"),
            "`selector` does not match template `labels`",
            id="selector",
        ),
        pytest.param(
            DEPLOYMENT.replace("replicas: 2", "replicas: -1"), "must be greater than or equal to 0", id="negative"
        ),
        pytest.param(SERVICE.replace("port: 80,", "port: 80000,"), "must be between 1 and 65535", id="port"),
        pytest.param(
            SERVICE.replace("spec: {", "spec: {clusterIP: 1.2.3.4, "), "provided network does not match", id="ip"
        ),
        pytest.param(POD.replace("name: main", "name: MAIN"), "spec.containers[0].name: Invalid value", id="container"),
    ],
)
def test_wrong_input_gets_kubernetes_words_and_nothing_is_stored(kubectl: Kubectl, manifest: str, words: str) -> None:
    done = kubectl("apply -f -", manifest)
    assert done.code == 1
    assert words in done.err
    assert kubectl("get pods,deployments,services -o name").out == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param("get pod none", 'Error from server (NotFound): pods "none" not found', id="absent"),
        pytest.param("get gizmos", 'the server doesn\'t have a resource type "gizmos"', id="kind"),
        pytest.param("delete namespace default", "namespace may not be deleted", id="immortal"),
        pytest.param("get pods -l a=b=c", "found '=', expected: ',' or 'end of string'", id="label"),
        pytest.param("get pods --field-selector spec.color=red", "field label not supported: spec.color", id="field"),
        pytest.param("scale deployment none --replicas 2", 'deployments.apps "none" not found', id="scale"),
    ],
)
def test_a_wrong_command_is_told_why(kubectl: Kubectl, command: str, words: str) -> None:
    done = kubectl(command, POD)
    assert done.code == 1
    assert words in done.err


def test_apply_again_changes_nothing_and_diff_agrees(kubectl: Kubectl) -> None:
    assert kubectl("apply -f -", DEPLOYMENT).out == "deployment.apps/web created\n"
    assert kubectl("apply -f -", DEPLOYMENT).out == "deployment.apps/web unchanged\n"
    assert kubectl("diff -f -", DEPLOYMENT).code == 0
    changed = kubectl("diff -f -", DEPLOYMENT.replace("replicas: 2", "replicas: 3"))
    assert changed.code == 1
    assert "+  replicas: 3" in changed.out
    assert kubectl("apply -f -", DEPLOYMENT.replace("replicas: 2", "replicas: 3")).out.endswith("configured\n")
    assert json.loads(kubectl("get deployment web -o json").out)["spec"]["replicas"] == 3


def test_server_side_apply_keeps_owners_apart(kubectl: Kubectl) -> None:
    ours = DEPLOYMENT.replace("replicas: 2", "replicas: 3")
    assert kubectl("apply --server-side -f -", DEPLOYMENT).out == "deployment.apps/web serverside-applied\n"
    before = kubectl("get deployment web -o jsonpath={.metadata.resourceVersion}").out
    assert kubectl("apply --server-side -f -", DEPLOYMENT).code == 0
    assert kubectl("get deployment web -o jsonpath={.metadata.resourceVersion}").out == before, "nothing changed"
    refused = kubectl("apply --server-side --field-manager other -f -", ours)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in refused.err
    assert kubectl("apply --server-side --field-manager other --force-conflicts -f -", ours).code == 0
    assert kubectl("get deployment web -o jsonpath={.spec.replicas}").out == "3"
    assert kubectl("scale deployment web --replicas 5").code == 0
    refused = kubectl("apply --server-side --field-manager other -f -", ours)
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1' in refused.err


def test_kubectl_takes_over_what_it_applied_by_itself(kubectl: Kubectl) -> None:
    both = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '1', b: '1'}}"
    assert kubectl("apply -f -", both).code == 0
    assert kubectl("apply --server-side -f -", both.replace(", b: '1'", "")).code == 0
    assert kubectl("get configmap c -o jsonpath={.data}").out == '{"a":"1"}'


def test_an_unknown_field_is_never_applied(kubectl: Kubectl) -> None:
    done = kubectl("apply --server-side --validate=false -f -", POD.replace("image:", "imagee:"))
    assert 'unknown field "spec.containers[0].imagee"' in done.err
    assert kubectl("get pods -o name").out == ""


def test_a_dry_run_stores_nothing(kubectl: Kubectl) -> None:
    assert "created (server dry run)" in kubectl("apply --dry-run=server -f -", POD).out
    assert kubectl("get pods -o name").out == ""


def test_secrets_are_not_readable_in_the_file(kubectl: Kubectl, server: daemon.Daemon) -> None:
    marker = "c2VjcmV0LW1hcmtlci0xMjM0NQ=="
    kubectl("create secret generic s --from-literal key=secret-marker-12345")
    assert marker in kubectl("get secret s -o yaml").out
    stored = b"".join(path.read_bytes() for path in server.data_dir.glob("store.db*"))
    assert marker.encode() not in stored
