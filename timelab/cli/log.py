"""`timelab log`: list runs, or the versions of one spec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, repo_path

if TYPE_CHECKING:
    from timelab.store.index import Index, RunRow
    from timelab.versions import SpecVersion

DEFAULT_LIMIT = 30
MOST = 1_000_000_000
STATUSES = ("ok", "failed", "timeout", "interrupted", "invalid", "refused")
"""Those of `manifest.Status` that are recorded; a test compares them. Importing it would cost pydantic."""

_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?", re.ASCII)
HEADER = ("RUN", "STARTED", "TOOK", "STATUS", "NAME", "COMMIT", "WHAT")


@click.command()
@click.argument("spec", required=False, metavar="[SPEC]")
@click.option(
    "-n", "limit", type=click.IntRange(1, MOST), default=None, help=f"How many runs; {DEFAULT_LIMIT} if not said."
)
@click.option("--all", "everything", is_flag=True, help="Every run, however many.")
@click.option("--status", type=click.Choice(STATUSES), metavar="STATUS", help="Only runs with this status.")
@click.option("--kind", help="Only tasks of this kind.")
@click.option("--model", help="Only runs that this model answered.")
@click.option("--date", metavar="YYYY[-MM[-DD]]", help="Only runs that started in that year, month or day (UTC).")
@click.option("--commit", "commit", metavar="COMMIT", help="Only runs of this commit.")
@click.option("--same-as", metavar="RUN", help="Only runs of equal inputs, at other times (equal run_key).")
@json_option
def command(spec: str | None, as_json: bool, limit: int | None, everything: bool, **wanted: str | None) -> int:
    """List runs, newest first; with the path of a SPEC, every version of it, its runs, and what changed."""
    from timelab.cli import render
    from timelab.store.index import open_index

    repo = current_repo()
    for name in ("kind", "model"):
        _check_text(name, wanted[name])
    if spec is not None:
        return _versions(spec, as_json)
    most = None if everything else (limit or DEFAULT_LIMIT)
    with open_index(repo) as index:
        filters = {
            "status": wanted["status"],
            "kind": wanted["kind"],
            "model": wanted["model"],
            "date": _date(wanted["date"]),
            "commit": _commit(wanted["commit"]),
            "same_as": _run_key(index, wanted["same_as"]),
        }
        rows = index.select(limit=most, **filters)
        total = index.count(**filters) if most is not None and len(rows) == most else len(rows)
    if as_json:
        render.emit_json(rows)
        return 0
    if not rows and any(value is not None for value in wanted.values()):
        render.talk("timelab: no run is like that")
        return 0
    if not rows:
        render.talk("timelab: no runs here yet; commit a spec, or fetch records with `timelab sync`")
        return 0
    render.lines(render.table([_row(row) for row in rows], HEADER))
    if total > len(rows):
        render.talk(f"… and {total - len(rows)} more: timelab log --all")
    return 0


def _check_text(name: str, value: str | None) -> None:
    try:
        (value or "").encode()
    except UnicodeEncodeError as error:
        raise click.UsageError(f"--{name} wants text in UTF-8, not {value!r}") from error


def _date(text: str | None) -> str | None:
    if text is not None and not _DATE.fullmatch(text):
        raise click.UsageError(f"--date wants YYYY, YYYY-MM or YYYY-MM-DD, not {text!r}")
    return text


def _commit(name: str | None) -> str | None:
    from timelab.git.repo import resolve

    return resolve(current_repo(), name) if name is not None else None


def _run_key(index: Index, name: str | None) -> str | None:
    from timelab.store.reader import find

    row = index.get(find(current_repo(), name).run_id) if name is not None else None
    return row.run_key if row is not None else None


def _row(row: RunRow) -> tuple[str, ...]:
    from timelab.cli import render

    what = render.plain(row.model or row.kind)
    if row.replay_of:
        what += f", replay of {row.replay_of[:8]}"
    if row.dirty:
        what += ", dirty"
    if row.error_slug:
        what += f": {row.error_slug}"
    return (
        render.short(row.run_id),
        render.when(row.timestamp_start),
        render.duration(row.timestamp_start, row.timestamp_end),
        render.word(row.status),
        render.plain(row.name),
        render.short(row.git_sha),
        what,
    )


def _versions(spec: str, as_json: bool) -> int:
    from timelab.cli import render
    from timelab.errors import NotFound, UsageError
    from timelab.versions import spec_versions

    repo = current_repo()
    path = repo_path(repo, spec) or spec
    if repo.root is not None and (repo.root / path).is_dir():
        raise UsageError(f"{spec or '.'} is a folder", hint="timelab log lists all runs; name a spec for its versions")
    versions = spec_versions(repo, path)
    if not versions:
        raise NotFound(f"no spec was ever at {path}", hint="timelab log lists all runs")
    if as_json:
        render.emit_json(versions)
        return 0
    for number, version in enumerate(versions):
        if number:
            render.out()
        _print_version(version, path)
    return 0


def _print_version(version: SpecVersion, path: str) -> None:
    from timelab.cli import render

    place = f" {render.plain(version.path)}" if version.path != path else ""
    if version.commit is None:
        head = "(not committed)"
    else:
        head = f"{version.commit[:8]}  {render.when(version.committed_at or '')}  {render.plain(version.subject or '')}"
    render.out(render.bold(head) + place)
    for line in version.changes:
        render.out(f"  {render.plain(line)}")
    for row in version.runs:
        took = render.duration(row.timestamp_start, row.timestamp_end)
        replay = f"  replay of {row.replay_of[:8]}" if row.replay_of else ""
        status = render.word(row.status)
        facts = f"{took}  {render.plain(row.model or row.kind)}  on {render.short(row.git_sha)}{replay}"
        render.out(f"  {render.short(row.run_id)}  {status}  {facts}")
    if not version.runs and version.changes[0:1] != ("only comments or layout",):
        render.out(render.dim("  no run of its own"))
