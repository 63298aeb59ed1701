"""The pathspecs that hooks look for beside the built-in patterns."""

from __future__ import annotations

from pathlib import Path

from timelab.git.repo import discover
from timelab.git.watch import watch, watch_patterns, watched


def test_paths_and_patterns_are_kept_apart(repo: Path) -> None:
    found = discover(repo)
    assert watched(found) == ()
    watch(found, ["b c.txt", "a*[x].txt", "new\nline"])
    watch_patterns(found, ["lab/**/*.toml"])
    watch(found, ["b c.txt", "\udcff"])
    assert watched(found) == (
        ":(top,glob)lab/**/*.toml",
        ":(top,literal)a*[x].txt",
        ":(top,literal)b c.txt",
        ":(top,literal)\udcff",
    )
    watch_patterns(found, ["other/*.json"])
    assert watched(found)[0] == ":(top,glob)other/*.json"
    assert len(watched(found)) == 4
    watch_patterns(found, [])
    assert len(watched(found)) == 3


def test_nothing_new_writes_nothing(repo: Path) -> None:
    found = discover(repo)
    watch(found, ["a"])
    before = (found.timelab_dir / "watch").stat().st_mtime_ns
    watch(found, ["a"])
    assert (found.timelab_dir / "watch").stat().st_mtime_ns == before
