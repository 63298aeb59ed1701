"""What is added to a chain about earlier entries: records carried to a rewritten commit, and records taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from timelab.canonical import canonical_bytes
from timelab.clock import parse_timestamp
from timelab.errors import DataError, GitError, UsageError
from timelab.git import chain, history, notes, refs, sync, trees
from timelab.git.repo import Repo, commit_info, is_ancestor
from timelab.git.tracked import tracked_below
from timelab.names import Oid, RunId
from timelab.store import feed, folders
from timelab.store.completion import Reached, note_lines, project_days, work_of
from timelab.store.index import Index
from timelab.store.journal import Intent
from timelab.store.layout import CARRY_FILE, RUN_FILE, TOMBSTONE_FILE, day_of
from timelab.store.rows import RunRow, parse_carry, parse_run, run_id_of_line

_PUBLISHED = "a record that was published stays; record a newer run instead"


def noted_runs(repo: Repo, commit: Oid) -> list[RunId]:
    """Returns the runs that a commit's note names, in its order."""
    found = (run_id_of_line(line) for line in (notes.read_note(repo, commit) or b"").split(b"\n"))
    return list(dict.fromkeys(run_id for run_id in found if run_id is not None))


def redo_carry(repo: Repo, index: Index, intent: Intent, reached: Reached) -> None:
    """Carries the records noted on one commit to another; what is carried already is not carried twice."""
    index.refresh()
    old, new = Oid(intent.old or ""), Oid(intent.new or "")
    rows = [row for run_id in noted_runs(repo, old) if (row := index.get(run_id)) is not None]
    done = {carry.run_id for carry in index.carries(target=new)}
    equal = _is_tree_equal(repo, old, new)
    for row in rows:
        if row.run_id in done:
            continue
        body = {"carried_from": old, "to": new, "run_id": row.run_id, "tree_equal": equal}
        message = f"carry: {row.run_id[:12]} from {old[:12]} to {new[:12]}"
        _append(repo, CARRY_FILE, body, message, parse_timestamp(intent.when or ""))
        reached("chain")
    lines = feed.read_blobs(repo, [f"{row.entry}:{RUN_FILE}" for row in rows])
    notes.add_lines(repo, [(new, line) for line in lines if line is not None])
    reached("notes")
    if rows:
        chain.keep(repo, new)
        reached("keep")
    index.refresh()
    reached("index")


def _append(repo: Repo, name: str, body: dict[str, Any], message: str, when: datetime) -> Oid:
    return chain.append_files(repo, {name: canonical_bytes(body) + b"\n"}, message=message, when=when)


def _is_tree_equal(repo: Repo, old: Oid, new: Oid) -> bool:
    try:
        return commit_info(repo, old).tree == commit_info(repo, new).tree
    except DataError:
        return False


def check_forgettable(repo: Repo, row: RunRow) -> None:
    """Refuses unless the run stands on the part of our own chain that nobody else has. The caller holds the store lock.

    Raises:
        UsageError: it stands elsewhere too, or a sync may bring it there at this moment.
        GitError: a remote cannot be asked.
    """
    own = chain.RUNS + chain.writer_id(repo)
    if row.ref != own:
        raise UsageError(
            f"run {row.run_id[:8]} was recorded by another clone", hint="forget it there, before it is pushed"
        )
    for ref, tip in chain.tips(repo).items():
        if ref != own and is_ancestor(repo, row.entry, tip):
            raise UsageError(
                f"run {row.run_id[:8]} is pushed already ({ref}): others may have it",
                hint=_PUBLISHED,
            )
    _ask_remotes(repo, row)


def _ask_remotes(repo: Repo, row: RunRow) -> None:
    """Asks, for a tracking copy knows nothing of a push by hand, nor of one that was cut off behind the remote."""
    if sync.is_syncing(repo):
        # It may be pushing what it read before we took the store lock.
        raise UsageError("timelab sync is running and may push the run", hint="again when it is done")
    writer, short = chain.writer_id(repo), row.run_id[:8]
    for remote in sync.remotes(repo):
        try:
            tips = sync.ask_tips(repo, remote, writer)
        except GitError as error:
            words = f"cannot tell whether run {short} was pushed: {error.message}"
            raise GitError(words, hint=f"again when it can be reached, or git remote remove {remote}") from error
        for tip in tips:
            if not history.has_commit(repo, tip):
                raise UsageError(f"{remote} has entries of our chain that are not here", hint=f"timelab sync {remote}")
            if is_ancestor(repo, row.entry, tip):
                raise UsageError(f"run {short} is pushed already ({remote}): others may have it", hint=_PUBLISHED)


