"""Which commits a range holds, what each of them changed, and where HEAD stands."""

from __future__ import annotations

from collections.abc import Sequence

from timelab.errors import NotFound
from timelab.git import trees
from timelab.git.program import said
from timelab.git.repo import Repo, commit_info, resolve
from timelab.git.trees import TreeEntry
from timelab.names import Oid

_LONG_S = 600.0
_NO_COMMIT = frozenset({"0" * 40, "0" * 64})


def head(repo: Repo) -> Oid | None:
    """Returns the commit that HEAD of this work tree names, None before the first."""
    done = repo.git(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], check=False)
    text = done.stdout.decode("ascii", "replace").strip()
    return Oid(text) if done.code == 0 and text else None


def has_commit(repo: Repo, oid: str) -> bool:
    """Says whether the commit is here; a partial or shallow clone may lack it."""
    return oid not in _NO_COMMIT and repo.git(["cat-file", "-e", f"{oid}^{{commit}}"], check=False).code == 0


def changed_paths(repo: Repo, commit: Oid) -> list[str]:
    """Returns the paths that a commit adds or changes against its first parent, sorted; deletions are left out."""
    return sorted(changes(repo, [commit]).get(commit, {}))


def changes(repo: Repo, commits: Sequence[Oid]) -> dict[Oid, dict[str, TreeEntry]]:
    """Returns what stands at the paths that each commit adds or changes against its first parent, by commit and path.

    A commit whose parents are not here, at the boundary of a shallow clone, brings all that it holds, as a root does.
    Commits that change nothing are left out, and deletions. One process for all: a range may hold thousands.
    """
    # git itself is asked for the parent: the commit object names one even where a shallow clone ends (shallow(5)).
    args = ["diff-tree", "--stdin", "-r", "-z", "--root", "--raw", "--no-abbrev", "--diff-filter=d", "--no-renames"]
    asked = "".join(f"{commit}\n" for commit in commits).encode("ascii")
    done = repo.git([*args, "--diff-merges=first-parent"], input=asked, timeout_s=_LONG_S)
    found: dict[Oid, dict[str, TreeEntry]] = {}
    here: dict[str, TreeEntry] = {}
    parts = iter(done.stdout.split(b"\0"))
    for part in parts:
        if part.startswith(b":"):
            # `:<mode before> <mode> <id before> <id> <letter>`, then the path: git-diff-tree(1), raw output format.
            words = part.split(b" ")
            name = next(parts).decode("utf-8", "surrogateescape")
            here[name] = TreeEntry(int(words[1], 8), Oid(words[3].decode("ascii")))
        elif part:
            here = found.setdefault(Oid(part.decode("ascii")), {})
    return found


def commits_in(repo: Repo, range_: str) -> list[Oid]:
    """Returns the commits of a range (`A..B`) or one commit (`A`), oldest first.

    Raises:
        NotFound: git does not know the range.
    """
    if ".." not in range_:
        return [resolve(repo, range_)]
    if range_.startswith("-"):
        raise NotFound(f"no such range: {ascii(range_)[:120]}")
    done = repo.git(["rev-list", "--reverse", "--topo-order", "--end-of-options", range_, "--"], check=False)
    if done.code:
        raise NotFound(f"no such range: {ascii(range_)[:120]} ({said(done)})")
    return [Oid(line) for line in done.stdout.decode("ascii").split()]


def commits_between(repo: Repo, since: Oid, until: Oid) -> list[Oid]:
    """Returns the commits reachable from `until` and not from `since`, oldest first."""
    return commits_in(repo, f"{since}..{until}")


def age_at(repo: Repo, commit: Oid, path: str) -> int:
    """Returns minus the number of commits since the first that brought a path: the older, the smaller."""
    pathspec = f":(top,literal){path}"
    args = ["rev-list", "--reverse", "--topo-order", commit, "--", pathspec]
    first = repo.git(args).stdout.decode("ascii").partition("\n")[0]
    if not first:
        return 0
    return -int(repo.git(["rev-list", "--count", f"{first}..{commit}"]).stdout)


def blob_at(repo: Repo, commit: Oid, path: str) -> Oid | None:
    """Returns the blob of a file as it stood at a commit, None where there was none."""
    entry = trees.entry_at(repo, commit_info(repo, commit).tree, path)
    return entry.oid if entry is not None and entry.is_file else None
