"""The life of one claim: from a wish to a node, through repairs, to nothing.

In: the claim and what is `Seen` of it. Out: a `Step`: the status as it should be, at most one piece of long work to
start, what to write elsewhere, when to look again. Called by `claims`. Pure; the same step twice changes nothing.

| state       | told by                   | next                                                                      |
|-------------|---------------------------|---------------------------------------------------------------------------|
| new         | no Launched               | LAUNCH; refused or failed too often: Launched=False, `fleet` removes it   |
| launching   | Launched=Unknown          | wait                                                                      |
| launched    | Launched                  | the Node object appears: Registered, with the claim's labels and taints   |
| registered  | Registered                | the Node is Ready: Initialized, Ready                                     |
| late        | no node in LAUNCH_SECONDS | Launched=False (NeverJoined), `fleet` removes it                          |
| ready       | Ready                     | Drifted, Expired, Empty, Interrupted are told; `disruption` reads them    |
| wished for  | annotation `update`       | UPDATE, once, within the pool's budgets; Updated, status.build, answered  |
| unhealthy   | Initialized, not Ready    | a rung of `repair`; Replace: FENCE, then Fenced, then `fleet` removes it  |
| deleting    | deletionTimestamp         | DRAIN (while the node is Ready), DESTROY, the Node object, terminatedTime |

`fleet` takes the finalizer off a claim with a terminatedTime, together with settling what it cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import NODE
from iacorch.api.objects import Object
from iacorch.controllers.actions import Action, Delete, Patch, Say
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339
from iacorch.provision.decisions import repair
from iacorch.provision.decisions.repair import History, Power, Rung, Ward
from iacorch.provision.pools.claim import Claim
from iacorch.provision.pools.pool import Pool
from iacorch.provision.pools.words import OUT_OF_SERVICE, POOL_LABEL, Condition, Reason

_JOIN_BROKEN: Final = "NeverJoined"
_WAITING: Final = "Waiting"


class Work(StrEnum):
    """Long work on one machine. Each may be started again after a crash."""

    LAUNCH = "launch"
    DRAIN = "drain"
    DESTROY = "destroy"
    RESTART_AGENT = "restart the agent"
    BOOTSTRAP = "bootstrap"
    UPDATE = "update"
    REBOOT = "reboot"
    REIMAGE = "re-image"
    FENCE = "fence"


RUNG_WORK: Final[Mapping[Rung, Work]] = {
    Rung.RESTART_AGENT: Work.RESTART_AGENT,
    Rung.BOOTSTRAP: Work.BOOTSTRAP,
    Rung.REBOOT: Work.REBOOT,
    Rung.REIMAGE: Work.REIMAGE,
    Rung.REPLACE: Work.FENCE,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a piece of work ended. `refused`: no machine came of it, and asking again for the same will not help."""

    work: Work
    ok: bool
    reason: str = ""
    message: str = ""
    refused: bool = False
    machine_id: str = ""
    address: str = ""
    build: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a step looks at beside the claim. `pods`: how many would have to move."""

    node: Object | None = None
    pods: int = 0
    running: Work | None = None
    progress: str = ""
    outcome: Outcome | None = None
    power: Power = Power.UNKNOWN
    interruption: str = ""
    pool: Pool | None = None
    wanted_hash: str = ""
    ward: Ward = field(default_factory=Ward)


@dataclass(frozen=True, slots=True)
class Step:
    """`taken`: the outcome was read and need not be kept."""

    status: dict[str, Any]
    work: Work | None = None
    actions: tuple[Action, ...] = ()
    again_seconds: float | None = None
    taken: bool = False
    why: str = ""


def step(claim: Claim, seen: Seen, *, holder: str, now: datetime) -> Step:
    """The next step of a claim. `holder` is the provisioner that keeps its stack."""
    held_by = objects.status(claim.obj).get("heldBy")
    if held_by and held_by != holder:
        return Step(objects.status(claim.obj), why=f"held by the provisioner {held_by}")
    return _Stepper(claim, seen, holder, now).run()


class _Stepper:
    """One step. Conditions are set one after another on a copy of the status."""

    def __init__(self, claim: Claim, seen: Seen, holder: str, now: datetime) -> None:
        self._claim, self._seen, self._now = claim, seen, now
        self._status: dict[str, Any] = {**objects.status(claim.obj), "heldBy": holder}
        self._actions: list[Action] = []
        self._taken = seen.outcome is not None

    def run(self) -> Step:
        if self._claim.terminated is not None:
            return self._done(why="terminated")
        if self._claim.deleting:
            return self._deleting()
        if not self._is(Condition.LAUNCHED):
            return self._launching()
        if not self._is(Condition.INITIALIZED):
            return self._joining()
        return self._living()

    # New

    def _launching(self) -> Step:
        if self._condition(Condition.LAUNCHED).get("status") == "False":
            return self._done(why="refused")
        outcome = self._seen.outcome
        if outcome is not None and outcome.work is Work.LAUNCH:
            return self._launched(outcome) if outcome.ok else self._launch_failed(outcome)
        if self._seen.running is not None:
            self._set(Condition.LAUNCHED, "Unknown", "Launching", self._seen.progress or "the machine is being made")
            return self._done(again_seconds=limits.PROVISION_LOOK_SECONDS, why="launching")
        not_before = objects.moment(self._status.get("notBefore"))
        if not_before is not None and self._now < not_before:
            return self._done(again_seconds=(not_before - self._now).total_seconds(), why="back-off")
        self._set(Condition.LAUNCHED, "Unknown", "Launching", f"asking for {self._claim.offer}")
        return self._done(Work.LAUNCH, why="new")

    def _launched(self, outcome: Outcome) -> Step:
        self._status |= {
            "machineID": outcome.machine_id,
            "address": outcome.address,
            "nodeName": self._claim.node_name,
            "launchedTime": rfc3339(self._now),
            "build": outcome.build,
        }
        self._status = {name: value for name, value in self._status.items() if value != "" and name != "notBefore"}
        self._set(Condition.LAUNCHED, "True", "Launched", f"machine {outcome.machine_id}")
        self._say("Normal", "Launched", f"machine {outcome.machine_id}: {self._claim.offer}")
        return self._joining()

    def _launch_failed(self, outcome: Outcome) -> Step:
        attempts = int(self._status.get("attempts") or 0) + 1
        self._status["attempts"] = attempts
        words = outcome.message[: limits.MESSAGE_CHARACTERS]
        self._say("Warning", outcome.reason, words)
        if outcome.refused or attempts >= limits.LAUNCH_ATTEMPTS:
            reason = outcome.reason if outcome.refused else "LaunchFailed"
            self._set(Condition.LAUNCHED, "False", reason, words)
            return self._done(why="refused")
        pause = min(limits.LAUNCH_BACKOFF_START_SECONDS * 4 ** (attempts - 1), limits.LAUNCH_BACKOFF_MAX_SECONDS)
        self._status["notBefore"] = rfc3339(self._now + timedelta(seconds=pause + 1))
        self._set(Condition.LAUNCHED, "Unknown", outcome.reason or "LaunchFailed", words)
        return self._done(again_seconds=pause + 1, why="will be tried again")

    def _joining(self) -> Step:
        node = self._seen.node
        if node is None:
            self._set(Condition.REGISTERED, "Unknown", "NotJoined", "the node has not joined yet")
            return self._late("no node joined")
        self._set(Condition.REGISTERED, "True", "Registered", f"node {objects.name(node)}")
        self._actions += self._dressed(node)
        if not (objects.condition_is(node, "Ready") and objects.status(node).get("allocatable")):
            self._set(Condition.INITIALIZED, "Unknown", "NotReady", "the node has not been Ready yet")
            return self._late("its node was never Ready")
        self._set(Condition.INITIALIZED, "True", "Initialized", "")
        self._set(Condition.READY, "True", "Ready", "")
        self._say("Normal", "Ready", f"node {objects.name(node)} is Ready")
        return self._living()

    def _late(self, what: str) -> Step:
        if self._seen.power is Power.GONE:
            self._set(Condition.LAUNCHED, "False", _JOIN_BROKEN, "the machine was gone before its node was Ready")
            return self._done(why="gone")
        since = objects.moment(self._status.get("launchedTime")) or self._now
        left = limits.LAUNCH_SECONDS - (self._now - since).total_seconds()
        if left > 0:
            return self._done(again_seconds=left, why="joining")
        self._set(Condition.LAUNCHED, "False", _JOIN_BROKEN, f"{what} within {limits.LAUNCH_SECONDS:.0f} s")
        return self._done(why="late")

    def _dressed(self, node: Object) -> tuple[Action, ...]:
        """The claim's labels and taints on its node, once: from then on they are the user's to change."""
        wanted = {**self._claim.offer.node_labels, **self._claim.labels, POOL_LABEL: self._claim.pool}
        missing = {k: v for k, v in wanted.items() if objects.labels(node).get(k) != v}
        there = {(t.get("key"), t.get("effect")) for t in objects.spec(node).get("taints") or ()}
        taints = [dict(t) for t in self._claim.taints if (t.get("key"), t.get("effect")) not in there]
        if not missing and not taints:
            return ()
        patch: dict[str, Any] = {"metadata": {"resourceVersion": objects.resource_version(node)}}
        if missing:
            patch["metadata"]["labels"] = missing
        if taints:
            patch["spec"] = {"taints": [*(objects.spec(node).get("taints") or ()), *taints]}
        return (Patch(NODE, "", objects.name(node), objects.uid(node), patch),)

    # Alive

    def _living(self) -> Step:
        outcome = self._seen.outcome
        if outcome is not None and outcome.work is Work.REIMAGE and outcome.machine_id:
            self._status |= {"machineID": outcome.machine_id, "address": outcome.address}
        self._tell_age()
        self._tell_use()
        if self._seen.interruption:
            self._set(Condition.INTERRUPTED, "True", "Notice", self._seen.interruption)
        if (updating := self._updating()) is not None:
            return updating
        node = self._seen.node
        if node is not None and objects.condition_is(node, "Ready") and self._seen.power is not Power.GONE:
            return self._well()
        return self._unwell(node)

    def _updating(self) -> Step | None:
        """Another build or CA in place, once for each wish. None: there is nothing to do about it now."""
        claim, outcome = self._claim, self._seen.outcome
        if outcome is not None and outcome.ok and outcome.build:
            self._status["build"] = outcome.build  # also after a repair, which brings what the provisioner has
        if outcome is not None and outcome.work is Work.UPDATE:
            # The wish that it was begun for: another one may stand there by now.
            self._status["answered"] = self._status.get("wish", claim.wish)
            reason = "Updated" if outcome.ok else outcome.reason or "UpdateFailed"
            words = outcome.message[: limits.MESSAGE_CHARACTERS]
            self._set(Condition.UPDATED, "True" if outcome.ok else "False", reason, words)
            self._say("Normal" if outcome.ok else "Warning", reason, words)
            return None
        if not claim.wish or self._status.get("answered") == claim.wish:
            return None
        if self._seen.running is Work.UPDATE:
            self._status.setdefault("wish", claim.wish)
            self._set(Condition.UPDATED, "Unknown", "Updating", self._seen.progress or "bootstrap runs again")
            return self._done(again_seconds=limits.PROVISION_LOOK_SECONDS, why="updating")
        self._status["wish"] = claim.wish
        if self._seen.running is not None or self._is(Condition.REPAIRING):
            self._set(Condition.UPDATED, "Unknown", _WAITING, "the machine is being repaired")
            return None
        if (held_up := self._held_up()) is not None:
            self._set(Condition.UPDATED, "Unknown", _WAITING, held_up)
            return None
        self._set(Condition.UPDATED, "Unknown", "Updating", "bootstrap runs again")
        return self._done(Work.UPDATE, why="update")

    def _held_up(self) -> str | None:
        """The pool's budgets hold for machines that are changed in place as well: each may fail to come back."""
        pool, ward = self._seen.pool, self._seen.ward
        if pool is None:
            return None
        allowed = pool.allowed(Reason.DRIFTED, max(1, ward.total), now=self._now)
        sick = self._seen.node is None or not objects.condition_is(self._seen.node, "Ready")
        busy = ward.updating + ward.unhealthy - (1 if sick and ward.unhealthy else 0)
        if busy < allowed:
            return None
        return f"pool {pool.name} lets {allowed} of its machines be disrupted at once; {busy} others are"

    def _tell_age(self) -> None:
        claim, pool = self._claim, self._seen.pool
        expire = claim.expire_after_seconds
        if expire is not None:
            age = (self._now - claim.created).total_seconds()
            if age >= expire:
                self._set(Condition.EXPIRED, "True", "Expired", f"older than {objects.spec(claim.obj)['expireAfter']}")
        if pool is not None and self._seen.wanted_hash and claim.hash and claim.hash != self._seen.wanted_hash:
            self._set(
                Condition.DRIFTED,
                "True",
                "TemplateChanged",
                f"pool {pool.name} or its class asks for other machines now",
            )
        elif self._is(Condition.DRIFTED):
            self._set(Condition.DRIFTED, "False", "AsWanted", "")

    def _expires_in(self) -> float | None:
        """Seconds until its age alone changes what is told of it; in parts, as clocks are set and machines sleep."""
        expire = self._claim.expire_after_seconds
        if expire is None or self._is(Condition.EXPIRED):
            return None
        left = expire - (self._now - self._claim.created).total_seconds()
        return min(max(left, 1.0), limits.EXPIRY_LOOK_SECONDS)

    def _tell_use(self) -> None:
        if self._seen.pods:
            self._set(Condition.EMPTY, "False", "InUse", "")
        else:
            self._set(Condition.EMPTY, "True", "Empty", "nothing but daemons runs on it")

    def _well(self) -> Step:
        self._set(Condition.READY, "True", "Ready", "")
        history = repair.healthy(repair.history_of(self._status), now=self._now)
        self._remember(history)
        if self._is(Condition.REPAIRING):
            self._set(Condition.REPAIRING, "False", "Repaired", "")
            self._say("Normal", "Repaired", f"the node is Ready again after {', '.join(history.tried) or 'some time'}")
        waits = [limits.REPAIR_STABLE_SECONDS] if history.tried else []
        if (left := self._expires_in()) is not None:
            waits.append(left)
        if self._condition(Condition.UPDATED).get("reason") == _WAITING:
            waits.append(limits.PROVISION_LOOK_SECONDS)  # for the budgets, which nothing tells about
        return self._done(again_seconds=min(waits, default=None), why="ready")

    def _unwell(self, node: Object | None) -> Step:
        words = (
            "there is no Node object"
            if node is None
            else str((objects.condition(node, "Ready") or {}).get("message") or "")
        )
        self._set(Condition.READY, "False", "NodeNotReady", words)
        history = repair.unhealthy(repair.history_of(self._status), now=self._now)
        self._remember(history)
        outcome, pool = self._seen.outcome, self._seen.pool
        if self._seen.running is not None:
            return self._done(why=f"under way: {self._seen.running}")
        if self._condition(Condition.REPAIRING).get("reason") == Rung.REPLACE:
            return self._replacing(outcome)
        if pool is None:
            return self._done(why="its pool is gone")
        failed = outcome is not None and not outcome.ok and outcome.work is not Work.UPDATE
        if outcome is not None and failed:
            self._say("Warning", "RepairFailed", f"{outcome.work}: {outcome.message}"[: limits.MESSAGE_CHARACTERS])
        verdict = repair.decide(
            history, pool.repair, self._seen.ward, power=self._seen.power, failed=failed, now=self._now
        )
        if verdict.rung is None:
            if verdict.stopped:
                self._set(Condition.REPAIRING, "False", "Stopped", verdict.why)
            return self._done(again_seconds=verdict.again_seconds, why=verdict.why)
        self._remember(repair.climbed(history, verdict.rung, now=self._now))
        self._set(Condition.REPAIRING, "True", verdict.rung, verdict.why)
        self._say("Warning", "Repairing", f"{verdict.rung}: {verdict.why}")
        if verdict.rung is Rung.REPLACE and self._seen.power in (Power.GONE, Power.OFF):
            return self._fenced(f"the machine is {self._seen.power}")
        return self._done(RUNG_WORK[verdict.rung], why=verdict.why)

    def _replacing(self, outcome: Outcome | None) -> Step:
        if self._is(Condition.FENCED) or self._condition(Condition.FENCED):
            return self._done(why="waits to be removed")
        if self._seen.power in (Power.GONE, Power.OFF):
            return self._fenced(f"the machine is {self._seen.power}")
        if outcome is None:
            return self._done(Work.FENCE, why="fence it first")
        if outcome.ok:
            return self._fenced(outcome.message or "the machine was powered off")
        # Not to be had off: removing it is the fence then, and its Node object stays until that is done.
        self._set(
            Condition.FENCED, "False", outcome.reason or "FenceFailed", outcome.message[: limits.MESSAGE_CHARACTERS]
        )
        return self._done(why="cannot be fenced before it is removed")

    def _fenced(self, words: str) -> Step:
        self._set(Condition.FENCED, "True", "Off", words)
        self._say("Normal", "Fenced", words)
        node = self._seen.node
        if node is not None:
            taints = objects.spec(node).get("taints") or []
            if not any(taint.get("key") == OUT_OF_SERVICE for taint in taints):
                taint = {"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
                patch = {
                    "metadata": {"resourceVersion": objects.resource_version(node)},
                    "spec": {"taints": [*taints, taint]},
                }
                self._actions.append(Patch(NODE, "", objects.name(node), objects.uid(node), patch))
        return self._done(why="fenced")

    # Leaving

    def _deleting(self) -> Step:
        why = self._claim.disruption or "it was deleted"
        node, outcome, stage = self._seen.node, self._seen.outcome, self._condition(Condition.TERMINATING).get("reason")
        if self._seen.running is not None and stage not in ("Draining", "Destroying"):
            # Some other work is still under way: it is cut short by what follows.
            stage = None
        if stage == "Draining" and outcome is not None and outcome.work is Work.DRAIN:
            stage = "Drained"
        if stage is None and node is not None and objects.condition_is(node, "Ready"):
            self._set(Condition.TERMINATING, "True", "Draining", why)
            self._say("Normal", "Terminating", why)
            return self._done(Work.DRAIN, why="drain")
        if stage == "Draining":
            if self._seen.running is None:
                return self._done(Work.DRAIN, why="drain again")
            return self._done(why="draining")
        if stage == "Destroying" and outcome is not None and outcome.work is Work.DESTROY:
            if outcome.ok:
                return self._destroyed(node)
            self._say("Warning", "DestroyFailed", outcome.message[: limits.MESSAGE_CHARACTERS])
            attempts = int(self._status.get("attempts") or 0) + 1
            pause = min(limits.LAUNCH_BACKOFF_START_SECONDS * 2 ** min(attempts, 10), limits.LAUNCH_BACKOFF_MAX_SECONDS)
            self._status |= {"attempts": attempts, "notBefore": rfc3339(self._now + timedelta(seconds=pause))}
            return self._done(again_seconds=pause + 1, why="destroy again later")
        if stage == "Destroying" and self._seen.running is Work.DESTROY:
            return self._done(why="destroying")
        not_before = objects.moment(self._status.get("notBefore"))
        if stage == "Destroying" and not_before is not None and self._now < not_before:
            return self._done(again_seconds=(not_before - self._now).total_seconds() + 1, why="back-off")
        self._set(Condition.TERMINATING, "True", "Destroying", why)
        return self._done(Work.DESTROY, why="destroy")

    def _destroyed(self, node: Object | None) -> Step:
        """The machine is gone for certain: only now may its Node object go, and with it what holds its pods."""
        if node is not None:
            self._actions.append(Delete(NODE, "", objects.name(node), objects.uid(node)))
        self._status["terminatedTime"] = rfc3339(self._now)
        self._set(Condition.TERMINATING, "True", "Terminated", self._claim.disruption or "it was deleted")
        return self._done(why="destroyed")

    # Small moves

    def _done(self, work: Work | None = None, *, again_seconds: float | None = None, why: str = "") -> Step:
        return Step(self._status, work, tuple(self._actions), again_seconds, self._taken, why)

    def _is(self, condition: Condition) -> bool:
        return self._condition(condition).get("status") == "True"

    def _condition(self, condition: Condition) -> dict[str, Any]:
        for entry in self._status.get("conditions") or ():
            if entry.get("type") == condition:
                return dict(entry)
        return {}

    def _set(self, condition: Condition, status: str, reason: str, message: str) -> None:
        self._status["conditions"] = set_condition(
            self._status.get("conditions") or [], condition, status, reason, message, now=self._now
        )

    def _remember(self, history: History) -> None:
        spec = history.spec()
        self._status = {name: value for name, value in self._status.items() if name != "repair"}
        if spec:
            self._status["repair"] = spec

    def _say(self, type_: str, reason: str, message: str) -> None:
        self._actions.append(Say(self._claim.obj, type_, reason or "Failed", message))


def set_condition(
    entries: list[dict[str, Any]], type_: str, status: str, reason: str, message: str, *, now: datetime
) -> list[dict[str, Any]]:
    """meta.v1 conditions carry all their fields, empty ones too."""
    found = objects.set_condition(entries, type_, status, reason=reason, message=message, now=now)
    return [{"message": "", "reason": "", **entry} for entry in found]


__all__ = ["Outcome", "Seen", "Step", "Work", "set_condition", "step"]
