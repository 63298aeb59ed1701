"""Values to text for people."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from timelab.cli import render


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Style O1: the word itself carries the meaning."""
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", Terminal())
    assert render.word("ok") == "\x1b[32mok\x1b[0m"
    assert render.word("whatever") in ("whatever", "whatever\x1b[0m")
    assert render.bold("x") != "x" != render.dim("x")
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert (render.word("ok"), render.bold("x"), render.dim("x")) == ("ok", "x", "x")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", io.StringIO())
        assert render.word("failed") == "failed"
        patch.setattr("sys.stdout", None)
        assert render.word("failed") == "failed"


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [("2026-11-20T10:23:45.123456Z", "10:23:45"), ("2026-11-19T10:23:45.123456Z", "2026-11-19 10:23")],
)
def test_a_time_of_today_is_a_clock_and_any_other_a_day(stamp: str, shown: str) -> None:
    assert render.when(stamp, datetime(2026, 11, 20, 23, 59, tzinfo=UTC)) == shown


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        ("10:00:00.000000", "0 ms"), ("10:00:00.340400", "340 ms"), ("10:00:01.000000", "1.0 s"),
        ("10:00:12.440000", "12.4 s"), ("10:03:05.900000", "3 min 05 s"), ("12:00:00.000000", "120 min 00 s"),
    ],
)  # fmt: skip
def test_durations_are_in_the_unit_that_fits(end: str, shown: str) -> None:
    assert render.duration("2026-11-20T10:00:00.000000Z", f"2026-11-20T{end}Z") == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 20, "3.0 MiB"), (5 << 40, "5120.0 GiB")]
)
def test_sizes_are_in_the_unit_that_fits(size: int, shown: str) -> None:
    assert render.size(size) == shown


def test_a_table_is_aligned_whatever_its_signs() -> None:
    lines = render.table([("größe", "x", "1"), ("日本", "yy", ""), ("e\u0301", "z", "long last")], ("A", "B", "C"))
    assert lines == ["A      B   C", "größe  x   1", "日本   yy", "e\u0301      z   long last"]
    assert render.table([]) == []


def test_numbers_ids_and_foreign_text() -> None:
    assert [render.many(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert (render.short("0123456789"), render.short(None), render.short("")) == ("01234567", "-", "-")
    assert render.plain("a\x1b[2J\n\u202eb") == "a\\x1b[2J\\n\\u202eb"


def test_views_are_json_to_the_depth(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Leaf:
        name: str

    @dataclass(frozen=True)
    class View:
        leaves: tuple[Leaf, ...]
        more: dict[str, Leaf]

    render.emit_json([View((Leaf("größe"),), {"a": Leaf("b")})])
    said = capsys.readouterr().out
    assert json.loads(said) == [{"leaves": [{"name": "größe"}], "more": {"a": {"name": "b"}}}]


@pytest.mark.parametrize("sign", ["\x9b31m", "\u202e", "\udcff", "ö"])
def test_json_is_ascii_whatever_it_says(capsys: pytest.CaptureFixture[str], sign: str) -> None:
    """No sign of a name drives a terminal, and a name that is no UTF-8 makes no output that is none."""
    render.emit_json({"name": sign})
    printed = capsys.readouterr().out
    assert printed.isascii() and json.loads(printed) == {"name": sign}


def test_a_path_is_exact_for_a_program_and_harmless_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert render.path("a\x1b[31m\u202e\udcff") == "a\x1b[31m\u202e\udcff"
    monkeypatch.setattr("sys.stdout", Terminal())
    assert render.path("a\x1b[31m\u202e") == "a\\x1b[31m\\u202e"
