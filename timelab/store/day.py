"""What stands beside the run folders for people: the day's README, and `latest` at the root (A78, A88)."""

from __future__ import annotations

import logging
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from timelab.store.folders import replace_file
from timelab.store.index import Index
from timelab.store.layout import DAY_GLOB, DAY_README, LATEST, RUN_FOLDER, RUNS_CSV
from timelab.store.rows import RunRow

if TYPE_CHECKING:
    from timelab.git.repo import Repo

logger = logging.getLogger(__name__)

BEGIN = b"<!-- timelab:begin: written by timelab, write above or below -->"
END = b"<!-- timelab:end -->"
_BEGIN_MARK, _END_MARK = b"<!-- timelab:begin", b"<!-- timelab:end"
_NEWEST = 20
_LOOKED_AT = 1_000
_EXCLUDED = (f"/{LATEST}", f"/{DAY_GLOB}/{RUNS_CSV}", f"/{DAY_GLOB}/{DAY_README}")
_EXCLUDE_HEAD = "# timelab: derived files, rebuilt by `timelab reindex`; `git add -f` makes them yours"


def update_readme(index: Index, root: Path, day: str, *, room: Path, create: bool = False) -> None:
    """Writes the generated part of the day's README and keeps every other byte; a link or a folder is left alone.

    A day without runs gets one only with `create`.
    """
    path = root / day / DAY_README
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return
    date = day.replace("/", "-")
    old = path.read_bytes() if path.exists() else f"# {date}\n".encode()
    counts = index.day_counts(date)
    if not counts and not create and _BEGIN_MARK not in old:
        return
    part = generated_part(counts, index.select(date=date, limit=_NEWEST), day)
    new = splice(old, part)
    if new is None:
        logger.warning("%s/%s: the timelab:begin and timelab:end marks do not pair; left as it is", day, DAY_README)
    elif new != old or not path.exists():
        replace_file(path, new, room=room)


def generated_part(counts: dict[str, int], newest: list[RunRow], day: str) -> bytes:
    """Returns the part between the marks, marks included: counts, and a table of the newest runs."""
    total = sum(counts.values())
    parts = ", ".join(f"{number} {_escape(status)}" for status, number in counts.items())
    lines = [
        f"{total} run{'' if total == 1 else 's'}"
        + (f": {parts}. All are in [{RUNS_CSV}]({RUNS_CSV})." if total else ".")
    ]
    if newest:
        lines += ["", "| start (UTC) | status | spec | run |", "| --- | --- | --- | --- |"]
    for row in newest:
        name = row.artifacts_path.rpartition("/")[2]
        link = f"[{_escape(name)}]({row.artifacts_path.removeprefix(day + '/')}/)"
        lines.append(f"| {row.timestamp_start[11:19]} | {_escape(row.status)} | {_escape(row.spec_path)} | {link} |")
    if total > len(newest):
        lines += ["", f"… and {total - len(newest)} before these."]
    return b"\n".join([BEGIN, "\n".join(lines).encode(), END])


def splice(old: bytes, part: bytes) -> bytes | None:
    """Returns a README with its generated part replaced, or added at the end; None when the marks do not pair."""
    begin, end = old.find(_BEGIN_MARK), old.find(_END_MARK)
    if begin < 0 and end < 0:
        gap = b"" if not old else b"\n" if old.endswith(b"\n") else b"\n\n"
        return old + gap + part + b"\n"
    close = old.find(b"-->", end)
    if begin < 0 or end < begin or close < 0:
        return None
    return old[:begin] + part + old[close + 3 :]


def _escape(text: str) -> str:
    """Returns text that markdown and HTML take for nothing but text."""
    plain = "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", plain)


def point_latest(index: Index, root: Path, *, room: Path) -> None:
    """Makes `latest` at the root a link to the newest run folder that is there; anything not ours is left alone."""
    path = root / LATEST
    current = str(path.readlink()) if path.is_symlink() else None
    if current is None and os.path.lexists(path):
        return
    if current is not None and not RUN_FOLDER.fullmatch(current):
        return
    target = next((name for name in index.newest_folders(1) if _is_folder(root / name)), None)
    if target is None:
        # Runs that came from other clones have no folder here.
        target = next((name for name in index.newest_folders(_LOOKED_AT) if _is_folder(root / name)), None)
    if target is None:
        if current is not None and not _is_folder(root / current):
            path.unlink()
        return
    if target != current:
        _replace_link(path, target, room)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _replace_link(path: Path, target: str, room: Path) -> None:
    for folder in (room, path.parent):
        temporary = folder / f".{LATEST}.{secrets.token_hex(4)}.tmp"
        temporary.symlink_to(target)
        try:
            temporary.replace(path)
            return
        except OSError:
            # The work tree may lie on another file system than the git dir: then beside it.
            temporary.unlink()
            if folder == path.parent:
                raise


def exclude_derived(repo: Repo) -> None:
    """Adds the derived files to `info/exclude`, once; a file that git tracks is not affected by that."""
    path = repo.common_dir / "info" / "exclude"
    old = path.read_bytes() if path.is_file() else b""
    missing = [pattern for pattern in _EXCLUDED if pattern.encode() not in old.splitlines()]
    if not missing:
        return
    path.parent.mkdir(exist_ok=True)
    gap = b"" if not old or old.endswith(b"\n") else b"\n"
    block = "\n".join([_EXCLUDE_HEAD, *missing]) + "\n"
    # Appended, as people do: the file may be a link to one that they share.
    with path.open("ab") as stream:
        stream.write(gap + block.encode())
