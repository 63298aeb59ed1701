"""`timelab run`: do a spec now, or every spec version that has no record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, repo_path
from timelab.errors import SpecError, UsageError

if TYPE_CHECKING:
    from timelab.git.repo import Repo
    from timelab.names import RepoPath
    from timelab.pending import Outcome
    from timelab.store.reader import StoredRun

SUFFIXES = ("json", "yaml", "yml", "toml")
LAST_LINES, LAST_BYTES = 6, 4_096
"""How much of a failed task's stderr is shown."""


@click.command()
@click.argument("file", required=False, metavar="[FILE | RANGE]")
@click.option("--pending", is_flag=True, help="Run every allowed spec version without a record (of RANGE, if given).")
@click.option("--retry", is_flag=True, help="With --pending: also those whose runs all failed.")
@click.option("--commit", "commit_first", is_flag=True, help="Commit FILE first, so that the record names a commit.")
@click.option("--wait/--no-wait", default=True, hidden=True)
@json_option
def command(file: str | None, pending: bool, retry: bool, commit_first: bool, wait: bool, as_json: bool) -> int:
    """Run the spec FILE now, on today's code.

    An uncommitted spec works too: the record then says `dirty` and keeps the spec's bytes. Naming a file is consent;
    --pending runs only what is allowed (see `timelab allow`).

    \b
    Exit code: 0 ok, 65 the spec is wrong, 70 the run failed.
    """
    repo = current_repo()
    from timelab.interrupts import stop_on_signals
    from timelab.store.recover import heal

    stop_on_signals()
    heal(repo)
    if pending:
        return _run_pending(repo, file, retry, as_json)
    if file is None:
        raise click.UsageError("name a spec file, or say --pending")
    if retry:
        raise click.UsageError("--retry goes with --pending")
    return run_file(repo, file, commit_first=commit_first, as_json=as_json)


def run_file(repo: Repo, file: str, *, commit_first: bool, as_json: bool) -> int:
    """Runs one spec file of the work tree, prints its outcome, and returns the exit code."""
    from timelab.cli.progress import Progress
    from timelab.cli.services import services_for
    from timelab.git import history
    from timelab.git.dirty import commit_file, overlay_for
    from timelab.names import RepoPath
    from timelab.run import RunRequest, exit_code_of, run_spec

    path = repo_path(repo, file)
    if path is None:
        raise click.UsageError(f"{file} is outside of the repository")
    if repo.root is not None and not os.path.lexists(repo.root / path):
        raise UsageError(f"no such file: {path}", hint=_nearest(repo.root / path, file))
    if repo.root is not None and (repo.root / path).is_dir():
        raise UsageError(f"{file or '.'} is a folder", hint="name a spec in it, or say --pending")
    name = RepoPath(path)
    if path.rpartition(".")[2].lower() not in SUFFIXES:
        # A slip of the fingers must not become a record that stays.
        raise UsageError(f"{path} is no spec", hint="a spec ends in .yaml, .yml, .json or .toml")
    services = services_for(repo)
    if commit_first:
        _check_first(repo, name)
        commit_file(repo, name)
    head = history.head(repo)
    overlay = overlay_for(repo, name, head, services.load_spec)
    progress = Progress()
    progress.name(name)
    request = RunRequest(
        spec_path=name,
        commit=head,
        overlay=overlay or None,
        progress=lambda done, total: progress(name, done, total),
        stream=progress.stream,
    )
    try:
        stored = run_spec(repo, request, services)
    finally:
        progress.clear()
    _print_stored(stored, as_json)
    manifest = stored.manifest()
    return exit_code_of(manifest.status, manifest.error.slug if manifest.error else None)


def _check_first(repo: Repo, path: RepoPath) -> None:
    """Judges a file that is about to be committed, as `check --staged` does: with it the commit holds HEAD's files.

    Raises:
        SpecError: what is wrong with it; nothing was staged.
    """
    from timelab.check import Tree, check_secrets, check_spec, check_staged_paths
    from timelab.cli.check import judges
    from timelab.git import history
    from timelab.git.dirty import read_regular
    from timelab.git.repo import commit_state

    if repo.root is None:
        raise UsageError("a bare repository has no files to commit", hint="timelab run --pending RANGE")
    data = read_regular(repo.root, path)
    head = history.head(repo)
    if commit_state(repo, head).read(path) == data:
        return
    state = commit_state(repo, head, overlay={path: data})
    tree = Tree(state.paths, lambda name: state.read(name) is not None, state.read)
    problems = check_staged_paths((path,), state.paths) + check_secrets(data, path)
    problems += check_spec(data, path, tree, judges(), given_by_hand=True).problems
    if problems:
        raise SpecError.of(problems)


