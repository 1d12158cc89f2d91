"""ansible-runner's events as progress, failures and counts."""

from pathlib import Path
from typing import Any

from iacorch.infra.bootstrap.ansible.runner import (
    Collector,
    HostRun,
    Progress,
    environment,
    failure_words,
    hint_for,
    inventory,
)
from iacorch.infra.bootstrap.ssh import SshSession, SshTarget


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": data}


def collect(*events: dict[str, Any]) -> tuple[Collector, list[Progress]]:
    seen: list[Progress] = []
    collector = Collector(seen.append)
    for one in events:
        collector.event(one)
    return collector, seen


def test_progress_names_host_task_and_seconds() -> None:
    _, seen = collect(
        event("runner_on_start", host="a", task="Install"),
        event("runner_on_ok", host="a", task="Install", duration=1.25, res={"changed": True}),
        event("runner_on_ok", host="b", task="Install", duration=0.5, res={}),
    )
    assert seen == [
        Progress("a", "Install", "started"),
        Progress("a", "Install", "changed", 1.25),
        Progress("b", "Install", "ok", 0.5),
    ]
    assert str(seen[1]) == "a: Install: changed (1.2 s)"


def test_what_is_skipped_ends_too() -> None:
    _, seen = collect(event("runner_on_skipped", host="a", task="Bring the packages of the air-gapped bundle"))
    assert [progress.state for progress in seen] == ["skipped"]


def test_a_failure_names_its_host_and_what_to_do() -> None:
    collector, _ = collect(
        event("runner_on_failed", host="a", task="Install", res={"msg": "E: No space left on device"}),
        event("runner_on_unreachable", host="b", task="Install", res={"msg": "timed out"}),
        event("playbook_on_stats", changed={"c": 3}, failures={"a": 1}, dark={"b": 1}),
    )
    assert [(f.host, f.task) for f in collector.failures] == [("a", "Install"), ("b", "Install")]
    assert collector.failures[0].hint == "free space on the machine"
    assert collector.changed == {"c": 3}


def test_a_rescued_task_did_not_fail_its_host() -> None:
    collector, _ = collect(
        event("runner_on_failed", host="a", task="Start", res={"msg": "no"}),
        event("playbook_on_stats", changed={}, failures={}, dark={}),
    )
    assert collector.failures == []


def test_the_last_failure_of_a_host_speaks_for_it() -> None:
    collector, _ = collect(
        event("runner_on_failed", host="a", task="Start", res={"msg": "failed"}),
        event("runner_on_failed", host="a", task="Say why", res={"msg": "x does not start; its last words: boom"}),
        event("playbook_on_stats", changed={}, failures={"a": 1}, dark={}),
    )
    assert [f.task for f in collector.failures] == ["Say why"]


def test_what_a_failure_says_is_bounded_and_never_a_secret() -> None:
    assert len(failure_words({"msg": "x" * 9_000})) == 2_000
    assert failure_words({}) == "no reason was given"
    assert "hidden" in failure_words({"censored": "...", "msg": "token"})
    assert hint_for("something new") == ""


def test_the_inventory_groups_machines_by_role() -> None:
    session = SshSession(SshTarget("10.0.0.5", port=2222, user="admin"), Path("/d"))
    groups = inventory(
        [HostRun("cp", session, {"iacorch_unit": "iacorchd"}, group="control_plane"), HostRun("w", session, {})],
        Path("/job"),
    )["all"]["children"]
    assert set(groups) == {"control_plane", "nodes"}
    host = groups["control_plane"]["hosts"]["cp"]
    assert (host["ansible_host"], host["ansible_port"], host["iacorch_unit"]) == ("10.0.0.5", 2222, "iacorchd")
    assert host["iacorch_files"] == "/job/cp.json"
    assert "BatchMode=yes" in host["ansible_ssh_common_args"]


def test_what_root_runs_is_not_unpacked_where_others_may_be_first(tmp_path: Path) -> None:
    assert environment(tmp_path, forks=1)["ANSIBLE_REMOTE_TEMP"].startswith("~/")
