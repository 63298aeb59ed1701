from __future__ import annotations

from timelab.shell.task import Limits, Rejected


def test_a_rejected_name_is_shown_escaped() -> None:
    assert str(Rejected("name", "a\x1b[31m\udcff")) == r"name: 'a\x1b[31m\udcff'"


def test_every_limit_is_positive() -> None:
    assert all(value > 0 for value in vars(Limits()).values())
