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
    from timelab.store.rebuild import write_day

    repo = current_repo()
    if repo.root is None:
        raise UsageError("a bare repository has no work tree, and so no day folder", hint="git clone it, and go there")
    day = datetime.now(UTC).strftime("%Y/%m/%d")
    for folder in FOLDERS:
        (repo.root / day / folder).mkdir(parents=True, exist_ok=True)
    notes = repo.root / day / "knowledge" / "notes.md"
    if not notes.exists():
        notes.write_text(f"# {day.replace('/', '-')}\n")
    write_day(repo, day)
    render.out(render.plain(str(repo.root / day)))
    return 0
