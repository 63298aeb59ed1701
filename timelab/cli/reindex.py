"""`timelab reindex`: rebuild everything that is derived from the chains (style B5)."""

from __future__ import annotations

import click

from timelab.cli.options import current_repo, json_option


@click.command()
@json_option
def command(as_json: bool) -> int:
    """Rebuild notes, runs.csv, day pages, `latest` and the index from the run chains."""
    from timelab.cli import render
    from timelab.store.rebuild import reindex
    from timelab.store.recover import heal
    from timelab.views import Rebuilt

    repo = current_repo()
    heal(repo)
    count = reindex(repo)
    if as_json:
        render.emit_json(Rebuilt(count))
        return 0
    render.talk(f"timelab: rebuilt from {render.many(count, 'run')}")
    return 0
