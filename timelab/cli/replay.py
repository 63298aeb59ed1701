"""`timelab replay`: run a record again, and say why if something else comes out."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from timelab.cli.options import current_repo, json_option, repo_path

if TYPE_CHECKING:
    from timelab.diff import Change, FileDiff
    from timelab.git.repo import Repo
    from timelab.replay import Changed
    from timelab.store.reader import StoredRun
    from timelab.views import ReplayReport

MOST_ARTIFACTS = 40


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--at", metavar="COMMIT", help="Take spec, code, locks and inputs as of COMMIT.")
@click.option("--model", metavar="PROVIDER:NAME", help="Ask this model instead of the recorded one.")
@click.option("--recorded", is_flag=True, help="Ask no model: give the record's own answers to the same requests.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a sampling parameter, such as seed=7.")
@json_option
def command(
    runs: tuple[str, ...], at: str | None, model: str | None, recorded: bool, settings: tuple[str, ...], as_json: bool
) -> int:
    """Run the recorded spec at the recorded commit in the recorded shell, and compare artifact by artifact.

    Each artifact is `identical`, `equal` (JSON keys in another order, floats within 1e-9), `differs`, `missing` or
    `new`; the verdict is `cannot` when a part of the record is not here. A replay is itself a run.

    It is held to the level that the record claims: `exact` wants `identical`, `same-text` also takes `equal`; with
    `none` the outputs may differ, as long as nothing changed that explains it and the run ends as it did.

    With `--recorded` the answers themselves are not put to the test: what is made of them is, and that the run would
    ask the same.

    \b
    Exit code: 0 what the record claims came out, 65 it did not, or cannot be had.
    """
    from timelab.cli import render
    from timelab.cli.progress import Progress
    from timelab.cli.services import services_for
    from timelab.errors import ReplayDiffers
    from timelab.replay import Changed, replay

    repo = current_repo()
    changed = Changed(at=at, model=model, recorded=recorded, params=_parsed(settings))
    services, progress = services_for(repo), Progress()
    reports: list[ReplayReport] = []
    for stored in _chosen(repo, runs):
        try:
            report = replay(
                repo,
                stored,
                services,
                changed=changed,
                progress=partial(progress, f"replay {stored.run_id[:8]}"),
            )
        finally:
            progress.clear()
        if not as_json:
            if reports:
                render.out()
            _print(stored, report, changed)
        reports.append(report)
    if as_json:
        render.emit_json(reports)
    return 0 if all(report.ok for report in reports) else ReplayDiffers.exit_code


def _chosen(repo: Repo, names: tuple[str, ...]) -> list[StoredRun]:
    """Returns the runs that the names stand for, each once, before any of them is run."""
    from timelab.plan import is_spec_path
    from timelab.store.reader import find_all

    chosen: dict[str, StoredRun] = {}
    for name in names:
        path = repo_path(repo, name)
        for stored in find_all(repo, path if path is not None and is_spec_path(path) else name):
            chosen.setdefault(stored.run_id, stored)
    return list(chosen.values())


def _parsed(settings: tuple[str, ...]) -> dict[str, Any] | None:
    """Returns `key=value` settings; a value is JSON where it can be read so, else text."""
    found: dict[str, Any] = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not key or not sign:
            raise click.UsageError(f"--set wants KEY=VALUE, not {setting!r}")
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found or None


def _print(stored: StoredRun, report: ReplayReport, changed: Changed) -> None:
    from timelab.cli import render
    from timelab.replay import FROM_RECORD

    manifest = stored.manifest()
    as_run = f" as {render.short(report.replay_id)}" if report.replay_id else ""
    what = f"replay of {render.short(report.run_id)} {render.plain(manifest.name)}{as_run}"
    render.out(f"{render.bold(what)}  {render.word(report.verdict)}")
    if report.missing:
        render.out(f"  missing: {render.plain(report.missing)}")
        return
    if changed.recorded:
        render.out(f"  {FROM_RECORD}")
    for outcome in report.outcome:
        render.out(f"  {outcome.what}: {render.plain(outcome.before)} → {render.plain(outcome.after)}")
    rows = [(f"  {render.plain(item.path)}", render.word(item.verdict)) for item in report.artifacts]
    render.lines(render.table(rows[:MOST_ARTIFACTS]))
    if len(rows) > MOST_ARTIFACTS:
        render.out(f"  … and {len(rows) - MOST_ARTIFACTS} more: --json lists all")
    if not rows:
        render.out("  no outputs to compare: status and exit code are what they were" if report.ok else "  no outputs")
    if report.cause is not None:
        _print_cause(report)
    elif report.causes and changed.at is None:
        render.out(render.dim(f"  although changed: {', '.join(report.causes)}"))


def _print_cause(report: ReplayReport) -> None:
    from timelab.cli import render

    others = [cause for cause in report.causes if cause != report.cause]
    more = f" (also changed: {', '.join(others)})" if others else ""
    render.out(f"  cause: {render.bold(report.cause or '')}{more}")
    for change in report.changes:
        if change.cause == report.cause:
            render.out(f"    {change_line(change)}")
    if report.cause == "nondeterminism":
        why = "; ".join(report.reasons)
        claim = f"the record claims {report.held_to}" + (f": {why}" if why else "")
        held = ", so this is no failure" if report.ok else ""
        render.out(f"    spec, code, inputs, shell, model and parameters are equal; {render.plain(claim)}{held}")
    first = next((item for item in report.artifacts if item.first is not None), None)
    if first is not None:
        print_first(first)


def change_line(change: Change, width: int = 160) -> str:
    """Returns a change as `what: before → after`, each side cut so that both fit."""
    from timelab.cli import render

    room = max(16, (width - len(change.what) - 5) // 2)
    before, after = (render.plain(_short(side, room)) for side in (change.before, change.after))
    return f"{render.plain(change.what)}: {before} → {after}"


def _short(side: str | None, room: int) -> str:
    if side is None:
        return "none"
    if re.fullmatch(r"[0-9a-f]{40,64}", side):
        return side[:12]
    if re.fullmatch(r"sha256:[0-9a-f]{64}", side):
        return side[:19]
    text = " ".join(side.split())
    return text if len(text) <= room else text[: room - 1] + "…"


def print_first(item: FileDiff) -> None:
    """Prints the first place where two files part, both sides escaped."""
    from timelab.cli import render

    if item.first is None:
        return
    place = f"byte {item.first.byte}" if item.first.line is None else f"line {item.first.line}"
    render.out(f"  first difference: {render.plain(item.path)}, {place}")
    render.out(f"    - {render.plain(item.first.before)}")
    render.out(f"    + {render.plain(item.first.after)}")
