"""Carry entries: each says that a commit took another's place, and what it says must hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from timelab.errors import DataError
from timelab.git.raw import Missing
from timelab.names import Oid, RunId
from timelab.verify.commits import Commits
from timelab.verify.entries import REFETCH
from timelab.verify.ledger import SCHEMA, Ledger
from timelab.verify.records import Record


@dataclass(frozen=True)
class Carry:
    """Is what a carry entry says; `place` is how people are told which one."""

    run_id: str
    origin: Oid
    to: Oid
    is_tree_equal: bool
    place: str


def read_carry(body: Mapping[str, Any], place: str, ledger: Ledger) -> Carry | None:
    """Returns the entry that a carry.json is, or None where its values are none; that is written down."""
    try:
        carry = Carry(RunId(body["run_id"]), Oid(body["carried_from"]), Oid(body["to"]), body["tree_equal"], place)
    except DataError as error:
        ledger.wrong(SCHEMA, None, f"{place} carry.json", error.message, REFETCH)
        return None
    if not isinstance(body["tree_equal"], bool):
        ledger.wrong(SCHEMA, None, f"{place} carry.json", "tree_equal is neither true nor false", REFETCH)
        return None
    return carry


def check_carries(carries: Iterable[Carry], known: Mapping[str, Record], commits: Commits, ledger: Ledger) -> None:
    """Checks that each carry begins at its record's commit, directly or over other carries, and what it says of trees.

    Carries of runs that are not known are left to the step that says so.
    """
    groups: dict[str, list[Carry]] = {}
    for carry in carries:
        if carry.run_id in known:
            groups.setdefault(carry.run_id, []).append(carry)
    for run_id, group in groups.items():
        reached = _reached(known[run_id].git_sha, group)
        for carry in group:
            if carry.origin not in reached:
                what = f"carries from {carry.origin[:12]}, where the record never stood"
                ledger.wrong(SCHEMA, run_id, f"{carry.place} carry.json", what, REFETCH)
            _check_trees(carry, commits, ledger)


def _reached(start: Oid | None, group: Iterable[Carry]) -> set[Oid]:
    """Returns the commits that a record comes to; carries may stand in several chains, so in no order."""
    reached = {start} if start is not None else set()
    waiting = list(group)
    while True:
        next_ones = [carry for carry in waiting if carry.origin in reached]
        if not next_ones:
            return reached
        # What leads on from the commits of this round is the next round's.
        waiting = [carry for carry in waiting if carry.origin not in reached]
        reached.update(carry.to for carry in next_ones)


def _check_trees(carry: Carry, commits: Commits, ledger: Ledger) -> None:
    place = f"{carry.place} carry.json"
    try:
        is_equal = commits.tree(carry.origin) == commits.tree(carry.to)
    except Missing:
        ledger.unknown(SCHEMA)
        return
    except DataError as error:
        ledger.wrong(SCHEMA, carry.run_id, place, error.message, "git fsck")
        return
    if carry.is_tree_equal and not is_equal:
        what = f"says that the trees of {carry.origin[:12]} and {carry.to[:12]} are equal, and they are not"
        ledger.wrong(SCHEMA, carry.run_id, place, what, REFETCH)
    elif is_equal and not carry.is_tree_equal:
        # Whoever carried it may not have had both commits, and said the lesser thing.
        ledger.warn(SCHEMA, carry.run_id, place, "says that the trees differ, and they are equal")
