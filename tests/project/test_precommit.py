"""The checks on ourselves: the hooks that the sources ask for are there, and bite."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import run_git

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Returns a repository with our hooks, our programs, and nothing else."""
    path = tmp_path / "checkout"
    path.mkdir()
    run_git("init", "-q", cwd=path)
    for name in (".pre-commit-config.yaml", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, path / name)
    # Without the findings of our own tests, whose line numbers are nothing to this test.
    scan = ["scan", "--disable-plugin", "HexHighEntropyString", "--disable-plugin", "Base64HighEntropyString"]
    baseline = subprocess.run([ROOT / ".venv/bin/detect-secrets", *scan], cwd=path, capture_output=True, check=True)
    (path / ".secrets.baseline").write_bytes(baseline.stdout)
    (path / ".venv").symlink_to(ROOT / ".venv")
    run_git("add", "-A", cwd=path)
    return path


def run_hook(hook: str, path: Path) -> subprocess.CompletedProcess[str]:
    run_git("add", "-A", cwd=path)
    return subprocess.run(
        [ROOT / ".venv/bin/pre-commit", "run", hook, "--all-files"],
        cwd=path,
        env={**os.environ, "PRE_COMMIT_HOME": str(path.parent / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_hook_that_was_asked_for_is_there() -> None:
    """A102, A196, A198–A201, X35: ruff, mypy, shellcheck, detect-secrets, trailing-whitespace; ruff formats (T011)."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    ids = {hook["id"] for repo in config["repos"] for hook in repo["hooks"]}
    assert ids >= {
        "ruff",
        "ruff-format",
        "mypy",
        "shellcheck",
        "detect-secrets",
        "trailing-whitespace",
        "timelab-check",
    }


@pytest.mark.parametrize(
    ("hook", "name", "text"),
    [
        ("ruff", "a.py", "import os\n"),
        ("ruff-format", "a.py", "x = {  'a':1}\n"),
        ("shellcheck", "a.sh", "#!/bin/sh\nrm -rf $1/x\n"),
        ("trailing-whitespace", "a.md", "words \n"),
        ("detect-secrets", "a.txt", "-----BEGIN RSA " + "PRIVATE KEY-----\n"),
    ],
)
def test_a_hook_bites(checkout: Path, hook: str, name: str, text: str) -> None:
    """A188, A235: what a hook is for does not pass."""
    clean = run_hook(hook, checkout)
    assert clean.returncode == 0, clean.stdout
    (checkout / name).write_text(text)
    assert run_hook(hook, checkout).returncode == 1


def test_secrets_are_ignored_by_git(checkout: Path) -> None:
    """A100, A110, A185, A187, X36: a secrets folder and every .env stay out."""
    for name in ("secrets/.env.lab", "secrets/key", ".env", ".env.lab", "sub/.env.production"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("x")
        assert run_git("check-ignore", name, cwd=checkout) == name
