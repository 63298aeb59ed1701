from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import subprocess, sys, time
from timelab.shell.inside import kernel, watch
kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
# A shell that starts a daemon and ends: the daemon becomes ours.
subprocess.run(["sh", "-c", "setsid sleep 600 & sleep 600 & exit 0"])
herd = watch.Herd(own_pids=False)
deadline = time.monotonic() + 10
while len(herd.alive()) < 2 and time.monotonic() < deadline:
    time.sleep(0.01)
print(len(herd.alive()))
herd.end()
print(len(herd.alive()))
"""


def test_descendants_are_found_and_ended_wherever_they_went() -> None:
    """A191: in a process of its own, since ending takes every child."""
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=root, capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert done.stdout == "2\n0\n", done.stderr
