"""The chains of which we have more than a remote: it was set back, rewritten or deleted there, and ours stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from timelab.git.chain import REMOTES
from timelab.git.refs import list_refs, read_ref, swap_ref
from timelab.git.repo import Repo, is_ancestor
from timelab.names import Oid

LAGGING = "refs/timelab/lagging/"
"""Names the chains that a remote lost entries of, `<remote>/runs/<writer>`, and holds what it has instead.

Where it has nothing, the ref points to our own copy.
"""

LagState = Literal["behind", "parted", "gone"]


@dataclass(frozen=True)
class Lag:
    """Is a chain of which we have more than its remote: it was set back, went another way, or was deleted there."""

    remote: str
    writer: str
    state: LagState


def mark_lags(repo: Repo, remote: str, there: Mapping[str, Oid]) -> tuple[Lag, ...]:
    """Marks the chains of which we have more than the remote, and unmarks those that it has again.

    Args:
        repo: where.
        remote: the name of a remote.
        there: what it has, by `runs/<writer>`.
    """
    marks = list_refs(repo, f"{LAGGING}{remote}/runs/")
    wanted: dict[str, Oid] = {}
    for ref, tip in list_refs(repo, f"{REMOTES}{remote}/runs/").items():
        name = ref.removeprefix(f"{REMOTES}{remote}/")
        if there.get(name) != tip:
            wanted[f"{LAGGING}{remote}/{name}"] = there.get(name, tip)
    for mark in sorted({*marks, *wanted}):
        if marks.get(mark) != wanted.get(mark):
            swap_ref(repo, mark, wanted.get(mark), marks.get(mark))
    return tuple(lag for lag in lags(repo) if lag.remote == remote)


def lags(repo: Repo) -> list[Lag]:
    """Returns the chains that remotes lost entries of, as the last sync with each saw it; no network."""
    found = []
    for mark, there in list_refs(repo, LAGGING).items():
        name = mark.removeprefix(LAGGING)
        ours = read_ref(repo, REMOTES + name)
        if ours is not None:
            remote, _, writer = name.rpartition("/runs/")
            found.append(Lag(remote, writer, _state(repo, there, ours)))
    return found


def _state(repo: Repo, there: Oid, ours: Oid) -> LagState:
    if there == ours:
        return "gone"
    return "behind" if is_ancestor(repo, there, ours) else "parted"
