"""What the work tree has beside the commit: the files that a run of an uncommitted spec takes from there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from timelab.errors import PathError, SpecError, UsageError
from timelab.git.program import git
from timelab.git.repo import Repo, commit_state
from timelab.names import Oid, RepoPath, path_fault
from timelab.plan import named_files
from timelab.spec.model import CommandSpec, LlmSpec

LoadSpec = Callable[[bytes, str], CommandSpec | LlmSpec]


def overlay_for(repo: Repo, spec_path: RepoPath, commit: Oid | None, load_spec: LoadSpec) -> dict[str, bytes]:
    """Returns the files of a spec's closure that differ from the commit, with the work tree's bytes; empty when clean.

    Raises:
        UsageError: no such file, or a bare repository.
        PathError: the file is a link, or no regular file.
    """
    if repo.root is None:
        raise UsageError("a bare repository has no files to run", hint="timelab run --pending RANGE")
    data = read_regular(repo.root, spec_path)
    state = commit_state(repo, commit)
    overlay = {} if state.read(spec_path) == data else {str(spec_path): data}
    changed = changed_files(repo)
    try:
        spec = load_spec(data, spec_path)
        paths = tuple(sorted({*state.paths, *(path for path in changed if _is_file(repo.root, path))}))
        named = named_files(spec, paths)
    except SpecError:
        # The run itself says what is wrong with the spec, and records it.
        return overlay
    for path in named:
        if path in changed and path != spec_path:
            content = read_regular(repo.root, path)
            if state.read(path) != content:
                overlay[path] = content
    return overlay


def changed_files(repo: Repo) -> set[str]:
    """Returns the paths that differ from HEAD or are untracked; names that no record could hold are left out."""
    assert repo.root is not None
    done = git(["status", "--porcelain=v1", "-z", "-uall", "--no-renames"], cwd=repo.root)
    names = (entry[3:].decode("utf-8", "surrogateescape") for entry in done.stdout.split(b"\0") if len(entry) > 3)
    return {name for name in names if path_fault(name) is None}


def read_regular(root: Path, path: str) -> bytes:
    """Returns the bytes of a regular file below `root`; a link anywhere on the way is refused, not followed."""
    at = root
    for part in path.split("/"):
        at = at / part
        if at.is_symlink():
            raise PathError(f"{path}: is a link, or lies behind one", hint="name the file itself")
    try:
        descriptor = os.open(at, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"no such file: {path}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise UsageError(f"{path} is a folder", hint="name a file in it")
        raise PathError(f"{path}: is no regular file")
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def commit_file(repo: Repo, path: RepoPath) -> None:
    """Commits one file with the user's own git and identity, without starting our hook for it."""
    assert repo.root is not None
    git(["add", "--", f":(literal){path}"], cwd=repo.root)
    if git(["diff", "--cached", "--quiet", "--", f":(literal){path}"], cwd=repo.root, check=False).code == 0:
        return
    git(["commit", "-q", "-m", f"spec: {path}", "--", f":(literal){path}"], cwd=repo.root)


def _is_file(root: Path, path: str) -> bool:
    full = root / path
    return full.is_file() and not full.is_symlink()
