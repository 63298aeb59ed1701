from __future__ import annotations

import subprocess
from pathlib import Path

import timelab.shell.inside
from timelab.shell.interpreter import default_python

HEAVY = {
    "json",
    "typing",
    "pathlib",
    "dataclasses",
    "signal",
    "socket",
    "re",
    "enum",
    "subprocess",
    "logging",
    "timelab",
}


def test_the_program_inside_loads_nothing_heavy() -> None:
    """Each of these costs milliseconds of every run, and nothing of timelab may stand inside."""
    folder = Path(timelab.shell.inside.__file__).parents[1]
    code = f"import sys; sys.path.append({str(folder)!r}); import inside.init; print(*sys.modules)"
    done = subprocess.run([default_python(), "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()
