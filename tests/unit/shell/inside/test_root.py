from __future__ import annotations

import json

import pytest

from tests.sandboxes import CELLS, Cell, cell_id, require
from timelab.shell.sandbox import Backend


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.backend is Backend.NAMESPACES], ids=cell_id)
def test_the_root_holds_these_folders_and_no_others(cell: Cell) -> None:
    """A191: no home, no /run, no /var, no devices but five; all of it read-only."""
    require(cell)
    code = (
        "import json, os\n"
        "def locked(path):\n"
        "    try:\n"
        "        open(path + '/x', 'w').close()\n"
        "    except OSError:\n"
        "        return True\n"
        "print(json.dumps([sorted(os.listdir('/')), sorted(os.listdir('/dev')), sorted(os.listdir('/lab')),\n"
        "    [each for each in ('/', '/usr', '/etc', '/dev', '/lab', '/lab/src', '/lab/input')\n"
        "     if not locked(each)]]))\n"
    )
    root, devices, lab, writable = json.loads(cell.run(code).stdout)
    plain = {"bin", "dev", "etc", "lab", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr"}
    assert set(root) <= plain | {"nix", "gnu", cell.python.parts[1]}
    assert devices == ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]
    assert lab == ["input", "output", "src", "tmp"]
    assert writable == []
