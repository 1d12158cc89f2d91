"""The node's whole network: pods' attachments, the tunnel to other nodes, Services, names.

In: a client, this node's name and address, a data directory. Out: `NodeNetwork`, the `PodNetwork` that the pod worker
uses, whose `run` keeps the kernel in step with the API. The agent's composition root makes it and runs it beside the
worker. Decisions are in `ipam`, `routes`, `services/plan` and `dns`; this module only moves their results.

Nothing here tears down on exit: links, routes and rules keep working without the agent, and a new one finds them right.
Until the informers have seen everything once, rules and routes in the kernel are left as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TypeVar

import structlog

from iacorch.agent.network import ipam, links, routes
from iacorch.agent.network.attachments import AttachmentFile
from iacorch.agent.network.contract import HostPort, NetworkNotReady, NetworkState, Transport
from iacorch.agent.network.dns.names import Names
from iacorch.agent.network.dns.server import DnsServer
from iacorch.agent.network.dns.snapshot import Snapshot
from iacorch.agent.network.dns.sockets import Sockets
from iacorch.agent.network.dns.upstream import NodeResolvers, Upstream
from iacorch.agent.network.echo import Echoes
from iacorch.agent.network.services import conntrack, nft
from iacorch.agent.network.services.plan import Endpoint, host_port_rules
from iacorch.agent.network.services.rules import INDEX, ServiceKey, ServiceRules, keys_of, service_of
from iacorch.agent.network.services.table import Table, admit_forwarding
from iacorch.agent.network.settings import Settings
from iacorch.api.catalogue import kind
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.client.informer import Informer
from iacorch.errors import NetworkFailed
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks, keep_running

T = TypeVar("T")
log = structlog.get_logger(__name__)


class NodeNetwork:
    """`PodNetwork` on this machine's kernel. Needs root; one per machine (or network namespace)."""

    def __init__(
        self,
        client: Client,
        *,
        node_name: str,
        node_address: IPv4Address,
        data_dir: Path,
        clock: Clock,
        ids: Ids,
        settings: Settings | None = None,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        sockets: Sockets | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._node_name, self._node_address, self._clock = node_name, node_address, clock
        self._nodes = Informer(client, kind("Node"), clock=clock)
        self._services = Informer(client, kind("Service"), clock=clock)
        self._slices = Informer(client, kind("EndpointSlice"), clock=clock)
        self._slices.add_index(INDEX, service_of)
        self._file = AttachmentFile(data_dir / "network" / "attachments.json")
        self._kept = self._file.read()
        self._table = Table()
        self._rules = ServiceRules(
            self._services, self._slices, node_name=node_name, cluster_network=self._settings.cluster_network
        )
        snapshot = Snapshot(data_dir / "network" / "names.json")
        self._names = Names(self._services, self._slices, snapshot, domain=self._settings.cluster_domain)
        resolvers = NodeResolvers(resolv_conf, ours=self._settings.dns_address)
        self._dns = DnsServer(self._names.zone, Upstream(resolvers, clock=clock, ids=ids), sockets)
        self._echoes = Echoes(lambda: self._peers, clock, changed=self._mark_silent)
        self._peers: frozenset[routes.Peer] = frozenset()
        self._dirty_services: set[ServiceKey] = set()
        self._links_made = asyncio.Event()
        self._wake = asyncio.Event()
        self._peers_changed = True
        self._seen_all = False
        self._links_made_for: IPv4Network | None = None
        self._verify_at = clock.monotonic()
        self._failure: str | None = None
        self._lock = asyncio.Lock()
        # One thread: netlink calls block for about a millisecond, and one that is inside a pod's network namespace must
        # not be shared.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")

    # What the pod worker calls

    async def attach(
        self, *, pod_uid: str, namespace: str, name: str, sandbox_pid: int, host_ports: Collection[HostPort] = ()
    ) -> str:
        async with self._lock:
            pod_range = self._kept.pod_range
            if pod_range is None:
                raise NetworkNotReady(f"pod {namespace}/{name} waits: {self.state().message}")
            leases = ipam.lease(self._kept.leases, pod_uid, pod_range, now=self._now())
            ports = tuple(sorted(host_ports))
            without = {uid: kept for uid, kept in self._kept.host_ports.items() if uid != pod_uid}
            self._keep(leases, {**without, pod_uid: ports} if ports else without)
            address = leases.held[pod_uid]
            await self._blocking(lambda: self._connect(pod_uid, sandbox_pid, address, pod_range))
            if ports:
                self._wake.set()
            return str(address)

    async def detach(self, pod_uid: str) -> None:
        async with self._lock:
            await self._detach(pod_uid)

    async def sync(self, pod_uids: Collection[str]) -> Mapping[str, str]:
        async with self._lock:
            found = {uid: link.address for uid, link in (await self._blocking(links.pod_links)).items()}
            leases = ipam.reconcile(self._kept.leases, found=found, keep=pod_uids, now=self._now())
            self._keep(leases, {uid: ports for uid, ports in self._kept.host_ports.items() if uid in pod_uids})
            for pod_uid in found.keys() - set(pod_uids):
                await self._detach(pod_uid)
            return {uid: str(address) for uid, address in found.items() if uid in pod_uids}

    def state(self) -> NetworkState:
        if self._kept.pod_range is None:
            return NetworkState(False, "NoPodRange", "this node has no pod range yet (spec.podCIDR)")
        if self._failure is not None:
            return NetworkState(False, "NetworkFailed", self._failure)
        if self._links_made_for != self._kept.pod_range:
            return NetworkState(False, "LinksNotReady", "the node's links are being made")
        return NetworkState(True, "PodNetworkReady", f"pods get addresses of {self._kept.pod_range}")

    # The loop

    async def run(self) -> None:
        """Keep links, routes and rules in step, for ever. Cancel to stop; the kernel keeps what it has."""
        self._nodes.on_change(self._mark_peers)
        self._services.on_change(lambda old, new: self._mark(keys_of(old, new, by_label=False)))
        self._slices.on_change(lambda old, new: self._mark(keys_of(old, new, by_label=True)))
        self._names.recall()
        async with Tasks("network") as tasks:
            works = (("names", self._serve_names), ("snapshot", self._keep_names), ("echoes", self._echoes.run))
            for name, work in works:
                tasks.spawn(keep_running(work, name=name, clock=self._clock), name=name)
            for informer in (self._nodes, self._services, self._slices):
                tasks.spawn(informer.run(), name=informer.kind.plural)
                tasks.spawn(self._wake_when_synced(informer), name="synced")
            await keep_running(self._keep_in_step, name="network", clock=self._clock)

    async def _keep_in_step(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._step()
                self._failure = None
                patience = limits.NETWORK_VERIFY_SECONDS
            except NetworkFailed as error:
                self._failure = error.message
                self._verify_at, self._peers_changed = self._clock.monotonic(), True
                patience = limits.NETWORK_RETRY_SECONDS
                log.warning("the node's network is not as wanted", error=error.message, hint=error.hint)
            try:
                async with asyncio.timeout(patience):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await self._clock.sleep(limits.NETWORK_COALESCE_SECONDS)

    async def _step(self) -> None:
        """Look at everything that changed, and now and then at everything."""
        self._take_pod_range()
        pod_range = self._kept.pod_range
        if pod_range is None:
            return
        verifying = self._clock.monotonic() >= self._verify_at
        if verifying or self._links_made_for != pod_range:
            node = links.NodeLinks(self._settings, self._node_address, pod_range)
            await self._blocking(lambda: links.ensure_node(node))
            await admit_forwarding()
            await self._table.verify()
            self._links_made_for = pod_range
            self._links_made.set()
            self._verify_at = self._clock.monotonic() + limits.NETWORK_VERIFY_SECONDS
        if self._nodes.synced.is_set() and (verifying or self._peers_changed):
            await self._follow_peers()
        await self._follow_services(pod_range)

    def _take_pod_range(self) -> None:
        node = self._nodes.get("", self._node_name)
        pod_range = routes.pod_range_of(node) if node is not None else None
        if pod_range is not None and pod_range != self._kept.pod_range:
            self._kept = replace(self._kept, pod_range=pod_range)
            self._file.write(self._kept)

    async def _follow_peers(self) -> None:
        self._peers_changed = False
        self._peers = routes.peers(
            self._nodes.items(),
            self._node_name,
            network=self._settings.cluster_network,
            prefix=self._settings.node_prefix,
        )
        wanted = routes.overlay(self._peers)
        change = routes.difference(await self._blocking(links.overlay_seen), wanted)
        if change:
            log.info("routes to other nodes", add=sorted(change.add.routes), remove=sorted(change.remove.routes))
            await self._blocking(lambda: links.apply_overlay(change))

    async def _follow_services(self, pod_range: IPv4Network) -> None:
        frame = nft.Frame(
            ipam.gateway(pod_range), pod_range, self._settings.cluster_network, self._settings.service_network
        )
        host_ports = nft.render_host_ports(self._host_ports())
        if not (self._services.synced.is_set() and self._slices.synced.is_set()):
            await self._table.ensure_present(frame, host_ports)
            return
        await self._plan_marked()
        await self._table.apply(frame, self._rules.elements(host_ports))
        if departures := self._rules.departures:
            addresses = frozenset({str(self._node_address), str(frame.gateway)})
            count = await self._blocking(lambda: conntrack.forget(departures, addresses))
            self._rules.departed()
            log.debug("connections let go of", count=count)

    async def _plan_marked(self) -> None:
        """In bites, because after a start every Service is marked and names must be answered meanwhile."""
        marked, self._dirty_services = list(self._dirty_services), set()
        for first in range(0, len(marked), limits.NETWORK_SERVICES_AT_ONCE):
            bite = marked[first : first + limits.NETWORK_SERVICES_AT_ONCE]
            self._rules.refresh(bite)
            self._names.refresh(bite)
            await self._clock.sleep(0)
        if not self._seen_all:
            self._names.complete()
            self._seen_all = True

    def _mark(self, keys: set[ServiceKey]) -> None:
        self._dirty_services |= keys
        self._wake.set()

    def _mark_peers(self, old: Object | None, new: Object | None) -> None:
        """Nodes report often and move seldom; only moves concern us."""
        if routes.place_of(old) != routes.place_of(new):
            self._peers_changed = True
            self._wake.set()

    def _mark_silent(self, nodes: frozenset[str]) -> None:
        self._mark(self._rules.silence(nodes))

    async def _wake_when_synced(self, informer: Informer) -> None:
        await informer.synced.wait()
        self._wake.set()

    async def _keep_names(self) -> None:
        await self._names.keep_on_disk(self._clock)

    async def _serve_names(self) -> None:
        await self._links_made.wait()
        assert self._kept.pod_range is not None
        await self._dns.run([str(self._settings.dns_address), str(ipam.gateway(self._kept.pod_range))])

    # Attachments

    def _connect(self, pod_uid: str, sandbox_pid: int, address: IPv4Address, pod_range: IPv4Network) -> None:
        if self._links_made_for != pod_range:
            links.ensure_node(links.NodeLinks(self._settings, self._node_address, pod_range))
        links.connect_pod(
            pod_uid=pod_uid,
            sandbox_pid=sandbox_pid,
            address=address,
            gateway=ipam.gateway(pod_range),
            mtu=links.pod_mtu(),
        )

    async def _detach(self, pod_uid: str) -> None:
        await self._blocking(lambda: links.disconnect_pod(pod_uid))
        without = {uid: ports for uid, ports in self._kept.host_ports.items() if uid != pod_uid}
        if without != self._kept.host_ports:
            self._wake.set()
        self._keep(ipam.give_back(self._kept.leases, pod_uid, now=self._now()), without)

    def _host_ports(self) -> dict[tuple[str, Transport, int], Endpoint]:
        held = self._kept.leases.held
        return host_port_rules(
            {uid: (str(held[uid]), ports) for uid, ports in self._kept.host_ports.items() if uid in held}
        )

    def _keep(self, leases: ipam.Leases, host_ports: Mapping[str, tuple[HostPort, ...]]) -> None:
        """On disk first: a promise that is forgotten would give one address to two pods."""
        kept = replace(self._kept, leases=leases, host_ports=host_ports)
        if kept != self._kept:
            self._file.write(kept)
            self._kept = kept

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
