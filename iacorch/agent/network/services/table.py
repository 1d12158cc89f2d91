"""Our nftables table and our few iptables rules in the kernel: the edge.

In: a frame and elements (`nft.py`). Out: the kernel agrees, in one transaction that changes only what differs. Called
by `node.py`. What is in the kernel at the start is read first: a restarted agent that finds its rules right changes
nothing, and rules stay while no agent runs.

Docker sets the policy of iptables' FORWARD chain to drop. A drop in any table is final and an accept elsewhere does not
undo it, so our own nft table cannot help: the packets of pods must be accepted in that very chain, and those of
Services that lead through this node to another machine, whose connections our table marks. `admit_forwarding` keeps
five rules at its head, through the `iptables` command, so that they land where Docker's rules are, whichever backend
iptables uses. Docker never flushes that chain; whoever does is outlived by the next check.
"""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE

import orjson
import structlog

from iacorch.agent.network.services import nft
from iacorch.agent.network.settings import OUTSIDE_MARK, TABLE, TUNNEL_LINK
from iacorch.errors import NetworkFailed
from iacorch.kit import limits

log = structlog.get_logger(__name__)


class Table:
    """`table ip iacorch`; knows what it wrote last."""

    def __init__(self) -> None:
        self._frame: nft.Frame | None = None
        self._chains: frozenset[str] = frozenset()
        self._elements: nft.Elements = {}

    async def apply(self, frame: nft.Frame, elements: nft.Elements) -> bool:
        """Make the kernel agree; True when something had to change. Raises NetworkFailed."""
        if self._frame != frame:
            await self._learn(frame)
        if self._frame != frame:
            await self._replace(frame, elements)
            return True
        text = nft.amendment(self._elements, elements, chains=self._chains)
        if not text:
            return False
        try:
            await _run("nft", "-f", "-", stdin=text)
        except NetworkFailed as error:
            # Somebody changed our table. Its whole content is known, so put that.
            log.warning("replacing the table of Services after a refused change", error=error.message)
            self._frame = None
            await self._replace(frame, elements)
            return True
        self._remember(frame, elements)
        return True

    async def ensure_present(self, frame: nft.Frame, elements: nft.Elements) -> None:
        """Put the frame where there is no table at all; leave any table alone.

        For the time after a start in which the Services are not known yet: pods of a rebooted machine get out, and
        rules that route Services are not lost to our ignorance.
        """
        if self._frame is None and await self._listing("-t") is None:
            await self._replace(frame, elements)

    @property
    def elements(self) -> nft.Elements:
        """What was written or learnt last."""
        return self._elements

    async def verify(self) -> None:
        """Look whether our rules are as they were put; if not, the next `apply` puts all back. Cheap: no elements."""
        if self._frame is None:
            return
        found = await self._listing("-t")
        if found is None or not found.is_whole(self._frame) or not found.chains >= self._chains:
            log.warning("the table of Services was changed by somebody else", table=TABLE)
            self._frame = None

    async def _learn(self, frame: nft.Frame) -> None:
        found = await self._listing()
        if found is not None and found.is_whole(frame):
            self._frame, self._chains, self._elements = frame, found.chains, found.elements

    async def _listing(self, *options: str) -> nft.Found | None:
        try:
            output = await _run("nft", "-j", *options, "list", "table", "ip", TABLE)
            # In a thread: of 10,000 Services this is half a second, in which names must be answered.
            return await asyncio.to_thread(lambda: nft.parse(orjson.loads(output)))
        except (NetworkFailed, ValueError):
            return None

    async def _replace(self, frame: nft.Frame, elements: nft.Elements) -> None:
        await _run("nft", "-f", "-", stdin=nft.replacement(frame, elements))
        self._chains = frozenset()
        self._remember(frame, elements)

    def _remember(self, frame: nft.Frame, elements: nft.Elements) -> None:
        self._frame, self._elements = frame, dict(elements)
        self._chains |= nft.chains_of(elements)


async def admit_forwarding() -> None:
    """Accept pods' and the tunnel's packets in iptables' FORWARD chain. Without iptables there is nothing to admit."""
    if shutil.which("iptables") is None:
        return
    present = (await _run("iptables", "-w", "5", "-S", "FORWARD")).decode().splitlines()
    links = [(way, link) for link in (nft.link_pattern(), TUNNEL_LINK) for way in ("-i", "-o")]
    marked = ("-m", "connmark", "--mark", f"{OUTSIDE_MARK:#x}/{OUTSIDE_MARK:#x}")
    for match in (*links, marked):
        rule = ("FORWARD", *match, "-m", "comment", "--comment", TABLE, "-j", "ACCEPT")
        if f"-A {' '.join(rule)}" not in present:
            await _run("iptables", "-w", "5", "-I", *rule)


async def _run(*command: str, stdin: str = "") -> bytes:
    """Run a command to its end, bounded in time. Raises NetworkFailed with what it said."""
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    except OSError as error:
        raise NetworkFailed(f"cannot run {command[0]}: {error}", hint=f"install {command[0]} on this node") from error
    try:
        async with asyncio.timeout(limits.NETWORK_COMMAND_SECONDS):
            output, complaint = await process.communicate(stdin.encode())
    except TimeoutError as error:
        raise NetworkFailed(f"{command[0]} took longer than {limits.NETWORK_COMMAND_SECONDS:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = complaint.decode(errors="replace").strip()[:500]
        raise NetworkFailed(f"{' '.join(command)} failed: {said}")
    return output
