"""`timelab forget`: take back a record that was not pushed yet."""

from __future__ import annotations

import click

from timelab.cli.options import current_repo, json_option
from timelab.errors import UsageError


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(run: str, yes: bool, as_json: bool) -> int:
    """Take RUN out of this clone's chain, notes and folders; a tombstone says that something stood there.

    Only a record that no remote has yet can be taken back.
    """
    from timelab.cli import render
    from timelab.store import writer
    from timelab.store.reader import find
    from timelab.views import Forgotten

    repo = current_repo()
    stored = find(repo, run)
    manifest = stored.manifest()
    title = f"{manifest.run_id[:8]} {render.plain(manifest.name)} ({manifest.status.value}, {manifest.timestamp_start})"
    is_sure = yes or _is_sure(title)
    if is_sure:
        writer.forget(repo, stored)
    if as_json:
        status, start = manifest.status.value, manifest.timestamp_start
        render.emit_json(Forgotten(manifest.run_id, manifest.name, status, start, is_sure))
    else:
        render.talk(f"timelab: forgot {title}" if is_sure else "timelab: nothing was forgotten")
    return 0


def _is_sure(title: str) -> bool:
    try:
        return click.confirm(f"Forget run {title}?", err=True)
    except click.Abort as error:
        # click turns the end of the input and Ctrl-C into the same exception.
        if not isinstance(error.__context__, EOFError):
            raise
        raise UsageError("nobody is here to ask", hint="timelab forget RUN --yes") from error
