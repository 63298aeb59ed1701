"""The file system that a task sees: a fresh root with read-only pieces of the host (own namespaces only)."""

from __future__ import annotations

import os

from . import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import View

_STAGE = "/tmp"  # hidden by the new root for the moment of the change; every Linux has it
DEVICES = ("null", "zero", "full", "random", "urandom")
DEVICE_LINKS = (("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr"))


def build(view: View, owner: int, group: int) -> None:
    """Builds the root that `view` describes (see `shell/view.py`) and moves into it.

    Needs fresh mount and process namespaces, and the right to mount in them; `owner` owns the writable rooms.
    """
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SLAVE)
    # Copies are taken before anything is covered: a source may lie below /tmp.
    copies = [(_protected(source), target) for source, target in view["binds"]]
    devices = [(kernel.clone_mount(f"/dev/{name}"), name) for name in DEVICES]
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", _STAGE, "tmpfs", flags, "mode=0755,size=1m,nr_inodes=4k")
    for target, size, inodes in view["rooms"]:
        os.makedirs(_STAGE + target, mode=0o755, exist_ok=True)
        data = f"mode=0755,size={size},nr_inodes={inodes}"
        kernel.mount("tmpfs", _STAGE + target, "tmpfs", flags, data)
        os.chown(_STAGE + target, owner, group)
    for fd, target in copies:
        _place(fd, _STAGE + target)
    for name, target in view["links"]:
        _make_parents(_STAGE + target)
        os.symlink(name, _STAGE + target)
    for target, content in view["files"]:
        _make_parents(_STAGE + target)
        _write(_STAGE + target, content)
    os.makedirs(_STAGE + "/dev", mode=0o755, exist_ok=True)
    for fd, name in devices:
        _write(f"{_STAGE}/dev/{name}", b"")
        kernel.attach_mount(fd, f"{_STAGE}/dev/{name}")
        os.close(fd)
    for name, target in DEVICE_LINKS:
        os.symlink(name, f"{_STAGE}/dev/{target}")
    os.mkdir(_STAGE + "/proc")
    kernel.mount("proc", _STAGE + "/proc", "proc", flags | kernel.MS_NOEXEC)
    kernel.change_root(_STAGE)
    kernel.mount("none", "/", None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | flags)


def _protected(source: str) -> int:
    fd = kernel.clone_mount(source)
    kernel.protect_mount(fd)
    return fd


def _place(fd: int, target: str) -> None:
    _make_parents(target)
    if os.path.isdir(f"/proc/self/fd/{fd}"):
        os.makedirs(target, mode=0o755, exist_ok=True)
    else:
        _write(target, b"")
    kernel.attach_mount(fd, target)
    os.close(fd)


def _make_parents(target: str) -> None:
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)


def _write(path: str, content: str | bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        os.write(fd, content if isinstance(content, bytes) else content.encode())
    finally:
        os.close(fd)
