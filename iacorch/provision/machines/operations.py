"""Long work on machines: started by a step, seen by a later one; bounded, journalled, one at a time for each claim.

In: orders and what to do (`lifecycle.Work`). Out: what is under way, and how it ended, until somebody has taken it over
into the claim's status. Nothing here decides; errors become `Outcome`s. A crash loses what is under way and nothing
else: the next step starts it again, and everything that a `Machines` does may be asked for twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from iacorch.client.contract import Client
from iacorch.errors import EngineError, IacorchError
from iacorch.infra.machines.errors import (
    CannotDo,
    InsufficientCapacity,
    Interrupted,
    InvalidSpec,
    MissingCredentials,
    NeverBooted,
    NotPermitted,
    QuotaExceeded,
)
from iacorch.infra.provider.resources import cluster
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.tasks import Tasks
from iacorch.provision.decisions.lifecycle import Outcome, Work
from iacorch.provision.machines.contract import Machines, Made, Order
from iacorch.provision.machines.journal import Journal

log = structlog.get_logger(__name__)
_REFUSALS = (InsufficientCapacity, QuotaExceeded, InvalidSpec, NotPermitted, MissingCredentials, CannotDo)
_SPENT = (NeverBooted, Interrupted)
"""A machine was made and is of no use: asking again under the claim's token would only find it again."""
_NAMED = re.compile(r"\b([A-Z][A-Za-z]+): ")
"""As the provider begins what it says of a machine's error."""
_SECONDS = {Work.DRAIN: 2 * limits.CLAIM_DRAIN_SECONDS}


@dataclass(slots=True)
class _Run:
    work: Work
    task: asyncio.Task[None]
    progress: str = ""


@dataclass(slots=True)
class Operations:
    """Use inside `running`. `done` is called with the UID of each order whose work has ended."""

    machines: Machines
    client: Client
    journal: Journal
    clock: Clock
    done: Callable[[str], None]
    tasks: Tasks
    parallel: int = limits.PROVISION_OPERATIONS
    _runs: dict[str, _Run] = field(default_factory=dict)
    _outcomes: dict[str, Outcome] = field(default_factory=dict)
    _places: asyncio.Semaphore | None = None

    def start(self, order: Order, work: Work) -> None:
        """Begin, unless it is under way. Other work on the same claim is cut off first."""
        run = self._runs.get(order.uid)
        if run is not None and run.work is work:
            return
        self._outcomes.pop(order.uid, None)
        if work is not Work.DRAIN:
            self.journal.put(order)
        before = run.task if run is not None else None
        if before is not None:
            before.cancel()
        task = self.tasks.spawn(self._run(order, work, before), name=f"{work} {order.name}")
        self._runs[order.uid] = _Run(work, task)

    def running(self, uid: str) -> tuple[Work | None, str]:
        run = self._runs.get(uid)
        return (None, "") if run is None else (run.work, run.progress)

    def outcome(self, uid: str) -> Outcome | None:
        return self._outcomes.get(uid)

    def taken(self, uid: str) -> None:
        """The outcome is in the claim's status."""
        self._outcomes.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The claim is gone."""
        self._outcomes.pop(uid, None)

    @property
    def idle(self) -> bool:
        return not self._runs

    async def _run(self, order: Order, work: Work, before: asyncio.Task[None] | None) -> None:
        me = asyncio.current_task()
        if before is not None:
            await asyncio.wait([before])
        if self._places is None:
            self._places = asyncio.Semaphore(self.parallel)
        async with self._places:
            outcome = await self._outcome(order, work)
        run = self._runs.get(order.uid)
        if run is not None and run.task is me:
            del self._runs[order.uid]
            self._outcomes[order.uid] = outcome
            self.done(order.uid)

    async def _outcome(self, order: Order, work: Work) -> Outcome:
        try:
            async with asyncio.timeout(_SECONDS.get(work, limits.LAUNCH_SECONDS)):
                return await self._do(order, work)
        except TimeoutError:
            # A launch has had all the time that a machine may take until its node is Ready.
            return Outcome(
                work, ok=False, reason="TimedOut", message=f"{work} took too long", refused=work is Work.LAUNCH
            )
        except IacorchError as error:
            log.info("not done", work=str(work), claim=order.name, error=error.message)
            words = f"{error.message}; {error.hint}" if error.hint else error.message
            reason = refusal_in(error)
            return Outcome(work, ok=False, reason=reason or type(error).__name__, message=words, refused=bool(reason))

    async def _do(self, order: Order, work: Work) -> Outcome:
        def say(words: str) -> None:
            if (run := self._runs.get(order.uid)) is not None:
                run.progress = words

        match work:
            case Work.LAUNCH:
                made = await self.machines.launch(order, say)
                return Outcome(work, ok=True, machine_id=made.machine_id, address=made.address, build=made.build)
            case Work.DRAIN:
                await cluster.drain(
                    self.client, order.node_name, self.clock, say, timeout_seconds=limits.CLAIM_DRAIN_SECONDS
                )
                return Outcome(work, ok=True)
            case Work.DESTROY:
                await self.machines.destroy(order, say)
                self.journal.remove(order.uid)
                return Outcome(work, ok=True)
            case _:
                mended = await self.machines.mend(order, work, say)
                made = mended.made or Made("")
                return Outcome(
                    work,
                    ok=True,
                    message=mended.words,
                    machine_id=made.machine_id,
                    address=made.address,
                    build=made.build,
                )


def refusal_in(error: IacorchError) -> str:
    """The name of what makes asking again useless, which the error is, or (from a stack, which has only words) names;
    "" for other errors."""
    final = (*_REFUSALS, *_SPENT)
    if isinstance(error, final):
        return type(error).__name__
    if isinstance(error, EngineError):
        named = _NAMED.findall(error.message)
        return next((name for name in named if name in _names(final)), "")
    return ""


def _names(kinds: Iterable[type[IacorchError]]) -> set[str]:
    """Of these errors and of all that are special cases of them."""
    return {name for kind in kinds for name in (kind.__name__, *_names(kind.__subclasses__()))}
