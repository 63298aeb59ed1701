"""The pathspecs that our hooks look for beside the built-in spec patterns: `<common git dir>/timelab/watch`."""

from __future__ import annotations

from collections.abc import Iterable

from timelab.atomic import file_lock, write_atomic
from timelab.git.repo import Repo

_PATH = ":(top,literal)"
_PATTERN = ":(top,glob)"


def watch(repo: Repo, paths: Iterable[str]) -> None:
    """Adds repository paths that specs name: a commit that changes one of them wakes the worker too."""
    _update(repo, add={_PATH + path for path in paths if "\n" not in path})


def watch_patterns(repo: Repo, patterns: Iterable[str]) -> None:
    """Makes the hooks look for further spec patterns, those of `timelab.toml`; replaces the former ones."""
    _update(repo, add={_PATTERN + pattern for pattern in patterns if "\n" not in pattern}, drop=_PATTERN)


def watched(repo: Repo) -> tuple[str, ...]:
    """Returns the pathspecs, in order."""
    try:
        return tuple((repo.timelab_dir / "watch").read_text("utf-8", "surrogateescape").split("\n")[:-1])
    except FileNotFoundError:
        return ()


def _update(repo: Repo, *, add: set[str], drop: str | None = None) -> None:
    known = watched(repo)
    if drop is None and add.issubset(known):
        return
    with file_lock(repo.timelab_dir / "watch.lock"):
        known = watched(repo)
        kept = {line for line in known if drop is None or not line.startswith(drop)}
        lines = tuple(sorted(kept | add))
        if lines != known:
            text = "".join(line + "\n" for line in lines)
            write_atomic(repo.timelab_dir / "watch", text.encode("utf-8", "surrogateescape"))
