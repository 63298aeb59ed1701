"""`timelab day`: make today's folder (A134, A77–A85)."""

from __future__ import annotations

import click

from timelab.cli.options import current_repo
from timelab.errors import UsageError

FOLDERS = (
    "ai-team/specs",
    "ai-team/artifacts",
    "analyzer/inputs",
    "analyzer/outputs",
    "knowledge/graph",
)


@click.command()
def command() -> int:
    """Make today's folder (UTC) with its rooms; what is there already stays as it is."""
    from datetime import UTC, datetime

    from timelab.cli import render
    from timelab.errors import StoreError
    from timelab.store.folders import has_link, is_inside
    from timelab.store.rebuild import write_day

    repo = current_repo()
    if repo.root is None:
        raise UsageError("a bare repository has no work tree, and so no day folder", hint="git clone it, and go there")
    day = datetime.now(UTC).strftime("%Y/%m/%d")
    for folder in FOLDERS:
        # A link may lead anywhere, and somebody else may have committed it.
        if not is_inside(repo.root, f"{day}/{folder}"):
            raise StoreError(f"{day}/{folder}: something is in the way that is no folder", hint="move it away")
    notes = f"{day}/knowledge/notes.md"
    if not has_link(repo.root, notes) and not (repo.root / notes).exists():
        (repo.root / notes).write_text(f"# {day.replace('/', '-')}\n")
    write_day(repo, day)
    render.out(render.path(str(repo.root / day)))
    return 0
