"""Which files of the work tree git tracks: those are the user's, and we never write to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timelab.git.repo import Repo

_cache: dict[str, tuple[tuple[int, int, int], Any]] = {}


def tracked_paths(repo: Repo, paths: Iterable[str]) -> frozenset[str]:
    """Returns those of the given file paths, relative to the root, that stand in this work tree's index."""
    asked = list(paths)
    if repo.root is None or not asked:
        return frozenset()
    index = _read_index(repo)
    if index is not None:
        return frozenset(path for path in asked if path in index)
    found = _ls_files(repo, asked)
    return frozenset(path for path in asked if path in found)


def tracked_below(repo: Repo, folder: str) -> frozenset[str]:
    """Returns the tracked files below a folder, as paths relative to the root."""
    return frozenset() if repo.root is None else frozenset(_ls_files(repo, [folder]))


def _read_index(repo: Repo) -> Any:
    """Returns libgit2's reading of the index, kept until the file changes; None where it cannot read it.

    libgit2 1.9 refuses split and sparse indexes (`link` and `sdir` extensions); git itself answers for those.
    """
    import pygit2

    path = repo.git_dir / "index"
    try:
        status = path.stat()
    except OSError:
        return frozenset()
    stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
    held = _cache.get(str(path))
    if held is None or held[0] != stamp:
        try:
            held = (stamp, _open_index(repo))
        except (pygit2.GitError, OSError):
            held = (stamp, None)
        _cache.clear()
        _cache[str(path)] = held
    return held[1]


def _open_index(repo: Repo) -> Any:
    # By way of a repository handle: a `pygit2.Index` that cannot be read complains once more when it is collected.
    import pygit2
    from pygit2.enums import RepositoryOpenFlag

    repo.pygit2()
    return pygit2.Repository(str(repo.git_dir), RepositoryOpenFlag.NO_SEARCH).index


def _ls_files(repo: Repo, paths: list[str]) -> set[str]:
    done = repo.git(["ls-files", "-z", "--", *(f":(literal){path}" for path in paths)])
    return {name.decode("utf-8", "surrogateescape") for name in done.stdout.split(b"\0") if name}
