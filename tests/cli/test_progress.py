"""One line of progress, only where somebody looks."""

from __future__ import annotations

import io

import pytest

from timelab.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_is_silent_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.StringIO(), None):
        monkeypatch.setattr("sys.stderr", stream)
        progress = Progress()
        progress("run", 1, 2)
        progress.clear()
        assert stream is None or stream.getvalue() == ""


def test_it_rewrites_its_line_and_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    progress = Progress()
    progress("run", 0, 1_000)
    progress("run", 1, 1_000)
    progress("run", 1_000, 1_000)
    assert stream.getvalue() == "\r\x1b[Ktimelab: run 0/1000\r\x1b[Ktimelab: run 1000/1000"
    progress.clear()
    progress.clear()
    assert stream.getvalue().count("\r\x1b[K") == 3


def test_a_spec_s_name_does_not_drive_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    Progress()("\x1b[2Jx", 1, 1)
    assert "\x1b[2J" not in stream.getvalue()


def test_what_a_model_says_stands_behind_the_count_and_fits_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    progress = Progress()
    progress.name("specs/a.yaml")
    progress.stream("a long answer\n" * 9 + "\x1b[2J the end")
    progress.stream("too soon")
    shown = stream.getvalue().removeprefix("\r\x1b[K")
    assert shown.startswith("timelab: specs/a.yaml  ") and shown.endswith("the end") and len(shown) < 40
    assert "\x1b" not in shown
    Progress().stream("alone")
    assert stream.getvalue().endswith("timelab: alone")
