"""The bubblewrap command line for a view: for hosts where it may make namespaces and we may not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from timelab.shell.inside import config as inside
from timelab.shell.inside.child import LAB_ID

# Not the user's PATH: a program of that name in a checked-out folder must not become the wall.
_PLACES = ("/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap", "/run/current-system/sw/bin/bwrap")


def find_bubblewrap() -> Path | None:
    """Returns the installed program, or None."""
    return next((Path(place) for place in _PLACES if os.access(place, os.X_OK)), None)


def make_argv(
    program: Path, view: inside.View, *, allow_net: bool, as_root: bool, data_fds: Sequence[int]
) -> list[str]:
    """Returns the arguments in front of `--`; `data_fds` hold the contents of the view's files, in their order.

    Raises nothing; options are of bubblewrap 0.8 and later (`--size` for tmpfs), an older one fails its first run.
    """
    argv = [str(program), "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--hostname", "lab", "--as-pid-1"]
    argv += ["--die-with-parent"]
    argv += [] if allow_net else ["--unshare-net"]
    # As root the process inside keeps its rights until it has made the task another user.
    argv += ["--cap-add", "ALL"] if as_root else ["--unshare-user", "--uid", str(LAB_ID), "--gid", str(LAB_ID)]
    argv += ["--dev", "/dev", "--proc", "/proc"]
    # Left to itself bubblewrap makes parent folders that only its own user may enter. Rooms come first: the shell's
    # folder may lie in /tmp.
    bound = [target for _, target in view["binds"]]
    argv += _make_parents((target for target, _, _ in view["rooms"]), bound)
    for target, size, _inodes in view["rooms"]:
        argv += ["--size", str(size), "--tmpfs", target]
    plain = [*bound, *(target for _, target in view["links"]), *(target for target, _ in view["files"])]
    argv += _make_parents(plain, bound)
    for source, target in view["binds"]:
        argv += ["--ro-bind", source, target]
    for name, target in view["links"]:
        argv += ["--symlink", name, target]
    for (target, _), fd in zip(view["files"], data_fds, strict=True):
        argv += ["--perms", "0444", "--file", str(fd), target]
    return [*argv, "--remount-ro", "/", "--chdir", "/"]


def _make_parents(targets: Iterable[str], bound: Sequence[str]) -> list[str]:
    argv = []
    for parent in sorted({str(folder) for target in targets for folder in Path(target).parents}):
        if parent not in ("/", "/dev") and not any(_is_below(parent, target) for target in bound):
            argv += ["--perms", "0755", "--dir", parent]
    return argv


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
