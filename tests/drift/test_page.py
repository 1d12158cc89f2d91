"""What people read of drift: one difference, and a whole page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from iacorch.drift.decisions.assess import assess
from iacorch.drift.decisions.memory import Memory
from iacorch.drift.decisions.policy import Policies, always
from iacorch.drift.model import HIDDEN, Action, Field, Key, Layer, Observation, Verdict, unknown
from iacorch.drift.reports import diff, page
from iacorch.drift.reports.report import Done, Report

FILE = "\n".join(f"line {number}" for number in range(100))
SECRET = "apiVersion: v1\nkind: Secret\ndata:\n  a: {}\n  b: |\n    {}\nmetadata:\n  name: keys"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("644", "600", ["p: wanted 644, found 600"], id="short"),
        pytest.param(None, None, ["p: changed"], id="nothing is known of either side"),
        pytest.param(None, "x", ["p: found x, which nobody asked for"], id="added"),
        pytest.param("x", None, ["p: wanted x, found nothing"], id="gone"),
        pytest.param(HIDDEN, HIDDEN, ["p: changed, a secret"], id="hidden"),
        pytest.param(
            FILE,
            FILE.replace("line 80", "LINE 80"),
            ["p: differs (- wanted, + found)", "  @@ line 80 @@", "    line 79", "  - line 80", "  + LINE 80",
             "    line 81"],
            id="a line far down in a long file",
        ),
        pytest.param(
            "x" * 90 + "a" + "z" * 90,
            "x" * 90 + "b" + "z" * 90,
            ["p: differs (- wanted, + found)", "  - ..." + "x" * 18 + "a" + "z" * 31 + "...",
             "  + ..." + "x" * 18 + "b" + "z" * 31 + "..."],
            id="a letter in a long line",
        ),
        pytest.param(
            SECRET.format("eHg=", "cT==").replace("keys", "old"),
            SECRET.format("eXk=", "cX=="),
            ["p: differs (- wanted, + found)", "  @@ line 3 @@", "    data:", "  -   a: [secret]", "  +   a: [secret]",
             "      b: [secret]", "  -     [secret]", "  +     [secret]", "    metadata:", "  -   name: old",
             "  +   name: keys"],
            id="what a Secret holds",
        ),
        pytest.param(
            {"env": [{"name": "DB_PASSWORD", "value": "hunter2"}], "image": "a" * 40},
            {"env": [{"name": "DB_PASSWORD", "value": "hunter3"}], "image": "b" * 40},
            ["p: differs (- wanted, + found)", "  @@ line 2 @@", "    - name: DB_PASSWORD", "  -   value: [secret]",
             f"  - image: {'a' * 40}", "  +   value: [secret]", f"  + image: {'b' * 40}"],
            id="a document, with a secret in its environment",
        ),
        pytest.param("{" + " " * 60 + "token: a}", "{" + " " * 60 + "token: b}", ["p: changed, and holds secrets"],
                     id="a secret in a long line"),
        pytest.param(None, {"password": "hunter2"}, ["p: found {password: [secret]}, which nobody asked for"],
                     id="a secret on one line"),
        pytest.param({"password": "a"}, {"password": "b"},
                     ["p: differs (- wanted, + found)", "  @@ line 1 @@", "  - password: [secret]",
                      "  + password: [secret]"], id="a secret that changed"),
    ],
)  # fmt: skip
def test_a_difference(old: Any, new: Any, said: list[str]) -> None:
    found = list(diff.lines("p", old, new, width=60))
    assert found == said
    assert max(map(len, found)) <= 60


def test_a_long_path_has_a_line_of_its_own() -> None:
    path = "files[" + "x" * 50 + "]"
    assert list(diff.lines(path, "as unpacked", "changed", width=60)) == [
        f"{path}:", "  wanted as unpacked, found changed"
    ]  # fmt: skip


def test_a_plan_says_before_and_after() -> None:
    assert list(diff.lines("p", 1, 2, words=diff.PLANNED, note="replaces")) == ["p: 1 -> 2 (replaces)"]


def test_a_long_difference_is_bounded_unless_all_is_asked_for() -> None:
    other = FILE.replace("line", "row")
    short = list(diff.lines("p", FILE, other))
    assert len(short) < 20
    assert short[-1] == "  and 189 more lines; -o wide shows all"
    assert len(list(diff.lines("p", FILE, other, whole=True))) == 202


NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOCKER = "iacorch:local:ContainerMachine$docker:index/container:Container"
FOUND = (
    Observation(Key(Layer.MACHINE, "prod", DOCKER, "web"), Verdict.DRIFTED, (Field("image", "a", "b", replaces=True),)),
    Observation(Key(Layer.NODE, "n1", "File", "/etc/motd"), Verdict.DRIFTED, (Field("mode", "644", "600"),)),
    Observation(Key(Layer.NODE, "n1", "Service", "x"), Verdict.MISSING, reason="systemd does not know it"),
    Observation(Key(Layer.NODE, "n2", "File", "/a"), Verdict.IN_SYNC),
    unknown(Key(Layer.WORKLOAD, "default", "Pod", "p"), "its node is silent"),
)


def report(policies: Policies, *, corrected: bool = False) -> Report:
    made = Report(NOW, 1.0, tuple(Layer), assess(FOUND, policies, Memory(), NOW))
    if not corrected:
        return made
    file, service = (d.seen.id for d in made.shown if d.seen.key.layer is Layer.NODE)
    return replace(made, corrected={file: Done(file), service: Done(service, "no such unit")})


def test_a_page_without_policies_says_how_to_go_on() -> None:
    text = list(page.lines(report(Policies()), width=80))
    assert text == [
        "Machines of stack prod",
        "  ~ Container web: drifted",
        "      image: wanted a, found b (to be replaced)",
        "",
        "Node n1",
        "  ~ File /etc/motd: drifted",
        "      mode: wanted 644, found 600",
        "  - Service x: missing",
        "      systemd does not know it",
        "",
        "Workloads in namespace default",
        "  ? Pod p: unknown",
        "      its node is silent",
        "",
        "found 3 (2 drifted, 1 missing); 1 in sync, 1 unknown (1.0 s)",
        "no DriftPolicy covers 3 of them, so nothing sets them right by itself (docs/drift.md)",
        "next: iacorch drift --correct          sets right 3, after another look",
        "What could not be looked at may have drifted too; `-o wide` has the whole reasons.",
    ]


def test_after_corrections_it_tells_found_corrected_and_left() -> None:
    made = report(always(Action.CORRECT), corrected=True)
    text = list(page.lines(made))
    assert "      => corrected" in text
    assert "      => not corrected: no such unit" in text
    assert "found 3 (2 drifted, 1 missing), corrected 1, left 2; 1 in sync, 1 unknown (1.0 s)" in text
    waiting = next(d.seen.id for d in made.shown if d.seen.key.layer is Layer.MACHINE)
    assert f"next: iacorch drift approve {waiting} && iacorch drift --correct" in text
    assert (made.found, made.left, made.exit_code) == (3, 2, 2)


def test_nothing_found_is_one_line() -> None:
    made = Report(NOW, 0.5, tuple(Layer), assess(FOUND[3:4], Policies(), Memory(), NOW))
    assert list(page.lines(made)) == ["1 in sync (0.5 s)"]
