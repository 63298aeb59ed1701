"""Values to text for people: aligned tables, short ids, colour only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any

import click

_STYLES = {
    "ok": "green",
    "identical": "green",
    "equal": "green",
    "passed": "green",
    "failed": "red",
    "differs": "red",
    "wrong": "red",
    "cannot": "yellow",
    "unknown": "yellow",
    "timeout": "yellow",
    "interrupted": "yellow",
    "held": "yellow",
    "invalid": "magenta",
    "refused": "magenta",
    "running": "cyan",
    "queued": "cyan",
}


def is_colourful() -> bool:
    """Says whether stdout is a terminal that wants colour."""
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def plain(text: str) -> str:
    """Returns text from outside with every control character made visible: a name must not drive the terminal."""
    from timelab.redact import escape_terminal

    return escape_terminal(text)


def path(text: str) -> str:
    """Returns a path that is all of what is printed: exact for the program that reads it, harmless on a terminal."""
    return plain(text) if sys.stdout is not None and sys.stdout.isatty() else text


def word(text: str) -> str:
    """Returns a status or verdict, coloured on a terminal; the word itself carries the meaning."""
    return click.style(text, fg=_STYLES.get(text)) if is_colourful() else text


def dim(text: str) -> str:
    """Returns text in the background, on a terminal."""
    return click.style(text, dim=True) if is_colourful() else text


def bold(text: str) -> str:
    """Returns text in bold, on a terminal."""
    return click.style(text, bold=True) if is_colourful() else text


def short(identifier: str | None) -> str:
    """Returns the first eight digits of an id, `-` for none."""
    return identifier[:8] if identifier else "-"


def when(stamp: str, now: datetime | None = None) -> str:
    """Returns a UTC timestamp as people read it: today's by the clock, others by the day."""
    now = now or datetime.now(UTC)
    day, clock = stamp[:10], stamp[11:19]
    return clock if day == now.strftime("%Y-%m-%d") else f"{day} {clock[:5]}"


def duration(start: str, end: str) -> str:
    """Returns the time between two timestamps: `340 ms`, `12.4 s`, `3 min 05 s`."""
    from timelab.clock import parse_timestamp

    seconds = (parse_timestamp(end) - parse_timestamp(start)).total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def size(size_bytes: int) -> str:
    """Returns a number of bytes in the unit that fits: `812 B`, `3.4 KiB`."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def many(number: int, unit: str) -> str:
    """Returns a number and its unit: `1 run`, `3 runs`."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> list[str]:
    """Returns aligned lines; the last column is as long as it is."""
    every = [[str(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    if not every:
        return []
    widths = [max(text_width(row[at]) for row in every if at < len(row)) for at in range(max(map(len, every)))]
    lines = []
    for number, row in enumerate(every):
        cells = [cell + " " * (widths[at] - text_width(cell)) for at, cell in enumerate(row[:-1])] + [row[-1]]
        line = "  ".join(cells).rstrip()
        lines.append(dim(line) if header and number == 0 else line)
    return lines


def text_width(text: str) -> int:
    """Returns how many cells a text takes on a terminal."""
    import unicodedata

    bare = click.unstyle(text)
    if bare.isascii():
        return len(bare)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in bare
    )


def out(line: str = "") -> None:
    """Prints a line of data."""
    click.echo(line)


def talk(line: str = "") -> None:
    """Prints a line of talk, on stderr."""
    click.echo(line, err=True)


def lines(every: Iterable[str]) -> None:
    """Prints lines of data."""
    for line in every:
        click.echo(line)


def emit_json(value: Any) -> None:
    """Prints a view, or a list of views, as JSON in ASCII: no sign in it drives a terminal, and it is always UTF-8."""
    click.echo(json.dumps(_as_json(value), indent=2))


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _as_json(asdict(value))
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return value
