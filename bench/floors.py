"""What plain git needs for the same: the floor that no tool can be under, and that none has to be far above."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench.measure import Case, clean_env, repository, sh

# One run by hand: digest, manifest in a dated folder, note, commit.
_SHELL = """\
#!/bin/sh
set -e
head=$(git rev-parse HEAD)
day=$(date -u +%Y/%m/%d)/$head
mkdir -p "$day"
sh -c true >"$day/stdout"
sum=$(sha256sum "$day/stdout" | cut -c1-64)
printf '{"git_sha":"%s","spec":"%s","stdout_sha256":"%s"}\\n' "$head" "$(git rev-parse HEAD:specs/s.yaml)" "$sum" \\
    >"$day/run.json"
git notes --ref floor add -F "$day/run.json" "$head"
git add "$day"
git commit -q -m "run $head"
"""


def runs(room: Path) -> Iterator[tuple[str, Case]]:
    """Yields `true` alone, an interpreter's start, and a run recorded by a shell script."""
    env = clean_env(room / "home")
    path = repository(room / "floor", env)
    (path / "floor.sh").write_text(_SHELL)
    (path / "floor.sh").chmod(0o755)
    (path / "specs").mkdir()
    number = count(1)

    def new_spec() -> None:
        (path / "specs/s.yaml").write_text(f"n: {next(number)}\n")
        sh(["git", "add", "-A"], path, env)
        sh(["git", "commit", "-q", "-m", "spec"], path, env)

    yield "`true`", Case(["true"], path, env)
    yield "python -c pass", Case([sys.executable, "-c", "pass"], path, env)
    yield "plain git and sh: run, digest, manifest, note, commit", Case(["./floor.sh"], path, env, new_spec)