def redo_forget(repo: Repo, index: Index, intent: Intent, reached: Reached) -> None:
    """Takes a run out of our chain's unpushed end, its notes and its folder, and leaves a tombstone."""
    ref = chain.RUNS + chain.writer_id(repo)
    entry = chain.read_entry(repo, Oid(intent.old or ""), ref=ref)
    run_json = chain.read_file(repo, entry, RUN_FILE) or b""
    run = parse_run(run_json, entry.oid, ref)
    if run is None:
        return
    _rewrite(repo, ref, entry, intent)
    reached("chain")
    carried = [(Oid(target), run_json) for target in intent.targets]
    notes.remove_lines(repo, [*note_lines(run.row, run_json), *carried])
    reached("notes")
    _shorten_notes(repo, parse_timestamp(intent.when or ""))
    reached("notes history")
    index.refresh()
    _let_go(repo, index, [run.row.git_sha, *intent.targets])
    reached("index")
    work, path = work_of(repo, intent), run.row.artifacts_path
    if work.root is None:
        return
    if folders.is_run(work.root / path, run_json):
        folders.remove_untracked(work.root, path, tracked_below(work, path))
    reached("folder")
    project_days(repo, index, work, {day_of(run.row.timestamp_start): []}, reached)


def _rewrite(repo: Repo, ref: str, entry: chain.Entry, intent: Intent) -> None:
    """Writes the entries after `entry` again without it, then a tombstone, and moves the chain there in one step."""
    tip = refs.read_ref(repo, ref)
    later = None if tip is None else feed.new_entries(repo, tip, entry.oid)
    if tip is None or later is None:
        # Done before the crash.
        return
    parent = entry.parent
    for oid in reversed(later):
        found = chain.read_entry(repo, Oid(oid), ref=ref)
        if not _is_carry_of(repo, found, intent.run_id):
            parent = _with_parent(repo, found.oid, parent)
    when = parse_timestamp(intent.when or "")
    body = {"forgotten_at": intent.when, "run_id": intent.run_id}
    tree = trees.write_tree(repo, {TOMBSTONE_FILE: canonical_bytes(body) + b"\n"})
    person = chain.signature(repo, when)
    message = f"forget: {(intent.run_id or '')[:12]}"
    data = chain.commit_bytes(tree, [parent] if parent else [], person, message)
    refs.swap_ref(repo, ref, trees.write_object(repo, trees.COMMIT, data), tip)


def _shorten_notes(repo: Repo, when: datetime) -> None:
    """Puts the notes right after what remotes have of them, so that the forgotten line is not pushed as history."""
    tip = refs.read_ref(repo, notes.NOTES)
    if tip is None:
        return
    known = refs.list_refs(repo, f"{chain.REMOTES}*/notes*").values()
    parents = sorted({oid for oid in known if is_ancestor(repo, oid, tip)})
    found = commit_info(repo, tip)
    if list(found.parents) != parents:
        data = chain.commit_bytes(found.tree, parents, chain.signature(repo, when), "notes: forget a run")
        refs.swap_ref(repo, notes.NOTES, trees.write_object(repo, trees.COMMIT, data), tip)


def _is_carry_of(repo: Repo, entry: chain.Entry, run_id: str | None) -> bool:
    data = chain.read_file(repo, entry, CARRY_FILE) if entry.kind == "carry" else None
    carry = None if data is None else parse_carry(data, entry.oid)
    return carry is not None and carry.run_id == run_id


def _with_parent(repo: Repo, oid: Oid, parent: Oid | None) -> Oid:
    """Writes a commit again, equal but for its parent."""
    header, _, message = trees.read_typed(repo, oid, trees.COMMIT).partition(b"\n\n")
    lines = [line for line in header.split(b"\n") if not line.startswith(b"parent ")]
    lines[1:1] = [f"parent {parent}".encode()] if parent else []
    return trees.write_object(repo, trees.COMMIT, b"\n".join(lines) + b"\n\n" + message)


def _let_go(repo: Repo, index: Index, commits: Sequence[str | None]) -> None:
    """Drops the keep refs of commits that no record names any more."""
    for commit in commits:
        if commit is None or index.select(commit=commit, limit=1):
            continue
        name = chain.KEEP + commit
        held = refs.read_ref(repo, name)
        if held is not None:
            refs.swap_ref(repo, name, None, held)
