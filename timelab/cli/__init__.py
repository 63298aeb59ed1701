"""The command line: a table of commands, each loaded when it is called, and the one mapping of errors to exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from timelab import __version__
from timelab.errors import TimelabError, is_no_room

COMMANDS: dict[str, str] = {
    "init": "Make this repository run its specs on commit.",
    "check": "Validate specs without running them.",
    "run": "Run a spec now, or every spec without a record.",
    "status": "Say what is queued, running, held or broken.",
    "watch": "Follow queue and runs until they are done.",
    "log": "List runs, or the versions of one spec.",
    "show": "Print one run: its record, artifacts and origin.",
    "trace": "Say which run, commit and spec made a file.",
    "diff": "Set two runs side by side, by cause.",
    "verify": "Check that records agree with themselves and git.",
    "replay": "Run a record again and say why it differs, if so.",
    "sync": "Exchange records with a remote; never forced.",
    "allow": "Let specs that came from others run here.",
    "forget": "Take back a record that was not pushed yet.",
    "reindex": "Rebuild notes, runs.csv and index from the chains.",
    "doctor": "Find what is wrong with the records; --repair heals it.",
    "model": "Say which models are here, and what a spec gets.",
    "router": "Say who answers model calls, and how well.",
    "day": "Make today's folder.",
    "ai": "Run one llm spec (short form of `run`).",
    "mine": "Mine a repository's commits (not in this version).",
    "summ": "Summarise a commit (not in this version).",
    "work": "Drain the queue (the hook starts it).",
    "schema": "Print or write the JSON Schemas.",
    "config": "Show every setting and where it comes from.",
    "demo": "Try it all in a scratch repository.",
}
"""Every command with its one line, in the order of the help; each lives in `timelab/cli/<name>.py` as `command`."""

_SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start", ("init", "demo", "day")),
    ("Run", ("run", "ai", "check", "status", "watch", "allow")),
    ("Read", ("log", "show", "diff", "trace", "verify", "replay")),
    ("Models", ("model", "router")),
    ("Keep", ("sync", "forget", "reindex", "doctor")),
    ("More", ("config", "schema", "work", "mine", "summ")),
)


class LazyGroup(click.Group):
    """Loads a command's module only when it is called: `timelab --version` must stay quick (style S3)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command's module."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"timelab.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest command when there is none of that name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"no such command: {args[0]}{hint}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands by section, without importing any."""
        for title, names in _SECTIONS:
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name]) for name in names])

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """Runs a command and turns every failure into one line, a hint, and an exit code (style E3)."""
        standalone = extra.pop("standalone_mode", True)
        code = _guarded(lambda: super(LazyGroup, self).main(args, prog_name, standalone_mode=False, **extra))
        if standalone:
            sys.exit(code)
        return code


_NO_ROOM_HINT = "make room on the disk; the next timelab command finishes what was begun"


def _guarded(call: Any) -> int:
    try:
        result = call()
        # A closed pipe may only show when the last of the output leaves. There is no stdout after `>&-`.
        if sys.stdout is not None:
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except SystemExit:
        # Only click raises it, for a closed pipe, and with 1: that is silent and no failure here (style E2).
        return 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 64
    except click.ClickException as error:
        message = error.format_message().rstrip(".")
        return _say(message[:1].lower() + message[1:], _click_hint(error), 64)
    except TimelabError as error:
        return _say(error.message, _NO_ROOM_HINT if is_no_room(error) else error.hint, error.exit_code)
    except BrokenPipeError:
        # Python flushes stdout once more at exit and would complain; there is nobody left to read (style E2).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if _is_of_output(error):
            return _say(f"cannot write the output: {(error.strerror or str(error)).lower()}", None, 70)
        return _say(_os_message(error), _NO_ROOM_HINT if is_no_room(error) else None, 70)
    except Exception as error:
        from timelab.cli.report import write_report

        return _say(f"a bug in timelab: {type(error).__name__}", f"the report is in {write_report(error)}", 70)


def _os_message(error: OSError) -> str:
    what = (error.strerror or str(error)).lower()
    return f"{what}: {error.filename}" if error.filename else what


def _is_of_output(error: OSError) -> bool:
    """Says whether it is stdout that cannot be written, not a file: by who wrote, for neither has a name."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_code in (click.echo.__code__, _guarded.__code__)


def _click_hint(error: click.ClickException) -> str | None:
    ctx = getattr(error, "ctx", None)
    return f"{ctx.command_path} --help" if ctx else None


def _say(message: str, hint: str | None, code: int) -> int:
    from timelab.cli.render import plain

    click.echo(f"timelab: {plain(message)}", err=True)
    if hint:
        click.echo(f"hint: {plain(hint)}", err=True)
    return code


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="timelab", message="%(prog)s %(version)s")
@click.option("-C", "directory", type=click.Path(), default=None, metavar="DIR", help="Act as if started in DIR.")
@click.option("-v", "--verbose", count=True, help="Say more on stderr; twice for debugging.")
@click.pass_context
def cli(ctx: click.Context, directory: str | None, verbose: int) -> None:
    """Turn git history into a lab notebook.

    Write a small spec, commit it, and the commit runs it: `git notes show` then prints where every result came from.
    """
    ctx.obj = {"directory": directory}
    if verbose:
        from timelab.log import set_up

        set_up(verbose)
