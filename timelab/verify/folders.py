"""Step 9: a run's folder, where there is one, holds exactly the chain's bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from timelab.canonical import sha256_bytes
from timelab.errors import DataError
from timelab.git.raw import RawObjects
from timelab.store.layout import RUN_FILE, RUN_FOLDER
from timelab.verify.entries import FileFacts
from timelab.verify.ledger import FOLDER, Ledger, span
from timelab.verify.notes import difference_range
from timelab.verify.records import Record

REPAIR = "timelab doctor --repair restores the folder from the chain"
_ROOMS = ("ai-team/artifacts", "analyzer/outputs")
_RECORDED = ("input", "output", "logs")


class FolderChecker:
    """Compares run folders of one work tree with the chain."""

    def __init__(self, root: Path, raw: RawObjects, ledger: Ledger) -> None:
        self._root = root
        self._raw = raw
        self._ledger = ledger

    def check(self, record: Record) -> None:
        """Compares one folder; one that is missing is absent, and no error."""
        folder = self._root / record.folder
        self._ledger.checked(FOLDER)
        if not os.path.lexists(folder):
            self._ledger.absent(FOLDER)
            return
        if folder.is_symlink() or not folder.is_dir():
            self._ledger.wrong(FOLDER, record.run_id, record.folder, "is not a folder", REPAIR)
            return
        found = dict(_list(str(folder)))
        for path, facts in record.entry.files.items():
            mode = found.pop(path, None)
            place = f"{record.folder}/{path}"
            if mode is None:
                self._ledger.wrong(FOLDER, record.run_id, place, "is missing", REPAIR)
            elif not stat.S_ISREG(mode):
                self._ledger.wrong(FOLDER, record.run_id, place, "is not a regular file", REPAIR)
            else:
                self._bytes(record, path, facts)
        # What the chain has and could not be read was said in step 1.
        for path in sorted(found) if record.entry.is_whole else ():
            place = f"{record.folder}/{path}"
            if path.partition("/")[0] in _RECORDED:
                # It would pass for something that the run was given or made.
                self._ledger.wrong(FOLDER, record.run_id, place, "is not in the record: move it elsewhere")
            else:
                self._ledger.warn(FOLDER, record.run_id, place, "is beside the record, which does not hold it")

    def _bytes(self, record: Record, path: str, facts: FileFacts) -> None:
        place = f"{record.folder}/{path}"
        try:
            data = (self._root / place).read_bytes()
        except OSError as error:
            self._ledger.wrong(FOLDER, record.run_id, place, f"cannot be read: {error.strerror}", REPAIR)
            return
        if len(data) == facts.size_bytes and sha256_bytes(data) == facts.sha256:
            return
        try:
            start, end = difference_range(data, self._raw.blob(facts.blob))
        except DataError:
            start, end = 0, len(data)
        sizes = "" if len(data) == facts.size_bytes else f": it has {len(data)} bytes, not {facts.size_bytes}"
        self._ledger.wrong(
            FOLDER, record.run_id, f"{place} {span(start, end)}", "differs from the chain" + sizes, REPAIR
        )


def _list(folder: str) -> Iterator[tuple[str, int]]:
    """Yields (path, mode) of everything below a folder that is not itself a folder; links are not followed."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(f"{folder}/{prefix}") as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{item.name}/")
                else:
                    yield prefix + item.name, item.stat(follow_symlinks=False).st_mode


def run_folders(root: Path) -> Iterator[str]:
    """Yields the folders of a work tree that are, by place and name, run folders with a run.json; relative."""
    for day in sorted(root.glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]")):
        for room in _ROOMS:
            place = day / room
            if not place.is_dir() or place.is_symlink():
                continue
            with os.scandir(place) as listing:
                for name in sorted(item.name for item in listing if item.is_dir(follow_symlinks=False)):
                    relative = f"{day.relative_to(root).as_posix()}/{room}/{name}"
                    if RUN_FOLDER.fullmatch(relative) and os.path.lexists(place / name / RUN_FILE):
                        yield relative
