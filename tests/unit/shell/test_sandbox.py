from __future__ import annotations

import os
from pathlib import Path

import pytest

from timelab.errors import SandboxError
from timelab.shell.sandbox import Backend, Task, explain, probe, run_task


def make_task(tmp_path: Path, *argv: str) -> Task:
    for name in ("input", "output"):
        (tmp_path / name).mkdir()
    return Task(
        argv=argv,
        env={"PATH": os.defpath},
        source=None,
        input=tmp_path / "input",
        output=tmp_path / "output",
        stdout=tmp_path / "stdout",
        stderr=tmp_path / "stderr",
        timeout_s=60.0,
    )


def test_probe_names_what_works_best_first() -> None:
    """A191: each is tried, and what is named holds."""
    found = probe()
    assert list(found) == [backend for backend in Backend if explain(backend) is None]
    assert found, "this machine can hold no task"


def test_the_best_backend_is_taken_and_recorded(tmp_path: Path) -> None:
    outcome = run_task(make_task(tmp_path, "true"))
    assert outcome.exit_code == 0
    assert outcome.record.kind == probe()[0].value
    assert outcome.record.enforced


def test_where_nothing_can_hold_it_a_task_does_not_run(tmp_path: Path) -> None:
    """A191: refused, with every reason; and only the user may ask for less."""
    task = make_task(tmp_path, "sh", "-c", f"touch {tmp_path}/ran")
    with pytest.raises(SandboxError, match="nothing here can hold a task: landlock: "):
        run_task(task, Backend.LANDLOCK, python=Path("/bin/false"))
    assert not (tmp_path / "ran").exists()


def test_best_effort_runs_without_walls_and_says_so(tmp_path: Path) -> None:
    from timelab.shell.interpreter import default_python
    from timelab.shell.launch import launch

    outcome = launch(make_task(tmp_path, "sh", "-c", 'echo x > "$TIMELAB_OUTPUT/file"'), "none", default_python())
    assert (outcome.record.kind, outcome.record.enforced, outcome.record.network) == ("none", False, "host")
    assert (tmp_path / "output/file").read_text() == "x\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "output", "stderr", "stdout"]
