"""`timelab init`: make this repository run its specs on commit, or take that back."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from timelab.cli.options import current_repo, settings_of


@click.command()
@click.option("--undo", is_flag=True, help="Take it all back; records stay, and are listed.")
def command(undo: bool) -> int:
    """Make this repository run its specs on commit.

    Installs hooks beside those that are here, makes `git notes show` print the records, and trusts what HEAD holds.
    Nothing tracked is changed. A second call changes nothing.
    """
    from timelab import setup
    from timelab.cli import render

    repo = current_repo()
    if undo:
        said = setup.undo(repo, environ=os.environ)
        render.lines(render.plain(line) for line in said or ["nothing to undo"])
        left = setup.remains(repo)
        if left:
            render.talk("what stays, and what would remove it, typed at the root:")
        for what, command_line in left:
            render.talk(f"  {render.plain(what)}")
            render.talk(f"    {render.plain(command_line)}")
        return 0
    said = setup.set_up(repo, program(), settings=settings_of(repo), environ=os.environ)
    render.lines(render.plain(line) for line in said)
    pin = next((line.rpartition(": ")[2] for line in said if line.startswith("shell: wrote")), None)
    if repo.root is None:
        render.talk("next: timelab log")
    elif pin is not None:
        render.talk(f'next: {pin} && git commit -m "pin the shell", then write a spec and commit it')
    else:
        render.talk("next: write a spec to specs/NAME.yaml and commit it")
    return 0


def program() -> Path:
    """Returns the absolute path of the timelab program that the hooks are to start; links are kept as they are.

    Raises:
        UsageError: there is none, only this Python.
    """
    from timelab.errors import UsageError

    started = Path(sys.argv[0])
    beside = Path(sys.executable).parent / "timelab"
    found = shutil.which("timelab")
    for path in (started if started.name == "timelab" else None, beside, Path(found) if found else None):
        if path is not None and path.is_file() and os.access(path, os.X_OK):
            return path.absolute()
    raise UsageError("the timelab program is not installed, only its package", hint="pip install timelab")
