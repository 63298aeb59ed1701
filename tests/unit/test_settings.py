"""Settings are fetched from the work tree, git's configuration and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Git
from timelab.errors import DataError
from timelab.git.repo import discover
from timelab.settings import git_variables, settings_at, settings_for


def test_the_work_trees_file_and_gits_variables_are_read(repo: Path, git: Git) -> None:
    (repo / "timelab.toml").write_text('spec_patterns = ["jobs/*.yaml"]\n')
    git("config", "timelab.wait", "yes", cwd=repo)
    settings = settings_for(discover(repo))
    assert (settings.spec_patterns, settings.wait) == (("jobs/*.yaml",), True)
    assert settings.origins["wait"] == "git config timelab.wait"


def test_a_bare_repository_is_asked_at_head(repo: Path, git: Git, tmp_path: Path) -> None:
    (repo / "pyproject.toml").write_text('[tool.timelab]\nspec_patterns = ["x/*.yaml"]\n')
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "settings", cwd=repo)
    git("clone", "-q", "--bare", str(repo), str(tmp_path / "bare.git"), cwd=tmp_path)
    settings = settings_for(discover(tmp_path / "bare.git"))
    assert (settings.spec_patterns, settings.origins["spec_patterns"]) == (("x/*.yaml",), "pyproject.toml")


def test_the_pins_of_a_commit_are_its_own() -> None:
    """A13, D4: neither the user's file nor a variable has a say."""
    files = {"timelab.toml": b'[profiles.default]\nuv = "pins/a"\n'}
    assert settings_at(files.get).pin_of("default", "uv") == "pins/a"
    assert settings_at(lambda path: None).profiles == {}
    with pytest.raises(DataError, match=r"timelab\.toml: /zzz"):
        settings_at({"timelab.toml": b"zzz = 1"}.get)


def test_a_link_is_not_followed(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("secret = [")
    (repo / "timelab.toml").symlink_to(tmp_path / "elsewhere")
    assert settings_for(discover(repo)).origins["profiles"] == "default"


def test_a_variable_without_a_value_is_true_and_the_last_counts(repo: Path, git: Git) -> None:
    git("config", "--add", "timelab.wait", "false", cwd=repo)
    with (repo / ".git/config").open("a") as stream:
        stream.write("[timelab]\n\twait\n")
    assert git_variables(discover(repo)) == {"timelab.wait": "true"}
