from __future__ import annotations

import json

import pytest

from tests.sandboxes import CELLS, Cell, cell_id, require


@pytest.mark.parametrize("cell", CELLS, ids=cell_id)
def test_the_task_has_no_rights_and_plain_signals(cell: Cell) -> None:
    """A191: no capability (as root with Landlock: reading paths), no new privileges, a filter, default signals."""
    require(cell)
    code = (
        "import json, resource, signal\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())\n"
        "names = ('CapEff', 'CapPrm', 'NoNewPrivs', 'Seccomp', 'SigBlk')\n"
        "print(json.dumps({**{name: int(status[name], 16) for name in names},\n"
        "    'core': resource.getrlimit(resource.RLIMIT_CORE)[1],\n"
        "    'files': resource.getrlimit(resource.RLIMIT_NOFILE)[0]}))\n"
    )
    seen = json.loads(cell.run(code).stdout)
    assert seen["CapEff"] in (0, 1 << 2 if cell.backend == "landlock" else 0)
    assert seen["CapPrm"] == seen["CapEff"]
    assert (seen["NoNewPrivs"], seen["Seccomp"], seen["SigBlk"], seen["core"]) == (1, 2, 0, 0)
    assert seen["files"] == 4096


@pytest.mark.parametrize("cell", CELLS, ids=cell_id)
def test_the_first_match_on_path_is_run(cell: Cell) -> None:
    require(cell)
    files = {"one/tool": b"#!/bin/sh\necho one\n", "two/tool": b"#!/bin/sh\necho two\n"}
    ended = cell.run_argv(["tool"], files=files, env={"PATH": "none:two:one:/usr/bin"})
    assert ended.stdout == "two\n"
