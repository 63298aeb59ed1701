"""`timelab config` shows every setting and its origin."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from jsonschema import Draft202012Validator

from tests.conftest import Git
from timelab.cli import cli
from timelab.schemas import schema


def test_each_setting_is_a_line_with_its_origin(repo: Path, git: Git) -> None:
    git("config", "timelab.wait", "true", cwd=repo)
    result = CliRunner().invoke(cli, ["-C", str(repo), "config"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "setting                    value    from",
        "spec_patterns              -        default",
        "profiles                   -        default",
        "sandbox                    enforce  default",
        "wait                       true     git config timelab.wait",
        "sync_prefix                -        default",
        "cascade_providers          -        default",
        "circuit_breaker_threshold  5        default",
        "circuit_breaker_pause_s    30       default",
    ]


def test_json_is_what_its_schema_says(repo: Path) -> None:
    result = CliRunner().invoke(cli, ["-C", str(repo), "config", "--json"])
    assert (result.exit_code, result.stderr) == (0, "")
    settings = json.loads(result.stdout)
    Draft202012Validator(schema("settings")).validate(settings)
    assert {"name": "wait", "value": False, "origin": "default"} in settings


def test_outside_of_a_repository_the_users_settings_are_shown(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["-C", str(tmp_path), "config"], env={"TIMELAB_WAIT": "1"})
    assert (result.exit_code, "TIMELAB_WAIT" in result.stdout) == (0, True)


def test_a_wrong_file_is_told(repo: Path) -> None:
    (repo / "timelab.toml").write_text("profils = 1\n")
    result = CliRunner().invoke(cli, ["-C", str(repo), "config"])
    assert (result.exit_code, result.stderr) == (
        65,
        "timelab: timelab.toml: /profils: unknown key\nhint: did you mean 'profiles'?\n",
    )
