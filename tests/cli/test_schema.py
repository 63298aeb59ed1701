"""`timelab schema`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from timelab.cli import cli
from timelab.schemas import DOCUMENTS


def test_names_are_listed_and_one_is_printed() -> None:
    runner = CliRunner()
    assert runner.invoke(cli, ["schema"]).stdout.split() == list(DOCUMENTS)
    printed = runner.invoke(cli, ["schema", "spec"]).stdout
    assert json.loads(printed)["title"] == "Spec"
    assert runner.invoke(cli, ["schema", "spec.schema.json"]).stdout == printed
    assert runner.invoke(cli, ["schema", "spce"]).exit_code == 64


def test_a_folder_is_written_and_compared(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(cli, ["schema", "--check", str(tmp_path)]).exit_code == 65
    assert runner.invoke(cli, ["schema", "--write", str(tmp_path)]).exit_code == 0
    assert runner.invoke(cli, ["schema", "--check", str(tmp_path)]).exit_code == 0
    (tmp_path / "spec.schema.json").write_text("{}")
    stale = runner.invoke(cli, ["schema", "--check", str(tmp_path)])
    assert (stale.exit_code, stale.stdout) == (65, "spec.schema.json\n")
    assert runner.invoke(cli, ["schema", "spec", "--check", str(tmp_path)]).exit_code == 64
