"""Certificates that are withdrawn with their node, and a CA that is changed under way: a real server over TLS."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iacorch.agent import join
from iacorch.api.catalogue import NODE
from iacorch.client.config import Endpoint, read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.client.tunnel import CERTIFICATES_PATH
from iacorch.daemons import controlplane
from iacorch.errors import ApiError, Conflict, Forbidden, Unauthorized, Unavailable
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from iacorch.server.identity.pki import Pki
from iacorch.server.identity.signing import name_of

TOKEN = "a-token-for-tests-of-certificates"
CLOCK = SystemClock()


@dataclass
class Site:
    folder: Path
    url: str

    @property
    def admin(self) -> Endpoint:
        return read_kubeconfig(self.folder / "server" / "admin.kubeconfig")

    def joining(self, name: str) -> join.JoinSettings:
        (self.folder / "token").write_text(TOKEN)
        authority = self.folder / "server" / "ca.crt"
        return join.JoinSettings(self.url, authority, self.folder / "token", name, self.folder / name)

    async def ask(self, **wish: object) -> dict[str, object]:
        async with HttpClient(self.admin) as client:
            return await client.ask(CERTIFICATES_PATH, wish or None)

    async def issuers(self) -> dict[str, str]:
        found = await self.ask()
        rows = found["certificates"]
        assert isinstance(rows, list)
        return {row["name"]: row["issuer"] for row in rows}


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Site]:
    settings = controlplane.Settings(folder / "server", "127.0.0.1", 0, "", None, (), TOKEN, controllers=False)
    async with controlplane.running(settings) as url:
        yield Site(folder, url)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with serving(tmp_path) as made:
        yield made


async def names(endpoint: Endpoint) -> list[str]:
    async with HttpClient(endpoint) as client:
        return [node["metadata"]["name"] for node in (await client.list(NODE)).items]


async def test_the_certificate_of_a_removed_node_is_refused_also_on_open_connections(site: Site) -> None:
    first = (await join.identity(site.joining("n1"), CLOCK)).endpoint
    other = (await join.identity(site.joining("n2"), CLOCK)).endpoint
    async with HttpClient(first) as agent, HttpClient(site.admin) as admin:
        await agent.create(NODE, {"metadata": {"name": "n1"}})
        await admin.delete(NODE, "", "n1")
        for _ in range(2):  # the connection that was open is cut, and a new one is refused
            with contextlib.suppress(Unavailable):
                with pytest.raises(Unauthorized, match="was withdrawn"):
                    await agent.list(NODE)
                break
        with pytest.raises(Unauthorized, match="was withdrawn"):
            await agent.create(NODE, {"metadata": {"name": "n1"}})
    assert await names(other) == [], "other nodes go on"
    # An agent that lives asks again, with its token where the certificate is refused.
    again = await join.identity(site.joining("n1"), CLOCK, renew=True)
    assert await names(again.endpoint) == []


async def test_withdrawn_stays_withdrawn_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        old = (await join.identity(site.joining("n1"), CLOCK)).endpoint
        await site.ask(do="withdraw", node="n1")
        assert "n1" not in await site.issuers()
    async with serving(tmp_path) as site:
        with pytest.raises(Unauthorized, match="was withdrawn"):
            await names(Endpoint(site.url, old.ca, old.certificate, old.key))


async def test_a_renewal_keeps_the_one_before_and_a_new_machine_takes_the_name_over(site: Site) -> None:
    first = (await join.identity(site.joining("n1"), CLOCK)).endpoint
    second = (await join.identity(site.joining("n1"), CLOCK, renew=True)).endpoint
    assert await names(first) == await names(second) == []
    shutil.rmtree(site.folder / "n1")  # the machine was made anew
    third = (await join.identity(site.joining("n1"), CLOCK)).endpoint
    assert await names(third) == []
    for old in (first, second):
        with pytest.raises(Unauthorized):
            await names(old)


async def test_nodes_may_not_look_at_certificates(site: Site) -> None:
    endpoint = (await join.identity(site.joining("n1"), CLOCK)).endpoint
    async with HttpClient(endpoint) as client:
        for wish in (None, {"do": "begin"}):
            with pytest.raises(Forbidden):
                await client.ask(CERTIFICATES_PATH, wish)


async def test_the_servers_own_certificates_are_made_anew_while_it_serves(site: Site) -> None:
    before = site.admin
    await site.ask(do="renew")
    assert site.admin.certificate != before.certificate
    assert await names(before) == await names(site.admin) == []


async def test_the_ca_changes_and_nobody_is_shut_out_before_the_end(site: Site) -> None:
    person, node = site.admin, (await join.identity(site.joining("n1"), CLOCK)).endpoint
    old = name_of(person.ca)
    await site.ask(do="begin")
    current = name_of(site.admin.ca)
    assert current != old
    assert await site.issuers() == {"ca": current, "old-ca": old, "server": current, "admin": current, "n1": old}
    # Who has not heard goes on; who trusts only the new one can come as well.
    assert await names(person) == await names(node) == await names(site.admin) == []
    assert await names(Endpoint(site.url, node.ca, site.admin.certificate, site.admin.key)) == []
    with pytest.raises(Conflict, match="is being changed already"):
        await site.ask(do="begin")
    with pytest.raises(Conflict, match="still used by 1 nodes: n1"):
        await site.ask(do="end")
    # The node hears of it by its CA file: its certificate is good, and to be renewed at once.
    kept = await join.identity(site.joining("n1"), CLOCK)
    assert (kept.is_new, kept.renew_at < CLOCK.now()) == (False, True)
    renewed = await join.identity(site.joining("n1"), CLOCK, renew=True)
    assert (await site.issuers())["n1"] == current
    assert (await join.identity(site.joining("n1"), CLOCK)).renew_at > CLOCK.now()
    await site.ask(do="end")
    assert await names(renewed.endpoint) == await names(site.admin) == []
    with pytest.raises(ApiError):  # does not trust the server any more
        await names(person)
    with pytest.raises(Unavailable):  # and is not let in by TLS any more
        await names(Endpoint(site.url, site.admin.ca, person.certificate, person.key))
    kept = await join.identity(site.joining("n1"), CLOCK)
    assert not kept.is_new, "what it has is of the CA that is left"


async def test_a_changed_ca_is_the_one_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        person = site.admin
        await site.ask(do="begin")
    async with serving(tmp_path) as site:
        assert await names(Endpoint(site.url, person.ca, person.certificate, person.key)) == []
        await site.ask(do="end")
    async with serving(tmp_path) as site:
        assert list(await site.issuers()) == ["ca", "server", "admin"]
        with pytest.raises(ApiError):
            await names(Endpoint(site.url, site.admin.ca, person.certificate, person.key))


@pytest.mark.parametrize("done", range(5))
def test_a_change_of_the_ca_that_was_cut_off_has_not_begun_or_is_finished(tmp_path: Path, done: int) -> None:
    """The files as they are after the first `done` steps of a change."""
    before = Pki(tmp_path / "a", clock=CLOCK, ids=SystemIds())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    before.switch()
    changed, cut = tmp_path / "a", tmp_path / "b"
    steps = [("old.crt", "old.crt"), ("cross.crt", "cross.crt"), ("ca.key", "next.key"), ("ca.crt", "next.crt")]
    for source, goal in steps[:done]:
        shutil.copy(changed / source, cut / goal)
    found = Pki(cut, clock=CLOCK, ids=SystemIds())
    is_finished = done == len(steps)
    assert (found.ca == before.ca, bool(found.old)) == (is_finished, is_finished)
    if not is_finished:
        assert sorted(path.name for path in cut.iterdir()) == ["ca.crt", "ca.key"]
