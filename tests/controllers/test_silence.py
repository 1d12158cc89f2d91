"""Who is silent: a table over time, and what pauses may never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.controllers.node.silence import Patience, Silence, Verdict

FLEET = ("a", "b", "c")
PATIENCE = Patience(lost_seconds=9.0, suspect_seconds=5.0, silent_fraction=0.55, tick_seconds=0.5, pause_seconds=2.0)


class Listener:
    """Ticks every half second; everyone who is not `silent` is heard every two seconds."""

    def __init__(self, fleet: tuple[str, ...] = FLEET) -> None:
        self.silence, self.fleet, self.now = Silence(PATIENCE), fleet, 100.0
        self.verdicts: dict[str, Verdict] = {}
        self.pass_time(1.0)

    def pass_time(self, seconds: float, *, silent: str = "") -> None:
        for step in range(int(seconds * 2)):
            self.now += 0.5
            if step % 4 == 0:
                for node in set(self.fleet) - set(silent):
                    self.silence.heard(node)
            self.silence.tick(self.now)
            self.verdicts = self.silence.judge(self.fleet).verdicts

    def be_paused(self, seconds: float) -> None:
        self.now += seconds

    @property
    def lost(self) -> list[str]:
        return [node for node, verdict in self.verdicts.items() if verdict is Verdict.LOST]


def test_a_node_is_lost_after_the_patience_and_not_before() -> None:
    listener = Listener()
    listener.pass_time(8.0, silent="a")
    assert listener.lost == []
    listener.pass_time(3.0, silent="a")
    assert listener.lost == ["a"]


def test_a_node_that_is_heard_again_is_lost_no_more() -> None:
    listener = Listener()
    listener.pass_time(12.0, silent="a")
    listener.pass_time(2.0)
    assert listener.lost == []


@pytest.mark.parametrize("seconds", [2.5, 10.0, 30.0, 3600.0])
def test_a_pause_loses_nobody(seconds: float) -> None:
    listener = Listener()
    listener.pass_time(4.0, silent="a")
    listener.be_paused(seconds)
    listener.pass_time(8.0, silent="abc")
    assert listener.lost == []


def test_a_lost_node_stays_lost_over_a_pause() -> None:
    listener = Listener()
    listener.pass_time(12.0, silent="a")
    listener.be_paused(30.0)
    listener.pass_time(1.0, silent="a")
    assert listener.lost == ["a"]


@pytest.mark.parametrize(
    ("silent", "lost"),
    [
        pytest.param("a", ["a"], id="one-of-three"),
        pytest.param("ab", [], id="two-of-three-at-once"),
        pytest.param("abc", [], id="all"),
    ],
)
def test_too_many_at_once_are_held(silent: str, lost: list[str]) -> None:
    listener = Listener()
    listener.pass_time(20.0, silent=silent)
    assert listener.lost == lost
    if not lost:
        assert {listener.verdicts[node] for node in silent} == {Verdict.HELD}


def test_one_of_two_nodes_may_be_lost_and_the_only_one_may_not() -> None:
    pair, single = Listener(("a", "b")), Listener(("a",))
    pair.pass_time(20.0, silent="a")
    single.pass_time(20.0, silent="a")
    assert pair.lost == ["a"]
    assert single.verdicts == {"a": Verdict.HELD}


def test_a_node_lost_long_ago_does_not_hold_the_next_one() -> None:
    listener = Listener()
    listener.pass_time(30.0, silent="a")
    listener.pass_time(20.0, silent="ab")
    assert listener.lost == ["a", "b"]


def test_those_that_were_held_are_lost_once_the_others_are_heard_again() -> None:
    listener = Listener()
    listener.pass_time(20.0, silent="abc")
    listener.pass_time(5.0, silent="a")
    assert listener.lost == [], "its renewal may come a little later than the others'"
    listener.pass_time(4.0, silent="a")
    assert listener.lost == ["a"]


def test_nobody_is_lost_while_a_fleet_comes_back_one_by_one() -> None:
    listener = Listener()
    listener.pass_time(20.0, silent="abc")
    for silent in ("bc", "c", ""):
        listener.pass_time(2.0, silent=silent)
        assert listener.lost == []


def test_a_node_that_left_is_forgotten() -> None:
    listener = Listener()
    listener.pass_time(12.0, silent="a")
    listener.fleet = ("b", "c")
    listener.pass_time(1.0)
    listener.fleet = FLEET
    listener.pass_time(1.0, silent="a")
    assert listener.lost == []


@given(st.lists(st.tuples(st.floats(2.1, 30.0), st.floats(0.0, 8.0)), max_size=20))
def test_no_series_of_pauses_loses_a_node_that_renews_when_we_listen(pauses: list[tuple[float, float]]) -> None:
    listener = Listener()
    for paused, listening in pauses:
        listener.be_paused(paused)
        # The first renewal after a pause may come late: agents back off while nobody answers.
        listener.pass_time(min(listening, 6.0), silent="abc")
        assert listener.lost == []
        listener.pass_time(2.0)
        assert listener.lost == []


def test_a_node_that_was_lost_before_we_began_is_lost_until_it_is_heard() -> None:
    listener = Listener()
    listener.silence.remember_lost("d")
    listener.silence.appeared("d")
    listener.fleet = ("a", "b", "c", "d")
    listener.pass_time(1.0, silent="d")
    assert listener.lost == ["d"]
    listener.pass_time(1.0)
    assert listener.lost == []
