"""`timelab config`: shows every setting and where its value comes from."""

from __future__ import annotations

import click

from timelab.cli.options import current_repo, json_option, settings_of
from timelab.errors import NotARepository


@click.command(name="config")
@json_option
def command(as_json: bool) -> None:
    """Show every setting in force and where it comes from.

    From weak to strong: the default, ~/.config/timelab/config.toml, the repository's timelab.toml or [tool.timelab] in
    pyproject.toml, git config timelab.*, the environment. Outside a repository only the user's own are shown.
    """
    import os

    from timelab.cli.render import dim, emit_json, lines, plain, table
    from timelab.config import load_settings, shown_settings

    try:
        settings = settings_of(current_repo())
    except NotARepository:
        settings = load_settings(repo_toml=None, pyproject=None, git_config={}, environ=os.environ)
    shown = shown_settings(settings)
    if as_json:
        emit_json(shown)
        return
    lines(table([(each.name, plain(each.text), dim(each.origin)) for each in shown], ("setting", "value", "from")))
