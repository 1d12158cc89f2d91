"""The life of one claim, step by step: the table at the top of `lifecycle`, row by row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.controllers.actions import Delete, Patch
from iacorch.infra.bootstrap.marks import UPDATE
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339
from iacorch.provision.decisions import lifecycle
from iacorch.provision.decisions.lifecycle import Outcome, Seen, Step, Work
from iacorch.provision.decisions.repair import Power, Ward
from iacorch.provision.pools.claim import claim_of
from tests.provision.build import NOW, claim_object, node, pool

GOING = rfc3339(NOW - timedelta(seconds=5))


def step(obj: Object, *, seconds: float = 0, holder: str = "me", **seen: Any) -> Step:
    return lifecycle.step(
        claim_of(obj), Seen(**{"pool": pool(), **seen}), holder=holder, now=NOW + timedelta(seconds=seconds)
    )


def states(taken: Step) -> dict[str, str]:
    return {c["type"]: f"{c['status']} {c['reason']}" for c in taken.status["conditions"]}


def after(obj: Object, taken: Step) -> Object:
    return {**obj, "status": taken.status}


def going(obj: Object) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": GOING}}


NEW = claim_object(ready=False)
LAUNCHED = claim_object(ready=False, conditions={"Launched": "True"}, launchedTime=rfc3339(NOW), machineID="i-1")
READY = claim_object(machineID="i-1")
WELL = node("burst-1", labels={"iacorch.dev/nodepool": "burst", "node.kubernetes.io/instance-type": "m"})
SICK = node("burst-1", ready=False)


def test_a_new_claim_is_launched_and_held() -> None:
    taken = step(NEW)
    assert taken.work is Work.LAUNCH
    assert states(taken) == {"Launched": "Unknown Launching"}
    assert taken.status["heldBy"] == "me"


def test_another_provisioners_claim_is_left_alone() -> None:
    held = after(NEW, step(NEW, holder="other"))
    assert step(held) == Step(held["status"], why="held by the provisioner other")


def test_what_is_being_launched_says_how_far_it_is() -> None:
    taken = step(NEW, running=Work.LAUNCH, progress="create burst-1")
    assert taken.work is None
    assert taken.status["conditions"][0]["message"] == "create burst-1"


def test_after_a_crash_in_the_middle_it_is_launched_again() -> None:
    assert step(after(NEW, step(NEW))).work is Work.LAUNCH


def test_a_launched_machine_is_on_record() -> None:
    taken = step(NEW, outcome=Outcome(Work.LAUNCH, ok=True, machine_id="i-1", address="10.0.0.1"))
    assert states(taken) == {"Launched": "True Launched", "Registered": "Unknown NotJoined"}
    assert (taken.status["machineID"], taken.status["address"]) == ("i-1", "10.0.0.1")


def test_a_refusal_ends_it_and_a_failure_is_tried_again_three_times() -> None:
    refusal = Outcome(Work.LAUNCH, ok=False, reason="InsufficientCapacity", message="none", refused=True)
    assert states(step(NEW, outcome=refusal)) == {"Launched": "False InsufficientCapacity"}
    failure = Outcome(Work.LAUNCH, ok=False, reason="CloudUnavailable", message="no answer")
    obj, seconds = NEW, 0.0
    for attempt in range(1, limits.LAUNCH_ATTEMPTS):
        taken = step(obj, seconds=seconds, outcome=failure)
        assert taken.status["attempts"] == attempt
        obj = after(obj, taken)
        assert step(obj, seconds=seconds).work is None
        assert taken.again_seconds is not None
        seconds += taken.again_seconds + 1
        assert step(obj, seconds=seconds).work is Work.LAUNCH
    assert states(step(obj, seconds=seconds, outcome=failure)) == {"Launched": "False LaunchFailed"}


def test_a_node_that_is_ready_makes_the_claim_ready() -> None:
    taken = step(LAUNCHED, node=node("burst-1"))
    assert states(taken) | {"Empty": ""} == {
        "Launched": "True ",
        "Registered": "True Registered",
        "Initialized": "True Initialized",
        "Ready": "True Ready",
        "Empty": "",
    }
    dressed = [a for a in taken.actions if isinstance(a, Patch)]
    assert dressed[0].patch["metadata"]["labels"]["iacorch.dev/nodepool"] == "burst"


@pytest.mark.parametrize(
    ("seen", "seconds", "launched"),
    [
        pytest.param({}, limits.LAUNCH_SECONDS - 1, "True ", id="patience"),
        pytest.param({}, limits.LAUNCH_SECONDS, "False NeverJoined", id="no node"),
        pytest.param({"node": SICK}, limits.LAUNCH_SECONDS, "False NeverJoined", id="never ready"),
        pytest.param({"power": Power.GONE}, 1, "False NeverJoined", id="gone before"),
    ],
)
def test_a_machine_that_never_joins_is_given_up(seen: dict[str, Any], seconds: float, launched: str) -> None:
    assert states(step(LAUNCHED, seconds=seconds, **seen))["Launched"] == launched


@pytest.mark.parametrize(
    ("seen", "seconds", "condition", "state"),
    [
        pytest.param({"pods": 0}, 0, "Empty", "True Empty", id="empty"),
        pytest.param({"pods": 1}, 0, "Empty", "False InUse", id="in use"),
        pytest.param({"wanted_hash": "other"}, 0, "Drifted", "True TemplateChanged", id="drifted"),
        pytest.param({"interruption": "spot at noon"}, 0, "Interrupted", "True Notice", id="interrupted"),
    ],
)
def test_what_disruption_reads_is_told(seen: dict[str, Any], seconds: float, condition: str, state: str) -> None:
    assert states(step(READY, seconds=seconds, node=WELL, **seen))[condition] == state


def test_an_old_machine_is_expired() -> None:
    old = {**READY, "spec": {**READY["spec"], "expireAfter": "1h"}}
    young = step(old, seconds=3500, node=WELL)
    assert "Expired" not in states(young)
    assert young.again_seconds == 100, "its age alone wakes it"
    expired = step(old, seconds=3600, node=WELL)
    assert states(expired)["Expired"] == "True Expired"
    assert (objects.condition(after(old, expired), "Expired") or {})["message"] == "older than 1h"


def test_an_unhealthy_machine_climbs_and_is_told_about() -> None:
    waiting = step(READY, node=SICK)
    assert states(waiting)["Ready"] == "False NodeNotReady"
    assert waiting.work is None
    climbing = step(after(READY, waiting), seconds=60, node=SICK)
    assert climbing.work is Work.RESTART_AGENT
    assert states(climbing)["Repairing"] == "True RestartAgent"
    mended = step(after(READY, climbing), seconds=70, node=WELL)
    assert states(mended)["Repairing"] == "False Repaired"


def test_replacing_fences_first_and_only_then_says_that_data_may_move() -> None:
    sick = claim_object(machineID="i-1", repair={
        "unhealthySince": rfc3339(NOW), "rung": "Reimage", "rungSince": rfc3339(NOW),
        "tried": ["RestartAgent", "Bootstrap", "Reboot", "Reimage"],
    })  # fmt: skip
    fencing = step(sick, seconds=901, node=SICK)
    assert (fencing.work, states(fencing)["Repairing"]) == (Work.FENCE, "True Replace")
    assert "Fenced" not in states(fencing)
    fenced = step(after(sick, fencing), seconds=905, node=SICK, outcome=Outcome(Work.FENCE, ok=True))
    assert states(fenced)["Fenced"] == "True Off"
    taint = next(a for a in fenced.actions if isinstance(a, Patch)).patch["spec"]["taints"][-1]
    assert (taint["key"], taint["effect"]) == ("node.kubernetes.io/out-of-service", "NoExecute")
    failed = step(
        after(sick, fencing), seconds=905, node=SICK, outcome=Outcome(Work.FENCE, ok=False, reason="CannotDo")
    )
    assert states(failed)["Fenced"] == "False CannotDo"
    assert not [a for a in failed.actions if isinstance(a, Patch)]


def test_when_too_much_fails_at_once_it_says_so_and_waits() -> None:
    sick = claim_object(machineID="i-1", repair={
        "unhealthySince": rfc3339(NOW), "rung": "Bootstrap", "rungSince": rfc3339(NOW),
        "tried": ["RestartAgent", "Bootstrap"],
    })  # fmt: skip
    taken = step(sick, seconds=301, node=SICK, ward=Ward(3, 2))
    assert taken.work is None
    assert states(taken)["Repairing"] == "False Stopped"


def test_leaving_drains_destroys_and_only_then_removes_the_node() -> None:
    leaving = going(READY)
    draining = step(leaving, node=WELL)
    assert draining.work is Work.DRAIN
    leaving = after(leaving, draining)
    assert step(leaving, node=WELL, running=Work.DRAIN).work is None
    destroying = step(leaving, node=WELL, outcome=Outcome(Work.DRAIN, ok=True))
    assert destroying.work is Work.DESTROY
    leaving = after(leaving, destroying)
    assert not step(leaving, node=WELL, running=Work.DESTROY).actions
    gone = step(leaving, node=WELL, outcome=Outcome(Work.DESTROY, ok=True))
    assert [action.name for action in gone.actions if isinstance(action, Delete)] == ["burst-1"]
    assert "terminatedTime" in gone.status
    assert step(after(leaving, gone)).work is None


@pytest.mark.parametrize(
    "obj", [pytest.param(going(NEW), id="never launched"), pytest.param(going(READY), id="node is lost")]
)
def test_what_cannot_be_drained_is_destroyed_at_once(obj: Object) -> None:
    assert step(obj, node=None if obj["status"].get("nodeName") is None else SICK).work is Work.DESTROY


def test_destroying_is_tried_again_for_ever_with_back_off() -> None:
    leaving = after(going(READY), step(going(READY)))
    taken = step(leaving, outcome=Outcome(Work.DESTROY, ok=False, reason="CloudUnavailable", message="no answer"))
    assert taken.work is None
    leaving = after(leaving, taken)
    assert step(leaving).work is None
    assert step(leaving, seconds=600).work is Work.DESTROY


@pytest.mark.parametrize("obj", [NEW, LAUNCHED, READY, going(NEW), going(READY)])
@pytest.mark.parametrize("seen", [{}, {"node": WELL}, {"node": SICK}, {"power": Power.GONE}])
def test_the_same_step_twice_changes_nothing_more(obj: Object, seen: dict[str, Any]) -> None:
    once = step(obj, **seen)
    running: dict[str, Any] = {"running": once.work} if once.work is not None else {}
    twice = step(after(obj, once), **seen, **running)
    assert objects.conditions({"status": twice.status}) == objects.conditions({"status": once.status}) or running


def wished(obj: Object, wish: str = "new/ca.1 noon") -> Object:
    return {**obj, "metadata": {**obj["metadata"], "annotations": {UPDATE: wish}}}


WISHED = wished(claim_object(machineID="i-1", build="old/ca.1"))
ALONE = Ward(1, 0)
DONE = Outcome(Work.UPDATE, ok=True, message="it runs new/ca.1", build="new/ca.1")


def test_a_wish_is_carried_out_once() -> None:
    begun = step(WISHED, node=WELL, ward=ALONE)
    assert (begun.work, states(begun)["Updated"]) == (Work.UPDATE, "Unknown Updating")
    under_way = step(after(WISHED, begun), node=SICK, running=Work.UPDATE, progress="node-1: Unpack the bundle")
    assert under_way.work is None, "its agent restarts: that is no reason to mend it"
    assert objects.condition(after(WISHED, under_way), "Updated") == {
        **(objects.condition(after(WISHED, begun), "Updated") or {}),
        "message": "node-1: Unpack the bundle",
    }
    assert step(after(WISHED, begun), node=WELL, ward=ALONE).work is Work.UPDATE, (
        "after a crash in the middle it begins again"
    )
    done = step(after(WISHED, under_way), node=WELL, ward=ALONE, outcome=DONE)
    assert (states(done)["Updated"], done.status["build"]) == ("True Updated", "new/ca.1")
    assert done.status["answered"] == "new/ca.1 noon"
    assert step(after(WISHED, done), node=WELL, ward=ALONE).work is None
    again = wished(after(WISHED, done), "newer/ca.1 one")
    assert step(again, node=WELL, ward=ALONE).work is Work.UPDATE


def test_the_wish_that_work_was_begun_for_is_answered_not_the_one_that_stands_by_now() -> None:
    begun = step(WISHED, node=WELL, ward=ALONE)
    assert begun.work is Work.UPDATE
    other = wished(after(WISHED, begun), "newer/ca.1 one")
    done = step(other, node=WELL, outcome=Outcome(Work.UPDATE, ok=True, message="it runs new", build="new/ca.1"))
    assert done.status["answered"] == "new/ca.1 noon"
    assert step(after(other, done), node=WELL, ward=ALONE).work is Work.UPDATE, "the other one is still to be done"


def test_a_wish_that_fails_is_answered_and_no_reason_to_climb_the_ladder() -> None:
    failed = Outcome(Work.UPDATE, ok=False, reason="ResourceFailed", message="build old runs again")
    answered = step(WISHED, node=WELL, outcome=failed)
    assert (states(answered)["Updated"], answered.status["build"]) == ("False ResourceFailed", "old/ca.1")
    assert step(after(WISHED, answered), node=WELL).work is None
    assert step(WISHED, node=SICK, outcome=failed).work is None, "patience first, as ever"


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        pytest.param({"ward": Ward(3, 0)}, "Unknown Updating", id="one of three"),
        pytest.param({"ward": Ward(3, 0, updating=1)}, "Unknown Waiting", id="another is being updated"),
        pytest.param({"ward": Ward(3, 1)}, "Unknown Waiting", id="another is not healthy"),
        pytest.param({"ward": Ward(3, 1), "node": SICK}, "Unknown Updating", id="it is the one that is not healthy"),
        pytest.param({"running": Work.BOOTSTRAP}, "Unknown Waiting", id="it is being repaired"),
        pytest.param({"pool": None}, "Unknown Updating", id="its pool is gone"),
    ],
)
def test_wishes_obey_the_budget_of_the_pool(seen: dict[str, Any], state: str) -> None:
    assert states(step(WISHED, **{"node": WELL, **seen}))["Updated"] == state


def test_a_pool_that_may_not_be_disrupted_is_not() -> None:
    shut = pool(disruption={"budgets": [{"machines": 0}]})
    taken = step(WISHED, node=WELL, pool=shut)
    assert (taken.work, states(taken)["Updated"]) == (None, "Unknown Waiting")


def test_a_new_machine_says_what_it_was_made_a_node_with() -> None:
    launched = Outcome(Work.LAUNCH, ok=True, machine_id="i-1", build="new/ca.1")
    assert step(NEW, outcome=launched).status["build"] == "new/ca.1"
