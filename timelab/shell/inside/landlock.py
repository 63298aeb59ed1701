"""Landlock rules for a task without a mount namespace (linux/landlock.h, kernel 6.2 and later)."""

from __future__ import annotations

import os
import stat
import struct

from . import kernel

MIN_ABI = 3
"""The first that governs truncate(2); before it a task could empty any file of the user's."""

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1, 2, 4, 8, 1 << 14, 1 << 15
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_ALL_FS = (1 << 15) - 1
_NET_TCP = 3
_SCOPES = 3  # abstract UNIX sockets, signals
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
READ = _EXECUTE | _READ_FILE | _READ_DIR
WRITE = _ALL_FS & ~(_MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK)
DEVICE = _READ_FILE | _WRITE_FILE
_CREATE_RULESET_VERSION = 1


def abi() -> int:
    """Returns the kernel's Landlock version, 0 when there is none."""
    try:
        return kernel.system_call("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(rules: list[tuple[str, int]], allow_net: bool) -> None:
    """Confines this process to `rules`: pairs of a path and the rights below it; absent paths are left out.

    Raises:
        OSError: the kernel has no Landlock, or one older than `MIN_ABI`.
    """
    version = abi()
    if version < MIN_ABI:
        raise OSError(f"landlock {version}, needs {MIN_ABI}")
    ruleset = _make_ruleset(version, _ALL_FS, 0 if allow_net else _NET_TCP)
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights)
        kernel.system_call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def scope() -> None:
    """Cuts off abstract UNIX sockets and signals outward, where the kernel can (6.12); else does nothing."""
    version = abi()
    if version >= 6:
        ruleset = _make_ruleset(version, 0, 0)
        kernel.system_call("landlock_restrict_self", ruleset, 0)
        os.close(ruleset)


def _make_ruleset(version: int, files: int, net: int) -> int:
    fields = [files]
    if version >= 4:
        fields.append(net)
    if version >= 6:
        fields.append(_SCOPES)
    packed = struct.pack(f"={len(fields)}Q", *fields)
    return kernel.system_call("landlock_create_ruleset", packed, len(packed), 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _FILE_RIGHTS
        packed = struct.pack("=Qi", rights, fd)
        kernel.system_call("landlock_add_rule", ruleset, 1, packed, 0)
    finally:
        os.close(fd)
