"""Puts run folders into the work tree and takes them away again, without ever touching what is not ours."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from timelab.errors import StoreError
from timelab.store.layout import RUN_FILE, RUNNING_FILE

_TEMPORARY = ".tmp"
_REPLACEMENT = re.compile(r"\.[0-9a-f]{16}\.tmp")


def normalise(folder: Path) -> None:
    """Gives files mode 0644 or 0755 and folders 0755, as git keeps them: a restored folder is then an equal one."""
    for at, folders, files in os.walk(folder):
        for name in files:
            path = Path(at, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                wanted = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
                if stat.S_IMODE(status.st_mode) != wanted:
                    path.chmod(wanted)
        for name in folders:
            path = Path(at, name)
            if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) != 0o755:
                path.chmod(0o755)


def place(root: Path, relative: str, *, staging: Path | None, export: Callable[[Path], None], run_json: bytes) -> bool:
    """Puts a run folder at its place; False when it stood there already.

    Args:
        root: the work tree.
        relative: the folder, from the root.
        staging: moved there if it is still there.
        export: writes the files into a folder, when there is no staging.
        run_json: the bytes by which a folder that stands there already is known to be the same run's.

    Raises:
        StoreError: slug `folder-refused` when something else stands there, or a link is on the way.
        OSError: the file system refuses.
    """
    target = _checked_parent(root, relative) / relative.rpartition("/")[2]
    if os.path.lexists(target):
        if not target.is_symlink() and is_run(target, run_json):
            return False
        raise _refused(relative, "something else stands there")
    if staging is not None and staging.is_dir():
        staging.joinpath(RUNNING_FILE).unlink(missing_ok=True)
        try:
            staging.rename(target)
            return True
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        with _beside(target) as temporary:
            shutil.copytree(staging, temporary, dirs_exist_ok=True)
        return True
    with _beside(target) as temporary:
        export(temporary)
    return True


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Lends a folder beside `target` that takes its name at the end; what a crash left there before is removed.

    Its name is always the same, which the store lock allows.
    """
    temporary = target.with_name(f".{target.name}{_TEMPORARY}")
    try:
        temporary.mkdir()
    except FileExistsError:
        shutil.rmtree(temporary)
        temporary.mkdir()
    try:
        yield temporary
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _checked_parent(root: Path, relative: str) -> Path:
    """Makes the folders above a run folder; a link on the way is refused, not followed.

    One that stays below the root may still lead into `.git`, that of the root or of a repository within.
    """
    at = root
    for part in relative.split("/")[:-1]:
        at = at / part
        try:
            at.mkdir()
        except FileExistsError:
            kind = "a link" if at.is_symlink() else None if at.is_dir() else "not a folder"
            if kind is not None:
                raise _refused(relative, f"{at.relative_to(root).as_posix()} is {kind}") from None
    return at


def is_inside(root: Path, relative: str) -> bool:
    """Makes the folder `relative`; False when something stands in the way, be it a link."""
    try:
        _checked_parent(root, f"{relative}/.")
    except (StoreError, OSError):
        return False
    return True


def has_link(root: Path, relative: str) -> bool:
    """Says whether a path below the root is a link, or one is on the way to it."""
    path = root / relative
    return any(at.is_symlink() for at in (path, *path.parents[: relative.count("/")]))


def _refused(relative: str, why: str) -> StoreError:
    error = StoreError(
        f"{relative}: {why}; the record is whole without its folder", hint="move it away, then: timelab doctor --repair"
    )
    error.slug = "folder-refused"
    return error


def is_run(folder: Path, run_json: bytes) -> bool:
    """Says whether a folder holds the run of these bytes."""
    try:
        return folder.joinpath(RUN_FILE).read_bytes() == run_json
    except OSError:
        return False


def read_files(folder: Path) -> dict[str, tuple[bool, bytes]]:
    """Returns the regular files of a folder by path: whether executable, and the bytes; anything else is left out."""
    found: dict[str, tuple[bool, bytes]] = {}
    for at, _, files in os.walk(folder):
        for name in files:
            path = Path(at, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                key = path.relative_to(folder).as_posix()
                found[key] = (bool(status.st_mode & stat.S_IXUSR), path.read_bytes())
    return found


def remove_untracked(root: Path, relative: str, tracked: frozenset[str]) -> None:
    """Removes a run folder's files that git does not track, then the folders that became empty."""
    folder = root / relative
    if has_link(root, relative) or not folder.is_dir():
        return
    for at, folders, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(at, name)
            if path.relative_to(root).as_posix() not in tracked:
                path.unlink(missing_ok=True)
        for name in folders:
            _remove_if_empty(Path(at, name))
    _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
        return
    try:
        folder.rmdir()
    except OSError:
        return


def move_away(path: Path, room: Path) -> Path:
    """Moves a file or folder into `room` under a name that is new there, and returns where it is."""
    room.mkdir(parents=True, exist_ok=True)
    target = room / path.name
    while os.path.lexists(target):
        target = room / f"{path.name}.{secrets.token_hex(3)}"
    try:
        path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(path, target)
    return target


def replace_file(path: Path, data: bytes, *, room: Path) -> None:
    """Gives a projection new bytes in one step. It is not synced: a projection that a power cut takes is rebuilt.

    `room` is where the new file is made: beside `path` a crash would leave it in the user's way.
    """
    temporary = room / f".{secrets.token_hex(8)}{_TEMPORARY}"
    temporary.write_bytes(data)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink()
        if error.errno != errno.EXDEV:
            raise
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY}")
        temporary.write_bytes(data)
        temporary.replace(path)


def sweep_temporary(room: Path) -> None:
    """Removes the new files that killed calls of `replace_file` left. The caller holds the store lock, as those did."""
    for path in room.iterdir():
        if _REPLACEMENT.fullmatch(path.name):
            path.unlink(missing_ok=True)
