"""Reads entries of the chains through the git program: the index's food, without libgit2 (112 ms of import)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timelab.errors import GitError
from timelab.git import chain
from timelab.store.layout import CARRY_FILE, RUN_FILE, TOMBSTONE_FILE

if TYPE_CHECKING:
    from timelab.git.repo import Repo

_PIECE = 2_000
"""Entries a call: at some 3 kB a manifest far below the limit of `git.program.git`, and few enough processes."""


@dataclass(frozen=True)
class Fed:
    """Is an entry and its file; `data` is None when it has none of ours, or one that cannot be read."""

    oid: str
    kind: str
    data: bytes | None


def chain_tips(repo: Repo) -> dict[str, str]:
    """Returns the tips of all chains, by ref."""
    return {ref: str(oid) for ref, oid in sorted(chain.tips(repo).items())}


def new_entries(repo: Repo, tip: str, old: str | None) -> list[str] | None:
    """Returns the entries after `old` up to `tip`, newest first; None when `tip` does not descend from `old`."""
    done = repo.git(
        ["rev-list", "--first-parent", "--parents", tip, *([f"^{old}"] if old else []), "--"],
        check=False,
        timeout_s=600,
    )
    if done.code:
        # Either end may be missing. Without `old` this is a chain that cannot be read.
        if old is None:
            raise GitError(f"the chain at {tip[:12]} cannot be read")
        return None
    lines = [line.split() for line in done.stdout.decode("ascii").splitlines()]
    if not lines:
        return [] if tip == old else None
    if old is not None and lines[-1][1:2] != [old]:
        return None
    return [line[0] for line in lines]


def read_entries(repo: Repo, oids: Sequence[str]) -> Iterator[Fed]:
    """Yields each entry with its run.json, carry.json or tombstone.json."""
    for start in range(0, len(oids), _PIECE):
        piece = oids[start : start + _PIECE]
        runs = read_blobs(repo, [f"{oid}:{RUN_FILE}" for oid in piece])
        rest = [oid for oid, data in zip(piece, runs, strict=True) if data is None]
        others = {fed.oid: fed for fed in _read_others(repo, rest)}
        for oid, data in zip(piece, runs, strict=True):
            yield Fed(oid, "run", data) if data is not None else others.get(oid, Fed(oid, "broken", None))


def _read_others(repo: Repo, oids: Sequence[str]) -> Iterator[Fed]:
    for kind, name in (("tombstone", TOMBSTONE_FILE), ("carry", CARRY_FILE)):
        for oid, data in zip(oids, read_blobs(repo, [f"{oid}:{name}" for oid in oids]), strict=True):
            if data is not None:
                yield Fed(oid, kind, data)


def read_blobs(repo: Repo, names: Sequence[str]) -> list[bytes | None]:
    """Returns the blobs that names like `<commit>:run.json` stand for; None where there is none that can be read."""
    if not names:
        return []
    done = repo.git(["cat-file", "--batch"], input="".join(f"{name}\n" for name in names).encode(), check=False)
    found = list(_parse_batch(done.stdout))
    if len(found) == len(names):
        return found
    # git dies at a damaged object: what was asked in one go is asked in halves, until the damage stands alone.
    if len(names) == 1:
        return [None]
    half = len(names) // 2
    return [*read_blobs(repo, names[:half]), *read_blobs(repo, names[half:])]


def _parse_batch(data: bytes) -> Iterator[bytes | None]:
    """Parses git's answer: `<oid> <type> <size>` LF content LF, or `<name> missing` LF (git-cat-file(1))."""
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        words = data[at:end].split(b" ")
        if len(words) == 3 and words[2].isdigit():
            size = int(words[2])
            if end + 2 + size > len(data):
                return
            yield data[end + 1 : end + 1 + size] if words[1] == b"blob" else None
            at = end + 2 + size
        else:
            yield None
            at = end + 1
