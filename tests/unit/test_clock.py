"""Times are UTC with six digits, and tests can fix time and chance."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from timelab.clock import (
    TIMESTAMP_PATTERN,
    FixedClock,
    FixedRandomness,
    SystemClock,
    SystemRandomness,
    parse_timestamp,
    timestamp,
)

INSTANT = datetime(2026, 11, 20, 10, 23, 0, 120, tzinfo=UTC)


def test_a_timestamp_is_utc_with_six_digits_and_z() -> None:
    """A28, A54, T13: also for a time without a fraction, and one told in another zone."""
    assert timestamp(INSTANT) == "2026-11-20T10:23:00.000120Z"
    assert timestamp(INSTANT.replace(microsecond=0)) == "2026-11-20T10:23:00.000000Z"
    assert timestamp(INSTANT.astimezone(timezone(timedelta(hours=5)))) == "2026-11-20T10:23:00.000120Z"
    assert re.fullmatch(TIMESTAMP_PATTERN, timestamp(SystemClock().now()))


def test_a_timestamp_comes_back() -> None:
    assert parse_timestamp(timestamp(INSTANT)) == INSTANT
    with pytest.raises(ValueError, match="not a timestamp of ours"):
        parse_timestamp("2026-11-20T10:23:00Z")


def test_the_fixed_clock_moves_by_its_step() -> None:
    clock = FixedClock(INSTANT, timedelta(seconds=2))
    assert [clock.now(), clock.now()] == [INSTANT, INSTANT + timedelta(seconds=2)]
    assert clock.monotonic_s() == 4.0


def test_chance_is_of_the_promised_size() -> None:
    assert 0 <= SystemRandomness().seed() < 2**31
    assert re.fullmatch("[0-9a-f]{32}", SystemRandomness().token(16))
    assert SystemRandomness().token(16) != SystemRandomness().token(16)
    fixed = FixedRandomness()
    assert [fixed.seed(), fixed.token(2)] == [1, "0002"]
    assert SystemClock().monotonic_s() <= SystemClock().monotonic_s()
