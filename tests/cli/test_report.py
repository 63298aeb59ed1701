"""The report of a bug: what a maintainer needs, and nothing that is nobody's business."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from timelab import __version__
from timelab.cli import cli, config
from timelab.cli.report import write_report

PLANTED = "AKIA" + "QYLPMN5HHHFPZAM2"


def test_a_report_has_the_trace_without_home_or_secrets() -> None:
    """A188."""
    try:
        raise KeyError(f"{Path.home()}/notes aws = {PLANTED} \udcff")
    except KeyError as error:
        path = write_report(error)
    text = path.read_text()
    path.unlink()
    assert text.startswith(f"timelab {__version__}\nPython 3.")
    assert "KeyError" in text and "~/notes" in text
    assert str(Path.home()) not in text and PLANTED not in text


def test_a_bug_is_one_line_and_70(monkeypatch: pytest.MonkeyPatch) -> None:
    """A225, E3."""

    def broken(**options: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(config.command, "callback", broken)
    done = CliRunner().invoke(cli, ["config"])
    assert done.exit_code == 70
    first, second = done.stderr.splitlines()
    assert first == "timelab: a bug in timelab: ZeroDivisionError"
    path = Path(second.removeprefix("hint: the report is in "))
    assert "ZeroDivisionError: oh" in path.read_text()
    path.unlink()
