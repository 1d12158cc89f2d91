"""The API over HTTPS: who gets in, what comes back, and what bad input gets."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from iacorch.client.tunnel import JOIN_PATH
from iacorch.kit import limits
from iacorch.server.identity.signing import Pair
from tests.server.http_fixtures import JOIN_TOKEN, World, world

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


@pytest.fixture
async def admin(running: World) -> AsyncIterator[aiohttp.ClientSession]:
    async with running.session(running.admin()) as session:
        yield session


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def answer(request: Any) -> tuple[int, Any]:
    async with request as response:
        return response.status, await response.json()


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version", "/version/"])
async def test_anybody_may_ask_for_health_and_version(running: World, path: str) -> None:
    async with running.session(None) as session, session.get(path) as response:
        assert response.status == 200


async def test_health_says_what_it_looked_at_when_asked(running: World) -> None:
    async with running.session(None) as session, session.get("/livez?verbose") as response:
        assert await response.text() == "[+]ping ok\n[+]store ok\nlivez check passed\n"


@pytest.mark.parametrize("path", ["/api", "/apis", "/metrics", PODS, "/openapi/v3", "/", "/iacorch/v1/tunnel"])
async def test_nobody_gets_anything_else(running: World, path: str) -> None:
    async with running.session(None) as session:
        code, body = await answer(session.get(path))
    assert (code, body["reason"]) == (401, "Unauthorized")


async def test_a_wrong_token_is_refused(running: World) -> None:
    async with running.session(None) as session:
        code, _ = await answer(session.get(PODS, headers={"Authorization": "Bearer wrong"}))
    assert code == 401


async def test_the_join_token_opens_nothing_but_joining(running: World) -> None:
    async with running.session(None) as session:
        code, body = await answer(session.get(PODS, headers={"Authorization": f"Bearer {JOIN_TOKEN}"}))
    assert (code, body["reason"]) == (403, "Forbidden")


async def test_older_tls_is_refused(running: World) -> None:
    context = running.context(None)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(running.url + "/healthz")


async def test_a_certificate_of_another_ca_is_refused(running: World, tmp_path: Path) -> None:
    async with world(tmp_path / "other") as other, running.session(other.admin()) as session:
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await session.get(PODS)


def make_csr(key: ec.EllipticCurvePrivateKey | None = None) -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "whatever")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


async def test_a_machine_joins_with_the_token_and_renews_only_itself(running: World) -> None:
    token = {"Authorization": f"Bearer {JOIN_TOKEN}"}
    key = ec.generate_private_key(ec.SECP256R1())
    async with running.session(None) as session:
        code, body = await answer(session.post(JOIN_PATH, json={"nodeName": "n1", "csr": make_csr(key)}, headers=token))
    assert code == 200
    subject = x509.load_pem_x509_certificate(body["certificate"].encode()).subject.rfc4514_string()
    assert subject == "CN=system:node:n1,O=system:nodes"
    async with running.session(Pair(body["certificate"].encode(), key_pem(key))) as session:
        code, _ = await answer(session.post(JOIN_PATH, json={"nodeName": "n1", "csr": make_csr()}))
        assert code == 200
        code, _ = await answer(session.post(JOIN_PATH, json={"nodeName": "n2", "csr": make_csr()}))
        assert code == 403


async def test_the_token_gives_nobody_the_name_of_a_live_node(running: World, admin: aiohttp.ClientSession) -> None:
    token = {"Authorization": f"Bearer {JOIN_TOKEN}"}
    async with running.session(None) as session:
        for ready, expected in (("True", 503), ("Unknown", 200)):
            node = {"metadata": {"name": f"n-{ready.lower()}"}}
            node["status"] = {"conditions": [{"type": "Ready", "status": ready}]}  # type: ignore[dict-item]
            assert (await answer(admin.post("/api/v1/nodes", json=node)))[0] == 201
            wish = {"nodeName": node["metadata"]["name"], "csr": make_csr()}
            assert (await answer(session.post(JOIN_PATH, json=wish, headers=token)))[0] == expected
            assert (await answer(admin.post(JOIN_PATH, json=wish)))[0] == 200, "administrators may"


@pytest.mark.parametrize(
    "body", [{}, {"nodeName": "n1"}, {"nodeName": "N_1", "csr": "x"}, {"nodeName": "n1", "csr": "not a request"}, []]
)
async def test_a_senseless_join_is_refused(running: World, body: Any) -> None:
    async with running.session(None) as session:
        request = session.post(JOIN_PATH, json=body, headers={"Authorization": f"Bearer {JOIN_TOKEN}"})
        assert (await answer(request))[0] == 400


async def test_an_object_goes_in_and_comes_out(admin: aiohttp.ClientSession) -> None:
    code, made = await answer(admin.post(MAPS, json=config_map("m", a="1")))
    assert code == 201
    assert await answer(admin.get(f"{MAPS}/m")) == (200, made)
    code, listed = await answer(admin.get(MAPS))
    assert listed["items"] == [made]
    assert listed["kind"] == "ConfigMapList"


async def test_yaml_goes_in_and_comes_out(admin: aiohttp.ClientSession) -> None:
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {when: 2026-01-01}\n"
    headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    async with admin.post(MAPS, data=body, headers=headers) as response:
        assert response.content_type == "application/yaml"
        assert "when: 2026-01-01" in (await response.text()).replace("'", "")


async def test_pages_join_up_to_the_whole(admin: aiohttp.ClientSession) -> None:
    for number in range(5):
        await answer(admin.post(MAPS, json=config_map(f"m{number}")))
    names: list[str] = []
    token = ""
    while True:
        _, page = await answer(admin.get(MAPS, params={"limit": "2", "continue": token}))
        names += [item["metadata"]["name"] for item in page["items"]]
        if not names or not (token := page["metadata"].get("continue", "")):
            break
        await answer(admin.delete(f"{MAPS}/m4"))
    assert names == ["m0", "m1", "m2", "m3", "m4"]


async def test_metadata_only(admin: aiohttp.ClientSession) -> None:
    await answer(admin.post(MAPS, json=config_map("m", a="1")))
    accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
    _, body = await answer(admin.get(f"{MAPS}/m", headers=accept))
    assert set(body) == {"kind", "apiVersion", "metadata"}


async def lines(response: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        return [json.loads(await response.content.readline()) for _ in range(count)]


async def test_a_watch_tells_what_happens(admin: aiohttp.ClientSession) -> None:
    _, listed = await answer(admin.get(MAPS))
    params = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
    async with admin.get(MAPS, params=params) as response:
        await answer(admin.post(MAPS, json=config_map("m")))
        await answer(admin.delete(f"{MAPS}/m"))
        assert [event["type"] for event in await lines(response, 2)] == ["ADDED", "DELETED"]


async def test_a_watch_list_starts_with_what_is_there(admin: aiohttp.ClientSession, running: World) -> None:
    await answer(admin.post(MAPS, json=config_map("m")))
    params = {
        "watch": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    async with admin.get(MAPS, params=params) as response:
        first, mark = await lines(response, 2)
        assert first["type"] == "ADDED"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        running.registry.storage.store.request_progress()
        (bookmark,) = await lines(response, 1)
        assert bookmark["type"] == "BOOKMARK"


async def test_a_watch_ends_when_it_was_asked_to(admin: aiohttp.ClientSession) -> None:
    async with admin.get(MAPS, params={"watch": "1", "timeoutSeconds": "1", "resourceVersion": "2"}) as response:
        async with asyncio.timeout(10):
            assert await response.content.read() == b""


async def test_a_watch_from_forgotten_times_is_gone(admin: aiohttp.ClientSession, running: World) -> None:
    await answer(admin.post(MAPS, json=config_map("m")))
    store = running.registry.storage.store
    await store.compact(store.revision)
    code, body = await answer(admin.get(MAPS, params={"watch": "1", "resourceVersion": "1"}))
    assert (code, body["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code", "words"),
    [
        pytest.param("GET", f"{MAPS}/none", "", {}, 404, 'configmaps "none" not found', id="absent"),
        pytest.param("GET", "/api/v1/gizmos", "", {}, 404, "could not find the requested resource", id="kind"),
        pytest.param("GET", "/apis/nothing/v1", "", {}, 404, "could not find the requested resource", id="group"),
        pytest.param("GET", f"{MAPS}?limit=x", "", {}, 400, "invalid syntax", id="limit"),
        pytest.param("GET", f"{MAPS}?continue=x", "", {}, 400, "continue key is not valid", id="continue"),
        pytest.param("GET", f"{MAPS}?resourceVersion=x", "", {}, 400, "resourceVersion", id="version"),
        pytest.param("GET", f"{MAPS}?resourceVersion=99999", "", {}, 504, "Too large resource version", id="future"),
        pytest.param("GET", f"{MAPS}?labelSelector=a%20b", "", {}, 400, "unable to parse requirement", id="label"),
        pytest.param("GET", f"{MAPS}?fieldSelector=x%3Dy", "", {}, 400, "field label not supported", id="field"),
        pytest.param("GET", MAPS, "", {"Accept": "image/png"}, 406, "only the following media types", id="accept"),
        pytest.param("POST", MAPS, "{", {}, 400, "couldn't decode", id="json"),
        pytest.param("POST", MAPS, "[]", {}, 400, "must be an object", id="array"),
        pytest.param("POST", MAPS, "x", {"Content-Type": "text/html"}, 415, "unknown format", id="media"),
        pytest.param("POST", f"{MAPS}?dryRun=maybe", "{}", {}, 400, "dryRun", id="dry-run"),
        pytest.param("POST", f"{MAPS}?fieldValidation=x", "{}", {}, 400, "fieldValidation", id="validation"),
        pytest.param(
            "PATCH", f"{MAPS}/m", "{}", {"Content-Type": "application/json"}, 415, "unknown format", id="patch"
        ),
        pytest.param("PUT", MAPS, "{}", {}, 405, "does not allow this method", id="put-collection"),
        pytest.param("POST", f"{MAPS}/m", "{}", {}, 405, "does not allow this method", id="post-object"),
    ],
)
async def test_bad_input_gets_kubernetes_words(
    admin: aiohttp.ClientSession, method: str, path: str, body: str, headers: dict[str, str], code: int, words: str
) -> None:
    headers = {"Content-Type": "application/json", **headers} if body else headers
    found, status = await answer(admin.request(method, path, data=body or None, headers=headers))
    assert (found, status["kind"], status["status"]) == (code, "Status", "Failure")
    assert words in status["message"]


@pytest.mark.parametrize("stream", ["exec", "attach", "portforward"])
async def test_streams_that_are_not_there_are_absent(admin: aiohttp.ClientSession, stream: str) -> None:
    """Neither a pod that is made by accident nor the pod itself for an answer."""
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    for method in ("GET", "POST"):
        body = pod if method == "POST" else None
        code, _ = await answer(admin.request(method, f"/api/v1/namespaces/default/pods/p/{stream}", json=body))
        assert code == 404
    code, _ = await answer(admin.get("/api/v1/namespaces/default/pods/p"))
    assert code == 404


@pytest.mark.parametrize(
    "path", ["pods/p/exec", "pods/p/ephemeralcontainers", "serviceaccounts/default/token", "gizmos"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
async def test_what_is_absent_is_said_whatever_the_body(admin: aiohttp.ClientSession, method: str, path: str) -> None:
    """Clients send bodies that nobody here can read; kubectl debug looks into the details, so there must be some."""
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    request = admin.request(method, f"/api/v1/namespaces/default/{path}", data=b"k8s\0??", headers=headers)
    code, status = await answer(request)
    assert (code, status["message"]) == (404, "the server could not find the requested resource")
    assert status["details"] == {}


async def test_yaml_that_multiplies_itself_is_refused(admin: aiohttp.ClientSession) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    headers = {"Content-Type": "application/yaml"}
    code, status = await answer(admin.post(MAPS, data="\n".join(lines), headers=headers))
    assert (code, "excessive aliasing" in status["message"]) == (400, True)
    code, _ = await answer(admin.post(MAPS, data="data: &a {b: *a}", headers=headers))
    assert code == 400


@pytest.mark.parametrize("opening", ["- ", "["])
async def test_yaml_that_is_nested_without_end_is_refused(admin: aiohttp.ClientSession, opening: str) -> None:
    code, status = await answer(admin.post(MAPS, data=opening * 200_000, headers={"Content-Type": "application/yaml"}))
    assert (code, "nested more than" in status["message"]) == (400, True)


async def test_a_broken_store_is_not_ready_and_says_so(admin: aiohttp.ClientSession, running: World) -> None:
    await running.registry.storage.store.close()
    code, status = await answer(admin.get("/readyz"))
    assert (code, status["reason"]) == (503, "ServiceUnavailable")
    code, status = await answer(admin.post(MAPS, json=config_map("m")))
    assert (code, status["message"]) == (503, "the store is closed")


async def test_a_body_that_is_too_large_is_refused(admin: aiohttp.ClientSession) -> None:
    body = io.BytesIO(json.dumps(config_map("m", a="x" * limits.BODY_BYTES)).encode())
    code, status = await answer(admin.post(MAPS, data=body, headers={"Content-Type": "application/json"}))
    assert (code, status["reason"]) == (413, "RequestEntityTooLarge")


async def test_a_body_that_is_too_large_and_does_not_say_so_is_refused(admin: aiohttp.ClientSession) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2 + limits.BODY_BYTES // 65_536):
            yield b" " * 65_536

    code, _ = await answer(admin.post(MAPS, data=endless(), headers={"Content-Type": "application/json"}))
    assert code == 413


async def test_an_agent_sees_no_secret_but_those_of_its_pods(admin: aiohttp.ClientSession, running: World) -> None:
    for name in ("ours", "theirs"):
        secret = {"metadata": {"name": name}, "data": {"k": "dg=="}}
        assert (await answer(admin.post("/api/v1/namespaces/default/secrets", json=secret)))[0] == 201
    volume = {"name": "v", "secret": {"secretName": "ours"}}
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [volume]}
    assert (await answer(admin.post(PODS, json={"metadata": {"name": "p"}, "spec": spec})))[0] == 201
    target = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await answer(admin.post(f"{PODS}/p/binding", json=target)))[0] == 201
    async with running.session(running.node("n1")) as agent:
        assert (await answer(agent.get("/api/v1/namespaces/default/secrets/ours")))[0] == 200
        assert (await answer(agent.get("/api/v1/namespaces/default/secrets/theirs")))[0] == 403
        assert (await answer(agent.get("/api/v1/namespaces/default/secrets")))[0] == 403


async def test_metrics_count_requests(admin: aiohttp.ClientSession) -> None:
    await answer(admin.get(MAPS))
    async with admin.get("/metrics") as response:
        assert 'iacorch_requests_total{method="GET",code="200"}' in await response.text()
