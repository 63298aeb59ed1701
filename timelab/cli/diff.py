"""`timelab diff`: two runs side by side, by cause, answer by answer, file by file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, repo_path

if TYPE_CHECKING:
    from timelab.diff import CasePair
    from timelab.git.repo import Repo
    from timelab.manifest import Manifest
    from timelab.store.reader import StoredRun
    from timelab.views import DiffSide, RunDiff

MAX_TEXT_BYTES = 128 << 10
MOST_LINES = 60
MOST_CASES = 50


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN [RUN] | SPEC]")
@click.option("--all", "everything", is_flag=True, help="Show every case and every line, unchanged cases too.")
@json_option
def command(names: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Set two runs side by side: what changed, by cause, and what came of it.

    With one SPEC its last two runs are compared, with one RUN that run and the one before it of the same spec, without
    a name the last run. Replays are passed over unless named.
    """
    from timelab.cli import render

    repo = current_repo()
    pair = _Pair(*_chosen(repo, names))
    found = _compare(repo, pair)
    if as_json:
        render.emit_json(found)
        return 0
    _print(repo, pair, found, everything)
    return 0


@dataclass(frozen=True)
class _Pair:
    before: StoredRun
    after: StoredRun


def _chosen(repo: Repo, names: tuple[str, ...]) -> tuple[StoredRun, StoredRun]:
    from timelab.store.reader import find

    if len(names) > 2:
        raise click.UsageError("diff takes two runs, or one spec")
    if len(names) == 2:
        return find(repo, _as_named(repo, names[0])), find(repo, _as_named(repo, names[1]))
    name = _as_named(repo, names[0]) if names else "last"
    from timelab.plan import is_spec_path

    if is_spec_path(name) and (repo.root is None or not name.isalnum()):
        return _last_two(repo, name, None)
    after = find(repo, name)
    return _last_two(repo, after.manifest().spec.path, after)


def _as_named(repo: Repo, name: str) -> str:
    from timelab.plan import is_spec_path

    path = repo_path(repo, name)
    return path if path is not None and is_spec_path(path) else name


def _last_two(repo: Repo, path: str, after: StoredRun | None) -> tuple[StoredRun, StoredRun]:
    """Returns a run of a spec (its last one, if none is given) and the one before it, over renames too."""
    from timelab.errors import NotFound
    from timelab.store.reader import find
    from timelab.versions import spec_versions

    unique = {row.run_id: row for version in spec_versions(repo, path) for row in version.runs}
    rows = sorted(unique.values(), key=lambda row: (row.timestamp_start, row.run_id), reverse=True)
    own = [row for row in rows if not row.replay_of and not row.parent_run]
    if after is not None:
        start = (after.manifest().timestamp_start, after.run_id)
        own = [row for row in own if (row.timestamp_start, row.run_id) < start]
    needed = 1 if after is not None else 2
    if len(own) < needed:
        what = "only one run" if own or after is not None else "no run"
        raise NotFound(f"{path} has {what}: there is nothing to compare", hint=f"timelab run {path}")
    if after is not None:
        return find(repo, own[0].run_id), after
    return find(repo, own[1].run_id), find(repo, own[0].run_id)


def _compare(repo: Repo, pair: _Pair) -> RunDiff:
    from timelab.diff import ANSWERS, causes_of, changes, compare_outputs, pair_cases
    from timelab.store.reader import artifact_bytes
    from timelab.views import RunDiff

    before, after = pair.before.manifest(), pair.after.manifest()

    def read_before(path: str) -> bytes | None:
        return artifact_bytes(repo, pair.before, path)

    def read_after(path: str) -> bytes | None:
        return artifact_bytes(repo, pair.after, path)

    found = changes(before, after, read_before, read_after)
    paths = [item.path for item in before.artifacts], [item.path for item in after.artifacts]
    is_asked = "llm" in (before.task.kind, after.task.kind)
    return RunDiff(
        before=_side(before),
        after=_side(after),
        causes=causes_of(found),
        changes=found,
        outputs=compare_outputs(*paths, read_before, read_after),
        cases=pair_cases(read_before(ANSWERS), read_after(ANSWERS)) if is_asked else (),
    )


def _side(manifest: Manifest) -> DiffSide:
    from timelab.views import DiffSide

    return DiffSide(
        run_id=manifest.run_id,
        name=manifest.name,
        status=manifest.status.value,
        timestamp_start=manifest.timestamp_start,
        git_sha=manifest.git_sha,
        spec_path=manifest.spec.path,
        model=manifest.model.name if manifest.model else None,
        replay_of=manifest.replay_of,
    )


def _print(repo: Repo, pair: _Pair, found: RunDiff, everything: bool) -> None:
    from timelab.cli import render

    render.lines(render.table([_head("A", found.before), _head("B", found.after)]))
    _print_changes(found)
    _print_failures(pair)
    _print_spec(repo, pair, found, everything)
    _print_named(repo, pair, everything)
    if found.cases:
        _print_cases(found.cases, everything)
    _print_files(repo, pair, found, everything)


def _head(label: str, side: DiffSide) -> tuple[str, ...]:
    from timelab.cli import render

    replay = f"replay of {side.replay_of[:8]}" if side.replay_of else ""
    return (
        render.bold(label),
        render.short(side.run_id),
        render.when(side.timestamp_start),
        render.word(side.status),
        render.short(side.git_sha),
        render.plain(side.spec_path),
        render.plain(side.model or ""),
        replay,
    )


