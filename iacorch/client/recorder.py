"""Events: what was decided and why, on the object that it is about.

In: `record(about, type, reason, message)`, synchronous, from anywhere. Out: core/v1 Events, written by `run`. The same
news about the same object becomes one Event with a count; many different news of one reason about one object (more
than `EVENT_SIMILAR`) become one Event that says so. Events are news, not state: when the queue is full the oldest is
dropped, and an Event that the API refuses is logged and forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass, replace

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import EVENT
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.errors import ApiError, Forbidden, NotFound
from iacorch.kit import limits
from iacorch.kit.clock import Clock, rfc3339

log = structlog.get_logger(__name__)

NORMAL = "Normal"
WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell about an object; `reference` is its ObjectReference."""

    uid: str
    reference: tuple[tuple[str, str], ...]
    type: str
    reason: str
    message: str
    is_combined: bool = False
    """Stands for many: its message is the newest of them."""


@dataclass(slots=True)
class _Similar:
    """Different messages of one reason about one object, since when."""

    since: float
    messages: set[str]


@dataclass(slots=True)
class _Series:
    """What is known about one Event that was written: how often, since when."""

    count: int
    first: str


class Recorder:
    """Give it to whoever decides; `run` writes. Use from one event loop."""

    def __init__(self, client: Client, *, component: str, host: str = "", clock: Clock) -> None:
        self._client, self._component, self._host, self._clock = client, component, host, clock
        self._queue: deque[News] = deque(maxlen=limits.EVENT_QUEUE)
        self._wake = asyncio.Event()
        self._series: OrderedDict[str, _Series] = OrderedDict()
        self._similar: OrderedDict[tuple[str, str], _Similar] = OrderedDict()
        self._writing = False

    def record(self, about: Object, type_: str, reason: str, message: str) -> None:
        """Tell `message` about an object. `type_` is Normal or Warning; `reason` is one CamelCase word."""
        reference = objects.reference(about)
        reference.pop("resourceVersion", None)
        self._queue.append(News(objects.uid(about), tuple(reference.items()), type_, reason, message))
        self._wake.set()

    @property
    def idle(self) -> bool:
        return not self._queue and not self._writing

    async def run(self) -> None:
        """Write what is recorded, for ever."""
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            self._writing = True
            try:
                await self._write(self._aggregated(self._queue.popleft()))
            except Forbidden as refused:
                # The namespace of a deleted object is going away, and takes no new Events.
                log.debug("event refused", error=refused.message)
            except ApiError as error:
                log.info("event not written", error=error.message)
            finally:
                self._writing = False

    def _aggregated(self, news: News) -> News:
        """The news itself, or the common one when this object had too many different ones for this reason."""
        key, now = (news.uid, news.reason), self._clock.monotonic()
        similar = self._similar.get(key)
        if similar is None or now - similar.since > limits.EVENT_SIMILAR_SECONDS:
            similar = self._similar[key] = _Similar(now, set())
        self._similar.move_to_end(key)
        if len(self._similar) > limits.EVENT_SERIES:
            self._similar.popitem(last=False)
        if news.message in similar.messages or len(similar.messages) < limits.EVENT_SIMILAR:
            similar.messages.add(news.message)
            return news
        return replace(news, message=f"(combined from similar events): {news.message}", is_combined=True)

    async def _write(self, news: News) -> None:
        reference = dict(news.reference)
        # Cluster-wide objects' Events live in "default", as in Kubernetes.
        namespace = reference.get("namespace") or "default"
        name = f"{reference.get('name', '')[:230]}.{_digest(news)}"
        now = rfc3339(self._clock.now())
        series = self._series.get(name)
        if series is not None:
            series.count += 1
            try:
                await self._client.patch(
                    EVENT,
                    namespace,
                    name,
                    {"count": series.count, "lastTimestamp": now, "message": news.message},
                )
            except NotFound:
                del self._series[name]  # it has expired: the news is news again
            else:
                self._series.move_to_end(name)
                return
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        count, first = await self._existing(namespace, name)
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": reference,
            "type": news.type,
            "reason": news.reason,
            "message": news.message,
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": first or now,
            "lastTimestamp": now,
            "count": count + 1,
        }
        if count:
            await self._client.patch(
                EVENT, namespace, name, {"count": count + 1, "lastTimestamp": now, "message": news.message}
            )
        else:
            await self._client.create(EVENT, event)
        self._series[name] = _Series(count + 1, first or now)
        if len(self._series) > limits.EVENT_SERIES:
            self._series.popitem(last=False)

    async def _existing(self, namespace: str, name: str) -> tuple[int, str]:
        """Count and first time of an Event that an earlier process wrote under this name."""
        try:
            event = await self._client.get(EVENT, namespace, name)
        except NotFound:
            return 0, ""
        return int(event.get("count") or 1), str(event.get("firstTimestamp") or "")


def _digest(news: News) -> str:
    """The same news has the same name, also after a restart."""
    text = "\0".join((news.uid, news.type, news.reason, "" if news.is_combined else news.message))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
