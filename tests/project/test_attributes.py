"""Git keeps the bytes that digests are taken of, on every system."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def attributes(path: str) -> dict[str, str]:
    done = subprocess.run(
        ["git", "check-attr", "text", "eol", "--", path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {line.split(": ")[-2]: line.split(": ")[-1] for line in done.stdout.splitlines()}


def test_specs_have_line_feeds_and_records_are_not_touched() -> None:
    """A101."""
    assert attributes("specs/examples/wordcount.yaml") == {"text": "auto", "eol": "lf"}
    for path in ("2026/11/20/ai-team/artifacts/1-a-b/run.json", "2026/11/20/analyzer/outputs/1-a-b/output/x.txt"):
        assert attributes(path)["text"] == "unset"
