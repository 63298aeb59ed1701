"""`timelab schema`: prints, writes or compares the JSON Schemas of everything that timelab reads and writes."""

from __future__ import annotations

from pathlib import Path

import click

from timelab.errors import DataError, UsageError


@click.command(name="schema")
@click.argument("name", required=False)
@click.option("--write", "write", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write all.")
@click.option(
    "--check",
    "compare",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Compare all; 65 if stale.",
)
def command(name: str | None, write: Path | None, compare: Path | None) -> None:
    """Print the JSON Schema called NAME; without a NAME, list the names."""
    from timelab.cli.options import start_directory
    from timelab.cli.render import lines, talk
    from timelab.schemas import DOCUMENTS, drift, schema_bytes, write_schemas

    if sum(given is not None for given in (name, write, compare)) > 1:
        raise UsageError("NAME, --write and --check exclude each other")
    if write is not None:
        changed = write_schemas(start_directory() / write)
        lines(changed)
        talk(f"timelab: {len(changed)} of {len(DOCUMENTS)} schemas written")
    elif compare is not None:
        stale = drift(start_directory() / compare)
        lines(stale)
        if stale:
            raise DataError(f"{len(stale)} schemas are stale", hint=f"timelab schema --write {compare}")
    elif name is not None:
        click.echo(schema_bytes(name.removesuffix(".json").removesuffix(".schema")).decode(), nl=False)
    else:
        lines(DOCUMENTS)
