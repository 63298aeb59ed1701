"""`timelab mine`: stands in the help so that nobody looks for it in vain."""

from __future__ import annotations

import click

from timelab.errors import MissingExtra


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def command() -> int:
    """Say that mining is not in this version."""
    raise MissingExtra("mine is not in this version of timelab", hint="git log --numstat shows the raw facts meanwhile")
