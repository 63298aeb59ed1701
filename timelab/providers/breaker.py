"""The circuit breaker: a provider that keeps failing is left alone for a while, then tried by one caller (B54).

A pure state machine: values in, values out; the time is an argument. `providers/state.py` keeps it between processes.

    closed ──threshold failures in a row──▶ open ──pause──▶ half-open ──probe answers──▶ closed
                                             ▲                  │
                                             └──probe fails─────┘

Source: M. Nygard, "Release It!" (2018), chapter 5, "Circuit Breaker".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

State = Literal["closed", "open", "half-open"]
DEFAULT_THRESHOLD = 5
DEFAULT_PAUSE_S = 30.0


@dataclass(frozen=True)
class Policy:
    """Is when a breaker opens (failures in a row) and how long it stays so before one probe (seconds)."""

    threshold: int = DEFAULT_THRESHOLD
    pause_s: float = DEFAULT_PAUSE_S


@dataclass(frozen=True)
class Breaker:
    """Is what is known of one provider's failures.

    `opened_at_s` is None while it is closed. `prober` holds the one call that may be under way in a half-open breaker,
    until `probe_until_s` at most; `reason` is of the last failure.
    """

    failures: int = 0
    opened_at_s: float | None = None
    prober: str | None = None
    probe_until_s: float | None = None
    reason: str | None = None


CLOSED = Breaker()


def state_of(breaker: Breaker, now_s: float, policy: Policy) -> State:
    """Returns the state at a moment."""
    if breaker.opened_at_s is None:
        return "closed"
    # By the distance: a clock that was set back must not shut a provider out until it has caught up.
    return "open" if abs(now_s - breaker.opened_at_s) < policy.pause_s else "half-open"


def wait_s(breaker: Breaker, now_s: float, policy: Policy) -> float:
    """Returns how long the breaker stays open, 0 when it is not."""
    if state_of(breaker, now_s, policy) != "open" or breaker.opened_at_s is None:
        return 0.0
    return breaker.opened_at_s + policy.pause_s - now_s


def admit(
    breaker: Breaker,
    now_s: float,
    policy: Policy,
    *,
    caller: str,
    lease_s: float,
    is_alive: Callable[[str], bool] = lambda caller: True,
) -> Breaker | None:
    """Returns the breaker as it is once the caller may go ahead, or None when it may not.

    A half-open breaker lets one caller through: until that one ends, dies, or has held the probe for `lease_s`.
    """
    state = state_of(breaker, now_s, policy)
    if state == "closed":
        return breaker
    if state == "open" or _is_probed(breaker, now_s, caller, is_alive):
        return None
    return replace(breaker, prober=caller, probe_until_s=now_s + lease_s)


def _is_probed(breaker: Breaker, now_s: float, caller: str, is_alive: Callable[[str], bool]) -> bool:
    if breaker.prober is None or breaker.prober == caller or breaker.probe_until_s is None:
        return False
    return now_s < breaker.probe_until_s and is_alive(breaker.prober)


def succeeded(breaker: Breaker) -> Breaker:
    """Returns the breaker after an answer: closed, whoever got it."""
    return CLOSED


def failed(breaker: Breaker, now_s: float, policy: Policy, *, caller: str, reason: str) -> Breaker:
    """Returns the breaker after a failure: open from the threshold on, and again for a whole pause after a probe.

    A late failure of a call that began before it opened changes nothing: the pause is not drawn out by it.
    """
    failures = breaker.failures + 1
    if breaker.opened_at_s is not None and breaker.prober != caller:
        return replace(breaker, failures=failures)
    opened = now_s if breaker.opened_at_s is not None or failures >= policy.threshold else None
    return Breaker(failures=failures, opened_at_s=opened, reason=reason)


def released(breaker: Breaker, caller: str) -> Breaker:
    """Returns the breaker after a probe that said nothing of the provider: it was stopped, or the request was wrong."""
    return replace(breaker, prober=None, probe_until_s=None) if breaker.prober == caller else breaker
