"""Two texts side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timelab.cli.columns import rule, side_by_side, terminal_width, text_width


def test_words_stand_in_their_columns() -> None:
    assert side_by_side("one two", "one three\nfour", 23) == ["one two    │ one three", "           │ four"]
    assert side_by_side(None, "x", 13) == ["(none) │ x"] or side_by_side(None, "x", 13)[0].endswith("│ x")
    assert side_by_side("x", None, 23) == ["x          │ (none)"]


def test_nothing_foreign_reaches_the_terminal() -> None:
    assert "\x1b" not in "".join(side_by_side("\x1b[31mred", "\x07", 40))


@given(st.text(max_size=80), st.text(max_size=80), st.integers(min_value=40, max_value=100))
def test_no_line_is_wider_than_asked(before: str, after: str, width: int) -> None:
    assert all(text_width(line) <= width for line in side_by_side(before, after, width))


def test_without_a_terminal_there_are_eighty_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal_width() == 80
    monkeypatch.setattr("sys.stdout", None)
    assert terminal_width() == 80


def test_a_rule_reaches_the_edge() -> None:
    assert text_width(rule("日本", 30)) == 30
    assert rule("x" * 50, 30).startswith("── " + "x" * 50)
