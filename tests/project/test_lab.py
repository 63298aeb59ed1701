"""`./lab` and the Justfile: how recipes hand on their arguments, and what they say when something is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = ["day", "ai", "mine", "summ", "check", "setup", "test", "lint", "fix", "docs", "docs-check", "bench", "ci"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Returns a checkout that is set up already, whose timelab tells what it was asked."""
    for name in ("lab", "Justfile", "uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("timelab", "python"):
        (programs / name).write_text(
            f'#!/bin/sh\n[ "$1" = -c ] && exit 0\nprintf "{name}"; printf " <%s>" "$@"; echo\n'
        )
        (programs / name).chmod(0o755)
    stamp = tmp_path / ".venv/.lab"
    stamp.mkdir()
    (stamp / "root").write_text(f"{tmp_path.resolve()}\n")
    for name in ("uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, stamp / name)
    return tmp_path


def run(*argv: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), **extra}
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ai", "spec=specs/a.yaml"], "timelab <ai> <specs/a.yaml>"),
        (["ai", "specs/a b.yaml", "--json"], "timelab <ai> <specs/a b.yaml> <--json>"),
        (["summ", "sha=abcd123"], "timelab <summ> <abcd123>"),
        (["summ", "abcd123"], "timelab <summ> <abcd123>"),
        (
            ["mine", "repo=owner", "name=repository", "limit=10"],
            "timelab <mine> <--owner> <owner> <--name> <repository> <--limit> <10>",
        ),
        (["mine", "source=../other", "--json"], "timelab <mine> <../other> <--json>"),
        (["check", "specs/a.yaml"], "timelab <check> <specs/a.yaml>"),
        (["day"], "timelab <day>"),
        (["demo", "--clean"], "timelab <demo> <--clean>"),
        (["bench", "--peers"], "python <-m> <bench> <--peers>"),
    ],
)
def test_a_recipe_hands_its_arguments_on(checkout: Path, words: list[str], told: str) -> None:
    """T1, X38, A134–A138: with and without the name of the argument, by ./lab and by just."""
    just = ROOT / ".venv/bin/just"
    for argv in (["./lab", *words], [str(just), *words]):
        done = run(*argv, cwd=checkout)
        assert (done.returncode, done.stdout.strip()) == (0, told), done.stderr


def test_just_lists_every_recipe(checkout: Path) -> None:
    """A97, P2: the menu is whole."""
    done = run(str(ROOT / ".venv/bin/just"), "--summary", cwd=checkout)
    assert set(RECIPES) <= set(done.stdout.split())


def test_lab_runs_from_anywhere(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    done = run(str(checkout / "lab"), "setup", cwd=tmp_path_factory.mktemp("elsewhere"))
    assert done.returncode == 0
    assert done.stderr == f"lab: ready: {checkout.resolve()}/.venv/bin/timelab\n"


def test_an_unknown_recipe_is_a_wrong_call(checkout: Path) -> None:
    """A223: 64, with the menu."""
    done = run("./lab", "frobnicate", cwd=checkout)
    assert done.returncode == 64
    assert "no recipe called 'frobnicate'" in done.stderr


@pytest.mark.parametrize("words", [["ai"], ["summ"]])
def test_a_missing_argument_is_a_wrong_call(checkout: Path, words: list[str]) -> None:
    done = run("./lab", *words, cwd=checkout)
    assert done.returncode == 64
    assert "hint: ./lab" in done.stderr


def test_a_missing_python_is_named_with_the_way_to_get_it(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    tools = checkout / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "cat", "cmp", "git"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    done = run("./lab", "setup", cwd=checkout, PATH=str(tools))
    assert done.returncode == 70
    assert "needs Python 3.11 or newer" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_a_missing_git_is_named_with_the_way_to_get_it(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    tools = checkout / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "cat", "cmp"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = run("./lab", "setup", cwd=checkout, PATH=str(tools))
    assert done.returncode == 70
    assert "needs git" in done.stderr


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        ("exit 1", "cannot list the shell scripts"),
        ("exit 0", "there is no shell script to check"),
        ("echo lab; echo bad.sh", "shellcheck <--severity=style> <bad.sh>"),
    ],
)
def test_lint_fails_where_no_script_was_checked(checkout: Path, lists: str, told: str) -> None:
    """Nothing checked is no success; a script that shellcheck refuses is none either."""
    programs = checkout / ".venv/bin"
    for name in ("ruff", "mypy", "python"):
        (programs / name).write_text(f'#!/bin/sh\n[ "$1" = -c ] && [ -n "$2" ] || exit 0\n{lists}\n')
        (programs / name).chmod(0o755)
    (programs / "shellcheck").write_text(
        '#!/bin/sh\nprintf shellcheck; printf " <%s>" "$@"; echo\ncase $2 in bad*) exit 1 ;; esac\n'
    )
    (programs / "shellcheck").chmod(0o755)
    done = run("./lab", "lint", cwd=checkout)
    assert done.returncode != 0
    assert told in done.stdout + done.stderr
    assert "schemas and docs" not in done.stderr


def test_every_shell_script_is_clean() -> None:
    """A144, A199, A237: shellcheck has nothing to say about any script that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    scripts = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                first = file.readline(80)
            if first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in (b"sh", b"bash", b"dash"):
                scripts.append(name)
    assert "lab" in scripts
    assert ".ci/run" in scripts
    done = subprocess.run(
        [ROOT / ".venv/bin/shellcheck", "--severity=style", *scripts],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
