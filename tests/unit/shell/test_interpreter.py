"""A Python that is installed among other things is shown alone."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.sandboxes import Cell, require
from timelab.shell import launch, uv
from timelab.shell.base import ShellRequest
from timelab.shell.interpreter import default_python, pieces_of
from timelab.shell.sandbox import Backend, Task, run_task

_LOOK = """
import encodings, json, os, sys
for path in sys.argv[1:]:
    try:
        print("read", open(path).read())
    except OSError:
        print("hidden")
print(os.path.dirname(os.__file__))
"""


@pytest.fixture
def shared_prefix(tmp_path: Path) -> Path:
    """Gives a prefix such as ~/.local, with a working Python and a person's keys in it."""
    prefix = tmp_path / "home"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").mkdir()
    shutil.copy(default_python(), prefix / "bin" / version)
    (prefix / "lib" / version).symlink_to(sysconfig.get_path("stdlib"))
    for name in (".ssh/id_ed25519", "share/keyrings/login.keyring", "bin/deploy", "lib/keys.txt"):
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text("PRIVATE")
    return prefix


def keys_in(prefix: Path) -> list[str]:
    return [str(path) for path in sorted(prefix.rglob("*")) if path.is_file() and path.stat().st_size == len("PRIVATE")]


def python_in(prefix: Path) -> Path:
    return next((prefix / "bin").glob("python*"))


def look(base: Path, backend: Backend, python: Path, read_only: tuple[Path, ...], paths: list[str]) -> list[str]:
    for name in ("input", "output"):
        (base / name).mkdir()
    task = Task(
        argv=(str(python), "-I", "-c", _LOOK, *paths),
        env={"PATH": os.defpath},
        source=None,
        input=base / "input",
        output=base / "output",
        stdout=base / "stdout",
        stderr=base / "stderr",
        # The copied binary may look for its shared library where the original has it.
        read_only=(*read_only, *pieces_of(default_python())),
        timeout_s=60.0,
    )
    outcome = run_task(task, backend)
    assert outcome.exit_code == 0, (base / "stderr").read_text()
    return (base / "stdout").read_text().splitlines()


def test_the_interpreter_is_the_one_below_the_virtual_environment() -> None:
    assert default_python().is_file()
    assert not (default_python().parent.parent / "pyvenv.cfg").exists()


@pytest.mark.parametrize("backend", list(Backend))
def test_a_python_in_a_shared_prefix_is_shown_alone(tmp_path: Path, shared_prefix: Path, backend: Backend) -> None:
    """A191: keyrings and keys that stand beside a Python stay out of a task's reach, and the Python works."""
    require(Cell(backend, ordinary=False))
    keys, python = keys_in(shared_prefix), python_in(shared_prefix)
    assert len(keys) == 4
    said = look(tmp_path, backend, python, pieces_of(python), keys)
    assert said == [*["hidden"] * 4, str(shared_prefix / "lib" / python.name)]


@pytest.mark.parametrize("backend", list(Backend))
def test_an_environment_shows_no_more_of_its_pythons_prefix(
    tmp_path: Path, shared_prefix: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A191: nor does the pinned shell that was made from such a Python."""
    require(Cell(backend, ordinary=False))
    monkeypatch.setattr(uv, "default_python", lambda: python_in(shared_prefix))
    files = uv.starter_pin()
    request = ShellRequest("default", files.get, tuple(sorted(files)), tmp_path / "cache")
    session = uv.UvShell().enter(request)
    assert session.environment.tools["python"].count(".") == 2
    said = look(tmp_path, backend, session.path[0] / "python", session.read_only, keys_in(shared_prefix))
    assert said == [*["hidden"] * 4, str(shared_prefix / "lib" / python_in(shared_prefix).name)]


def test_bubblewrap_shows_no_more_of_the_python_that_builds_its_walls(tmp_path: Path, shared_prefix: Path) -> None:
    """A191."""
    task = Task(("true",), {}, None, tmp_path, tmp_path / "output", tmp_path / "o", tmp_path / "e")
    place = launch.Place("bubblewrap", python_in(shared_prefix), -1, tmp_path / "output", tmp_path / "tmp")
    shown = {target for _, target in launch._make_config(task, place)["view"]["binds"]}
    assert str(python_in(shared_prefix)) in shown
    assert {str(shared_prefix), str(shared_prefix / "lib"), str(shared_prefix / "bin")} & shown == set()


def test_a_folder_that_is_linked_as_a_whole_is_named_by_both_paths(tmp_path: Path, shared_prefix: Path) -> None:
    """An environment of uv's names its Python through a link that carries the minor version alone."""
    linked = tmp_path / "linked"
    linked.symlink_to(shared_prefix)
    python = python_in(shared_prefix)
    pieces = pieces_of(linked / "bin" / python.name)
    for prefix in (shared_prefix, linked):
        assert {prefix / "bin" / python.name, prefix / "lib" / python.name} <= set(pieces)


def test_a_name_without_a_version_gives_every_standard_library_there(tmp_path: Path) -> None:
    for name in ("bin", "lib/python3.11", "lib/python3.12", "lib/pythonic"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        "bin/python3",
        "lib/python3.11/os.py",
        "lib/python3.12/os.py",
        "lib/libpython3.12.so.1.0",
        "lib/x.txt",
    ):
        (tmp_path / name).touch()
    found = {path.relative_to(tmp_path).as_posix() for path in pieces_of(tmp_path / "bin/python3")}
    assert found == {"bin/python3", "lib/python3.11", "lib/python3.12", "lib/libpython3.12.so.1.0"}
