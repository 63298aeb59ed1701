"""What the work tree has beside the commit: the files that a run of an uncommitted spec takes from there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from timelab.errors import GitError, PathError, SpecError, UsageError
from timelab.git.program import git, said
from timelab.git.repo import Repo, commit_state
from timelab.names import Oid, RepoPath, path_fault
from timelab.plan import named_files
from timelab.process import run
from timelab.spec.model import CommandSpec, LlmSpec

LoadSpec = Callable[[bytes, str], CommandSpec | LlmSpec]

_HOOKS_S = 3600.0
"""A user's pre-commit hook may run a test suite."""

# What `git rev-parse --local-env-vars` lists, without the user's settings, and what changes how a path is read: a
# command that an alias or a hook started would commit to another repository, or other files (style G2).
_ELSEWHERE = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GLOB_PATHSPECS",
        "GIT_GRAFT_FILE",
        "GIT_ICASE_PATHSPECS",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)


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
    """Commits one file as the user's own `git commit` would, with their hooks, identity, signature and settings.

    Only our own hooks leave at once: the caller runs the spec, and it is the caller who checks it before.

    Raises:
        GitError: git, or a hook of the user's, said no.
    """
    name = f":(literal){path}"
    _as_user(repo, ["add", "--", name], path)
    assert repo.root is not None
    if git(["diff", "--cached", "--quiet", "--", name], cwd=repo.root, check=False).code == 0:
        return
    _as_user(repo, ["commit", "-q", "-m", f"spec: {path}", "--", name], path)


def _as_user(repo: Repo, args: list[str], path: str) -> None:
    """Runs git without our settings and with all of the user's variables but those that name a repository."""
    env = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    env["TIMELAB_HOOK"] = "off"
    done = run(["git", *args], cwd=repo.root, env=env, timeout_s=_HOOKS_S)
    if done.code or done.timed_out:
        why = f"took longer than {_HOOKS_S:g} s" if done.timed_out else f"failed with {done.code}: {said(done)}"
        raise GitError(f"git {args[0]} {why}", hint=f"all that it says: git {args[0]} {path}")


def _is_file(root: Path, path: str) -> bool:
    full = root / path
    return full.is_file() and not full.is_symlink()
