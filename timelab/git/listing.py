"""Which files stand in the work tree and in the index, read with git itself: what `timelab check` looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from timelab.git.program import git
from timelab.git.repo import Repo
from timelab.process import Completed

_REGULAR = ("100644", "100755")


@dataclass(frozen=True)
class Index:
    """Is the index of the commit being made."""

    repo: Repo
    index_file: Path | None = None
    _blobs: dict[str, bytes | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """Returns the paths that the commit would add or change, sorted."""
        # Without --no-renames a renamed file would be named by one of its two paths only.
        done = self._git(["diff", "--cached", "--name-only", "--no-renames", "--diff-filter=ACMT", "-z"])
        return tuple(sorted(_split(done.stdout)))

    @cached_property
    def _entries(self) -> dict[str, tuple[str, str]]:
        entries = {}
        for line in _split(self._git(["ls-files", "--stage", "-z"]).stdout):
            head, _, path = line.partition("\t")
            mode, oid, _ = head.split(" ")
            entries[path] = (mode, oid)
        return entries

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Returns every path of the index, sorted."""
        return tuple(sorted(self._entries))

    def is_file(self, path: str) -> bool:
        """Says whether a regular file stands there."""
        return self._entries.get(path, ("", ""))[0] in _REGULAR

    def read(self, path: str) -> bytes | None:
        """Returns the bytes of a regular file as they are staged, or None."""
        if path not in self._blobs:
            oid = self._entries[path][1] if self.is_file(path) else None
            self._blobs[path] = self._git(["cat-file", "blob", oid]).stdout if oid else None
        return self._blobs[path]

    def _git(self, args: Sequence[str]) -> Completed:
        env = {"GIT_INDEX_FILE": str(self.index_file)} if self.index_file else None
        cwd = self.repo.root or self.repo.common_dir
        return git([f"--git-dir={self.repo.git_dir}", *args], cwd=cwd, env=env)


@dataclass(frozen=True)
class WorkTree:
    """Is the files of a work tree that git tracks or does not ignore."""

    root: Path
    repo: Repo

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Returns every path, sorted; a tracked file that was deleted is not one of them."""
        done = self.repo.git(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        found = {path for path in _split(done.stdout) if not path.endswith("/")}
        return tuple(sorted(path for path in found if (self.root / path).exists() or (self.root / path).is_symlink()))

    def is_file(self, path: str) -> bool:
        """Says whether a regular file stands there."""
        full = self.root / path
        return full.is_file() and not full.is_symlink()

    def read(self, path: str) -> bytes | None:
        """Returns the bytes of a regular file, or None."""
        return (self.root / path).read_bytes() if self.is_file(path) else None


def _split(data: bytes) -> list[str]:
    return [part for part in data.decode("utf-8", "surrogateescape").split("\0") if part]
