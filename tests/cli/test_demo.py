"""`timelab demo`: the story ends well, and leaves nothing behind when asked to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def play(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "timelab", "demo", *args],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    """A150, A203, D1, D5–D8: commit, note, folder, verify, replay, absolute paths of the results."""
    done = play(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (room,) = tmp_path.glob("timelab-demo-*")
    notebook = room.resolve() / "notebook"
    for said in ("$ git notes show", '"status": "ok"', "identical", "$ timelab verify", f"in {notebook}:"):
        assert said in done.stdout
    results = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith(f"{notebook}/2")]
    assert {Path(path).name for path in results} >= {"output.jsonl", "words.csv", "report.md"}
    assert all(Path(path).exists() for path in results)


def test_a_clean_demo_leaves_nothing(tmp_path: Path) -> None:
    done = play(tmp_path, "--clean")
    assert done.returncode == 0, done.stdout + done.stderr
    # uv keeps an empty lock file of its own there.
    assert list(tmp_path.glob("timelab*")) == []
    assert not (Path(os.environ["XDG_DATA_HOME"]) / "timelab").exists()
