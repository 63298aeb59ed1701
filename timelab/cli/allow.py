"""`timelab allow`: let specs that came from others run here, after a look at them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, repo_path

if TYPE_CHECKING:
    from timelab.git.repo import Repo
    from timelab.names import Oid
    from timelab.pending import Candidate
    from timelab.queue import Held

_SHOWN_LINES = 400


@click.command()
@click.argument("names", nargs=-1, metavar="COMMIT|PATH...")
@click.option("--list", "list_only", is_flag=True, help="List what waits for consent.")
@click.option("--show", "show_only", is_flag=True, help="Show what would be allowed, and allow nothing.")
@json_option
def command(names: tuple[str, ...], list_only: bool, show_only: bool, as_json: bool) -> int:
    """Let a spec, or all that a commit brings, run here by itself.

    A PATH allows the spec and every file that it names, as they are in the commit that waits (or in HEAD); a COMMIT
    allows the files that it changes and the specs that it brings.
    """
    from timelab import queue
    from timelab.cli import render
    from timelab.trust import open_allow_list
    from timelab.views import Allowed, AllowedFile

    repo = current_repo()
    waiting = queue.held(repo)
    if list_only or not names:
        if not names and not list_only:
            raise click.UsageError("say what to allow: a commit or a path (--list shows what waits)")
        _print_held(waiting, as_json)
        return 0
    allowed = open_allow_list(repo)
    asked = [_Asked.of(repo, name, waiting) for name in names]
    if show_only:
        shown = [line for each in asked for line in _shown(repo, each)]
        render.lines(shown)
        is_held = any(each.held for each in asked)
        if not shown:
            render.talk("timelab: every file of it is allowed" + ("" if is_held else ", and nothing of it is held"))
        if not shown and not is_held:
            return 0
        render.talk(f"next: timelab allow {' '.join(map(render.plain, names))}")
        return 0
    pairs = sorted({pair for each in asked for pair in each.files if not allowed.is_allowed(*pair)})
    allowed.allow_files(pairs)
    queued, ran = _release(repo, asked)
    if as_json:
        files = tuple(AllowedFile(path, blob) for path, blob in pairs)
        render.emit_json(Allowed(allowed=files, queued=tuple(queued)))
        return 0
    render.lines(f"allowed {render.plain(path)} ({render.short(blob)})" for path, blob in pairs)
    for path in queued:
        render.talk(f"timelab: queued {render.plain(path)}")
    for path, run_id in ran:
        render.talk(f"timelab: {render.plain(path)} ran before as {render.short(run_id)}: nothing to run")
    if not pairs and not queued:
        render.talk("timelab: it was allowed before")
    return 0


class _Asked:
    """Is what one name on the command line stands for: files to allow, and where its specs came from."""

    def __init__(
        self, commit: Oid, specs: Sequence[Candidate], files: Sequence[tuple[str, str]], held: Sequence[Held]
    ) -> None:
        self.commit = commit
        self.specs = tuple(specs)
        self.files = tuple(files)
        self.held = tuple(held)

    @classmethod
    def of(cls, repo: Repo, name: str, waiting: Sequence[Held]) -> _Asked:
        """Reads a name as the path of a spec that waits, else of a file in HEAD, else as a commit."""
        from timelab.git import history
        from timelab.git.repo import resolve
        from timelab.names import Oid

        path = repo_path(repo, name)
        held = [entry for entry in waiting if entry.spec_path == path]
        head = history.head(repo)
        if path is not None and held:
            return cls._path(repo, Oid(held[-1].commit), path, held)
        if path is not None and head is not None and history.blob_at(repo, head, path) is not None:
            return cls._path(repo, head, path, [])
        commit = resolve(repo, name)
        return cls._commit(repo, commit, [entry for entry in waiting if entry.commit == commit])

    @classmethod
    def _path(cls, repo: Repo, commit: Oid, path: str, held: Sequence[Held]) -> _Asked:
        from timelab.cli.services import services_for
        from timelab.git import history
        from timelab.pending import candidates

        found = [c for c in candidates(repo, services_for(repo), [commit], whole_tree=True) if c.path == path]
        if found:
            return cls(commit, found[:1], found[0].files, held)
        # No spec, but a file that one names: it is allowed as it is.
        blob = history.blob_at(repo, commit, path)
        return cls(commit, [], [(path, blob)] if blob is not None else [], held)

    @classmethod
    def _commit(cls, repo: Repo, commit: Oid, held: Sequence[Held]) -> _Asked:
        from timelab.cli.services import services_for
        from timelab.git import history
        from timelab.pending import candidates

        found = candidates(repo, services_for(repo), [commit])
        files = {pair for candidate in found for pair in candidate.files}
        for path in history.changed_paths(repo, commit):
            blob = history.blob_at(repo, commit, path)
            if blob is not None:
                files.add((path, blob))
        return cls(commit, found, sorted(files), held)


def _release(repo: Repo, asked: Iterable[_Asked]) -> tuple[list[str], list[tuple[str, str]]]:
    """Queues what was held and what came unseen, and starts a worker for it.

    Returns the paths of the specs that run now, and those that have a record already, each with its run.
    """
    from timelab import queue
    from timelab.git import hooks
    from timelab.pending import earlier_run
    from timelab.store.index import open_index

    queued: list[str] = []
    ran: dict[str, str] = {}
    for each in asked:
        known: dict[tuple[str, str], str] = {}
        with open_index(repo) as index:
            for spec in each.specs:
                row = earlier_run(repo, index, spec)
                if row is not None:
                    known[spec.path, spec.commit] = row.run_id
        for entry in each.held:
            queue.release(repo, entry)
        new = [spec.path for spec in each.specs if (spec.path, spec.commit) not in known]
        if new and not each.held:
            queue.enqueue(repo, "allow", commit=_bringer(repo, each))
        queued += [*new, *(held.spec_path for held in each.held if (held.spec_path, held.commit) not in known)]
        ran.update({path: run_id for (path, _), run_id in known.items()})
    if queued:
        hooks.start_worker(repo)
    return list(dict.fromkeys(queued)), [(path, run_id) for path, run_id in ran.items() if path not in queued]


def _bringer(repo: Repo, asked: _Asked) -> Oid:
    """Returns the newest commit that changed one of the files: the worker looks at what a commit brings."""
    from timelab.names import Oid

    paths = [f":(top,literal){path}" for path, _ in asked.files]
    done = repo.git(["log", "-1", "--format=%H", "--no-show-signature", "--no-color", asked.commit, "--", *paths])
    return Oid(done.stdout.decode("ascii").strip() or asked.commit)


def _print_held(waiting: Sequence[Held], as_json: bool) -> None:
    from timelab.cli import render

    if as_json:
        render.emit_json(list(waiting))
        return
    render.lines(
        render.table(
            [(render.short(held.commit), render.plain(held.spec_path), render.plain(held.reason)) for held in waiting]
        )
    )
    if not waiting:
        render.talk("timelab: nothing waits for consent")


def _shown(repo: Repo, asked: _Asked) -> Iterable[str]:
    """Returns the files as lines that cannot drive a terminal: what is new about them against the allowed version."""
    from timelab.cli import render
    from timelab.git import trees
    from timelab.trust import open_allow_list

    allowed = open_allow_list(repo)
    for path, blob in asked.files:
        if allowed.is_allowed(path, blob):
            continue
        new = trees.read_blob(repo, blob)
        old_blob = next(iter(allowed.blobs_of(path)), None)
        old = _read(repo, old_blob) if old_blob else b""
        yield render.bold(f"{render.plain(path)} ({render.short(blob)}, {render.size(len(new))})")
        if b"\0" in new:
            yield "  binary"
            continue
        lines = list(
            difflib.unified_diff(_lines(old), _lines(new), f"allowed {path}", f"new {path}", lineterm="")
            if old
            else (f"+{line}" for line in _lines(new))
        )
        yield from (f"  {render.plain(line)}" for line in lines[:_SHOWN_LINES])
        if len(lines) > _SHOWN_LINES:
            yield f"  and {len(lines) - _SHOWN_LINES} lines more: git cat-file -p {blob}"


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").split("\n")


def _read(repo: Repo, blob: str) -> bytes:
    from timelab.errors import TimelabError
    from timelab.git import trees

    try:
        return trees.read_blob(repo, blob)
    except TimelabError:
        return b""