def _print_changes(found: RunDiff) -> None:
    from timelab.cli import columns, render
    from timelab.cli.replay import change_line

    width = columns.terminal_width() - 12
    rows = [(f"  {each.cause}", change_line(each, width)) for each in found.changes if each.cause in found.causes]
    render.out()
    if not rows:
        render.out("no cause differs: the same work, done twice")
        return
    render.out(render.bold("what changed"))
    render.lines(render.table(rows))


def _print_spec(repo: Repo, pair: _Pair, found: RunDiff, everything: bool) -> None:
    from timelab.diff.causes import spec_name
    from timelab.store.reader import artifact_bytes

    old, new = pair.before.manifest(), pair.after.manifest()
    if old.spec.sha256 == new.spec.sha256:
        return
    before = artifact_bytes(repo, pair.before, spec_name(old)) or b""
    after = artifact_bytes(repo, pair.after, spec_name(new)) or b""
    names = found.before.spec_path, found.after.spec_path
    _print_unified(names[1] if names[0] == names[1] else f"{names[0]} → {names[1]}", before, after, everything)


def _print_failures(pair: _Pair) -> None:
    """Prints why a side failed, in its own words: a difference that no file shows."""
    from timelab.cli import render

    errors = [(label, run.manifest().error) for label, run in (("A", pair.before), ("B", pair.after))]
    lines = [(render.bold(label), error.slug, render.plain(error.message)) for label, error in errors if error]
    if lines:
        render.out()
        render.lines(render.table(lines))


def _print_named(repo: Repo, pair: _Pair, everything: bool) -> None:
    """Prints what changed in the files that both specs name: a script, a prompt, cases."""
    from timelab.manifest import INPUT_FILES
    from timelab.store.reader import artifact_bytes

    old, new = ({item.path: item.sha256 for item in run.manifest().inputs} for run in (pair.before, pair.after))
    for path in sorted(path for path in old.keys() & new.keys() if old[path] != new[path]):
        before, after = (artifact_bytes(repo, run, INPUT_FILES + path) or b"" for run in (pair.before, pair.after))
        if _is_small_text(before) and _is_small_text(after):
            _print_unified(path, before, after, everything)


def _print_cases(cases: tuple[CasePair, ...], everything: bool) -> None:
    from timelab.cli import columns, render

    width = columns.terminal_width()
    counts = [
        f"{count} {verdict}"
        for verdict in ("same", "changed", "new", "missing")
        if (count := sum(case.verdict == verdict for case in cases))
    ]
    render.out()
    render.out(f"{render.bold('answers')}  {', '.join(counts)}")
    shown = [case for case in cases if everything or case.verdict != "same"]
    for case in shown if everything else shown[:MOST_CASES]:
        render.out(columns.rule(f"case {case.case}, {render.word(case.verdict)}", width))
        for line in case.input.split("\n") if case.input else ():
            render.out(render.dim(f"  {_cut(render.plain(line), width - 2)}"))
        if case.verdict == "same":
            render.lines(f"  {render.plain(line)}" for line in (case.after or "").split("\n"))
        else:
            render.lines(columns.side_by_side(case.before, case.after, width))
    if len(shown) > MOST_CASES and not everything:
        render.out(f"… and {len(shown) - MOST_CASES} more cases: --all shows them")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _print_files(repo: Repo, pair: _Pair, found: RunDiff, everything: bool) -> None:
    from timelab.cli import render
    from timelab.cli.replay import print_first
    from timelab.diff import ANSWERS
    from timelab.store.reader import artifact_bytes

    outputs = [item for item in found.outputs if not (found.cases and item.path == ANSWERS)]
    if not outputs:
        return
    render.out()
    render.out(render.bold("outputs"))
    render.lines(render.table([(f"  {render.plain(item.path)}", render.word(item.verdict)) for item in outputs]))
    for item in outputs:
        if item.verdict != "differs":
            continue
        before, after = (artifact_bytes(repo, run, item.path) or b"" for run in (pair.before, pair.after))
        if _is_small_text(before) and _is_small_text(after):
            _print_unified(item.path, before, after, everything)
        else:
            print_first(item)


def _is_small_text(data: bytes) -> bool:
    try:
        return len(data) <= MAX_TEXT_BYTES and "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _print_unified(title: str, before: bytes, after: bytes, everything: bool) -> None:
    from timelab.cli import columns, render

    old, new = (data.decode("utf-8", "replace").removesuffix("\n").split("\n") for data in (before, after))
    lines = list(difflib.unified_diff(old, new, n=2, lineterm=""))[2:]
    render.out()
    render.out(columns.rule(render.plain(title), columns.terminal_width()))
    if not lines:
        render.out("only the last line break differs")
    for line in lines if everything else lines[:MOST_LINES]:
        render.out(_coloured(line))
    if len(lines) > MOST_LINES and not everything:
        render.out(render.dim(f"… and {len(lines) - MOST_LINES} more lines: --all shows them"))


def _coloured(line: str) -> str:
    from timelab.cli import render

    text = render.plain(line)
    if not render.is_colourful():
        return text
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(text, fg=colour) if colour else text