def _nearest(missing: Path, given: str) -> str:
    """Returns a hint: the file beside a missing one whose name is nearest to its own."""
    import difflib

    try:
        names = [path.name for path in missing.parent.iterdir() if path.is_file()]
    except OSError:
        names = []
    near = difflib.get_close_matches(missing.name, names, n=1)
    return f"did you mean {given.removesuffix(missing.name)}{near[0]}?" if near else "timelab run --help"


def _print_stored(stored: StoredRun, as_json: bool) -> None:
    from timelab.cli import render
    from timelab.manifest import Status

    manifest = stored.manifest()
    if as_json:
        from timelab.views import Ran

        folder = str(stored.folder) if stored.folder is not None else None
        render.emit_json(Ran(run_id=manifest.run_id, status=manifest.status.value, folder=folder))
        return
    took = render.duration(manifest.timestamp_start, manifest.timestamp_end)
    status = render.word(manifest.status.value)
    render.talk(f"timelab: {render.short(manifest.run_id)} {render.plain(manifest.name)} {status} in {took}")
    if manifest.error is not None:
        render.talk(f"timelab: {manifest.error.slug}: {render.plain(manifest.error.message)}")
    if manifest.status is not Status.OK and stored.folder is not None:
        print_complaint(stored.folder)
        render.out(render.plain(str(stored.folder)))
        return
    print_artifacts(stored.folder, [artifact.path for artifact in manifest.artifacts])


def print_complaint(folder: Path) -> None:
    """Prints the end of what a failed task said on stderr: where most people look first."""
    from timelab.cli import render

    for line in last_words(folder):
        render.talk(f"  {render.plain(line)}")


def last_words(folder: Path) -> list[str]:
    """Returns the last lines of a run's `logs/stderr.txt`, from its folder; none where there is no such file."""
    try:
        with (folder / "logs/stderr.txt").open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - LAST_BYTES))
            return stream.read().decode("utf-8", "replace").splitlines()[-LAST_LINES:]
    except OSError:
        return []


def print_artifacts(folder: Path | None, paths: list[str]) -> None:
    """Prints the absolute paths of a run's results (A150): its outputs, else its folder."""
    from timelab.cli import render

    if folder is None:
        render.talk("timelab: a bare repository has no folders; see `timelab show`")
        return
    outputs = [path for path in paths if path.startswith("output/")]
    for path in outputs or ["run.json"]:
        render.out(render.plain(str(folder / path)))


def _run_pending(repo: Repo, range_: str | None, retry: bool, as_json: bool) -> int:
    from timelab.cli import render
    from timelab.cli.progress import Progress
    from timelab.cli.services import services_for
    from timelab.pending import pending, reconcile

    services = services_for(repo)
    found = pending(repo, services, range_)
    progress = Progress()
    outcomes = []
    for outcome in reconcile(repo, services, found, retry=retry, progress=progress):
        progress.clear()
        outcomes.append(outcome)
        if not as_json and outcome.what != "ran-before":
            print_outcome(outcome)
    if as_json:
        render.emit_json(outcomes)
    elif not any(outcome.what != "ran-before" for outcome in outcomes):
        have = "has" if len(outcomes) == 1 else "have"
        render.talk(f"timelab: nothing to run, {render.many(len(outcomes), 'spec version')} {have} a record")
    elif not retry and any(each.what == "ran" and each.status not in ("ok", "invalid") for each in outcomes):
        again = "timelab run --pending --retry" + (f" {range_}" if range_ else "")
        render.talk(f"hint: to run again what failed: {render.plain(again)}")
    return worst_code(outcomes)


def print_outcome(outcome: Outcome) -> None:
    """Prints what became of one spec version: one line of talk, and absolute paths of results as data."""
    from timelab.cli import render

    path = render.plain(outcome.path)
    if outcome.what == "ran":
        status = render.word(outcome.status or "")
        reason = f": {render.plain(outcome.reason)}" if outcome.reason else ""
        render.talk(f"timelab: {render.short(outcome.run_id)} {path} {status}{reason}")
        if outcome.folder:
            if outcome.status != "ok":
                print_complaint(Path(outcome.folder))
            render.out(render.plain(outcome.folder))
        return
    label = render.word("held") if outcome.what == "held" else outcome.what
    render.talk(f"timelab: {path + ' ' if path else ''}{label}: {render.plain(outcome.reason or '')}")


def worst_code(outcomes: list[Outcome]) -> int:
    """Returns the exit code for several runs: 0 if all are ok, else the largest of what each would end with."""
    from timelab.manifest import Status
    from timelab.run import exit_code_of

    codes = [
        exit_code_of(Status(each.status), each.error_slug) for each in outcomes if each.what == "ran" and each.status
    ]
    codes += [70 for each in outcomes if each.what in ("failed", "postponed")]
    return max(codes, default=0)
