"""What a task sees of the machine: the read-only pieces, the made-up files, the rooms it may write in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from timelab.shell.inside import config as inside
from timelab.shell.inside import landlock
from timelab.shell.task import Task

SOURCE, INPUT, OUTPUT, TMP = "/lab/src", "/lab/input", "/lab/output", "/lab/tmp"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_STORES = ("/nix/store", "/gnu/store")
_ETC = (
    "alternatives",
    "ca-certificates",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "mime.types",
    "pki",
    "ssl/certs",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
    "static",
)
_ETC_FAMILIES = ("java",)
_ETC_NET = ("hosts", "resolv.conf", "nsswitch.conf", "services", "protocols", "gai.conf")
_PASSWD = "root:x:0:0:root:/:/usr/sbin/nologin\nlab:x:1000:1000:lab:/lab/tmp/home:/bin/sh\n"
_GROUP = "root:x:0:\nlab:x:1000:\n"
_HOSTS = "127.0.0.1 localhost lab\n::1 localhost lab\n"
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"
_SLACK_BYTES = 8192
"""More than the limit, so that a file of exactly the limit fits and one byte more is seen."""


def make_view(task: Task, extra: Iterable[Path] = ()) -> inside.View:
    """Returns the view of a task in a mount namespace; `extra` folders are shown at their own path too."""
    binds = [("/usr", "/usr"), *((store, store) for store in _STORES if Path(store).is_dir())]
    links: list[tuple[str, str]] = []
    for name in _MERGED:
        path = Path("/", name)
        if path.is_symlink():
            links.append((str(path.readlink()), str(path)))
        elif path.is_dir():
            binds.append((str(path), str(path)))
    binds += ((os.path.realpath(path), path) for path in _etc_paths())
    binds += _own_paths([*task.read_only, *extra], [target for _, target in binds])
    binds.append((str(task.input), INPUT))
    rooms = [
        (OUTPUT, task.limits.output_bytes + _SLACK_BYTES, task.limits.max_files + 2),
        (TMP, task.limits.tmp_bytes + _SLACK_BYTES, task.limits.max_files + 2),
        ("/dev/shm", task.limits.tmp_bytes, task.limits.max_files + 2),
    ]
    if task.source is not None:
        binds.append((str(task.source), SOURCE))
    else:
        rooms.append((SOURCE, 4096, 1))
    if any(target.startswith("/tmp/") for _, target in binds):
        rooms.append(("/tmp", task.limits.tmp_bytes, task.limits.max_files))  # a repository in /tmp has its shell there
    else:
        links.append((TMP, "/tmp"))
    return {"binds": binds, "links": links, "files": list(_made_files(task.allow_net)), "rooms": rooms}


def make_rules(task: Task, output: Path, tmp: Path) -> list[tuple[str, int]]:
    """Returns the Landlock rules that come nearest to `make_view`, over the host's own paths."""
    view = make_view(task)
    read = {source for source, _ in view["binds"]}
    read |= {f"/{name}" for name in _MERGED} | {"/proc", "/sys/devices/system/cpu"}
    read |= {"/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts"}
    if task.allow_net:
        read |= {f"/etc/{name}" for name in _ETC_NET} | {os.path.realpath("/etc/resolv.conf")}
    rules = [(path, landlock.READ) for path in sorted(read)]
    rules += [(f"/dev/{name}", landlock.DEVICE) for name in ("null", "zero", "full", "random", "urandom")]
    return [*rules, (str(output), landlock.WRITE), (str(tmp), landlock.WRITE)]


def _etc_paths() -> Iterator[str]:
    for name in _ETC:
        if Path("/etc", name).exists():
            yield f"/etc/{name}"
    with os.scandir("/etc") as entries:
        yield from sorted(entry.path for entry in entries if entry.name.startswith(_ETC_FAMILIES) and entry.is_dir())


def _own_paths(folders: Iterable[Path], shown: list[str]) -> Iterator[tuple[str, str]]:
    """Yields binds at the folders' own path, without those that already stand below one that is shown."""
    for folder in sorted({str(folder.absolute()) for folder in folders}):
        if not any(folder == other or folder.startswith(other + "/") for other in shown):
            shown.append(folder)
            yield folder, folder


def _made_files(allow_net: bool) -> Iterator[tuple[str, str]]:
    yield "/etc/passwd", _PASSWD
    yield "/etc/group", _GROUP
    if not allow_net:
        yield "/etc/hosts", _HOSTS
        yield "/etc/nsswitch.conf", _NSSWITCH
        return
    for name in _ETC_NET:
        try:
            yield f"/etc/{name}", Path("/etc", name).read_text(errors="replace")
        except OSError:
            continue
