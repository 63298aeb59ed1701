"""`timelab ai`: the sources' short form of `run` (A135, T1)."""

from __future__ import annotations

import click

from timelab.cli.options import current_repo, json_option


@click.command()
@click.argument("spec", metavar="SPEC")
@json_option
def command(spec: str, as_json: bool) -> int:
    """Run one spec now; `spec=path`, as `just ai spec=path` passes it, is taken as the path."""
    from timelab.cli.run import run_file

    return run_file(current_repo(), spec.removeprefix("spec="), commit_first=False, as_json=as_json)
