from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.sandboxes import CELLS, Cell, cell_id, require
from timelab.shell.launch import SetupFailed, launch
from timelab.shell.sandbox import Task


@pytest.mark.parametrize("backend", ["namespaces", "landlock"])
def test_a_wall_that_cannot_be_built_runs_nothing(tmp_path: Path, backend: str) -> None:
    for name in ("input", "output"):
        (tmp_path / name).mkdir()
    task = Task(("true",), {}, None, tmp_path / "input", tmp_path / "output", tmp_path / "o", tmp_path / "e")
    with pytest.raises(SetupFailed, match="cannot start"):
        launch(task, backend, tmp_path / "no-python")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e", "input", "o", "output"]


@pytest.mark.parametrize("cell", CELLS, ids=cell_id)
def test_usage_is_measured(cell: Cell) -> None:
    """A60: CPU time of all processes, the largest memory of one."""
    require(cell)
    ended = cell.run("import os\nif os.fork() == 0:\n    sum(range(4_000_000))\n    os._exit(0)\nos.wait()")
    assert ended.usage["cpu_ms"] >= 20
    assert ended.usage["wall_ms"] >= 20
    assert ended.usage["max_rss_bytes"] > 1 << 20


def test_inherited_descriptors_do_not_reach_the_task(tmp_path: Path) -> None:
    cell = CELLS[0]
    require(cell)
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        ended = cell.run("import json, os; print(json.dumps(sorted(map(int, os.listdir('/proc/self/fd')))))")
    finally:
        os.close(reader)
        os.close(writer)
    assert json.loads(ended.stdout)[:3] == [0, 1, 2]
    assert len(json.loads(ended.stdout)) == 4  # and the listing's own
