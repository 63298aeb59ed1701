"""The breaker as a state machine: whatever happens in whatever order, its laws hold."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from timelab.providers.breaker import (
    CLOSED,
    Breaker,
    Policy,
    admit,
    failed,
    released,
    state_of,
    succeeded,
    wait_s,
)

POLICY = Policy(threshold=5, pause_s=30.0)


def after_failures(count: int, now_s: float = 100.0) -> Breaker:
    breaker = CLOSED
    for _ in range(count):
        breaker = failed(breaker, now_s, POLICY, caller="a", reason="refused")
    return breaker


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    """B54."""
    assert Policy() == POLICY
    assert state_of(after_failures(4), 100.0, POLICY) == "closed"
    assert state_of(after_failures(5), 100.0, POLICY) == "open"
    assert admit(after_failures(5), 100.0, POLICY, caller="b", lease_s=1) is None
    assert state_of(failed(succeeded(after_failures(4)), 100, POLICY, caller="a", reason=""), 100, POLICY) == "closed"


def test_after_the_pause_one_caller_at_a_time_may_try() -> None:
    """B54: the half-open probe."""
    breaker = after_failures(5)
    assert wait_s(breaker, 110.0, POLICY) == 20.0 and wait_s(CLOSED, 0.0, POLICY) == 0.0
    assert state_of(breaker, 130.0, POLICY) == "half-open"
    probed = admit(breaker, 130.0, POLICY, caller="a", lease_s=10)
    assert probed is not None and probed.prober == "a"
    assert admit(probed, 131.0, POLICY, caller="b", lease_s=10) is None
    assert succeeded(probed) == CLOSED
    again = failed(probed, 131.0, POLICY, caller="a", reason="still away")
    assert state_of(again, 132.0, POLICY) == "open" and again.reason == "still away" and again.prober is None


@pytest.mark.parametrize("how", ["ended", "died", "too long", "released"])
def test_a_probe_that_never_ends_makes_way(how: str) -> None:
    probed = admit(after_failures(5), 130.0, POLICY, caller="a", lease_s=10)
    assert probed is not None
    later = admit(
        released(probed, "a") if how == "released" else probed,
        141.0 if how == "too long" else 131.0,
        POLICY,
        caller="a" if how == "ended" else "b",
        lease_s=10,
        is_alive=lambda caller: how != "died",
    )
    assert later is not None
    assert released(probed, "somebody else") == probed


def test_a_late_failure_does_not_draw_the_pause_out() -> None:
    breaker = after_failures(5, now_s=100.0)
    late = failed(breaker, 125.0, POLICY, caller="late", reason="slow")
    assert late == replace(breaker, failures=6)


def test_a_clock_that_is_set_back_shuts_nobody_out() -> None:
    assert state_of(after_failures(5, now_s=1_000_000.0), 5.0, POLICY) == "half-open"


class Machine(RuleBasedStateMachine):
    """Callers come, answer, fail, die and give up; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CLOSED
        self.now_s = 1_000.0
        self.row = 0
        self.under_way: set[str] = set()
        self.dead: set[str] = set()
        self.probers: set[str] = set()
        self.names = 0

    @rule(step=st.sampled_from([0.0, 0.5, 29.9, 30.0, 100.0]))
    def time_passes(self, step: float) -> None:
        self.now_s += step

    @rule()
    def somebody_comes(self) -> None:
        self.names += 1
        caller = f"c{self.names}"
        before = state_of(self.breaker, self.now_s, POLICY)
        found = admit(
            self.breaker, self.now_s, POLICY, caller=caller, lease_s=1e9, is_alive=lambda c: c not in self.dead
        )
        if before == "closed":
            assert found == self.breaker
        if before == "open":
            assert found is None
        if before == "half-open":
            busy = self.breaker.prober is not None and self.breaker.prober not in self.dead
            assert (found is None) == busy
        if found is not None:
            self.breaker = found
            self.under_way.add(caller)
            if before == "half-open":
                self.probers.add(caller)

    @rule(data=st.data(), how=st.sampled_from(["answers", "fails", "gives up", "dies"]))
    def somebody_ends(self, data: st.DataObject, how: str) -> None:
        if not self.under_way:
            return
        caller = data.draw(st.sampled_from(sorted(self.under_way)))
        self.under_way.discard(caller)
        if how == "answers":
            self.breaker, self.row = succeeded(self.breaker), 0
            assert self.breaker == CLOSED
        elif how == "fails":
            self.row += 1
            self.breaker = failed(self.breaker, self.now_s, POLICY, caller=caller, reason="x")
        elif how == "gives up":
            self.breaker = released(self.breaker, caller)
        else:
            self.dead.add(caller)

    @invariant()
    def it_is_open_exactly_after_enough_failures_in_a_row(self) -> None:
        assert (self.breaker.opened_at_s is not None) == (self.row >= POLICY.threshold)
        assert self.breaker.failures == self.row

    @invariant()
    def nobody_is_shut_out_for_ever(self) -> None:
        found = admit(
            self.breaker, self.now_s + POLICY.pause_s + 1e10, POLICY, caller="new", lease_s=1, is_alive=lambda c: True
        )
        assert found is not None

    @invariant()
    def one_probe_at_a_time(self) -> None:
        assert self.breaker.prober is None or self.breaker.opened_at_s is not None


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
