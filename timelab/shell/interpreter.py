"""What a Python needs of the folder where it is installed: that, and nothing beside it, is shown to a task."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Beside the binary's folder. A prefix such as ~/.local holds a person's keyrings and sessions too, so no folder that
# others share is named here. Shared libraries are needed where the prefix brings its own (conda).
_SHARED = ("lib/*.so", "lib/*.so.*", "lib64/libpython*.so*", "share/terminfo", "ssl/cert.pem", "ssl/openssl.cnf")
_TCL = ("lib/tcl[0-9]*", "lib/tk[0-9]*", "lib/itcl[0-9]*", "lib/thread[0-9]*")
_LANDMARKS = ("os.py", "lib-dynload")
_VERSION = re.compile(r"(?:python|pypy)(\d+\.\d+)")


def default_python() -> Path:
    """Returns the interpreter below any virtual environment: it starts without site-packages anyway."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable))


def pieces_of(python: Path) -> tuple[Path, ...]:
    """Returns what must be shown for an interpreter to start: its binary, its libraries, its standard library.

    Args:
        python: the binary of an installation, not of a virtual environment. Of a link, what it leads to is named, and
            what stands around the link itself where that is an installation too (a folder linked as a whole).
    """
    real = Path(os.path.realpath(python))
    found = [*_installed(real), *(_configured() if real == default_python() else ())]
    if python != real:
        found += _installed(python) if any(_libraries(python)) else (python,)
    return tuple(dict.fromkeys(found))


def _installed(python: Path) -> Iterator[Path]:
    prefix = python.parent.parent
    yield python
    yield from sorted(python.parent.glob("libpypy*.so*"))
    yield from _libraries(python)
    for pattern in (*_SHARED, *_TCL):
        yield from sorted(prefix.glob(pattern))


def _libraries(python: Path) -> Iterator[Path]:
    """Yields the folders of the standard library, and of the headers, of this version (of all, if none is named)."""
    named = _VERSION.match(python.name)
    version = named.group(1) if named else ""
    for pattern in (f"lib*/python{version}*", f"lib*/pypy{version}*"):
        for folder in sorted(python.parent.parent.glob(pattern)):
            if any((folder / landmark).exists() for landmark in _LANDMARKS):
                yield folder
    yield from sorted(python.parent.parent.glob(f"lib/python{version.replace('.', '')}*.zip"))
    yield from (path for path in sorted(python.parent.parent.glob(f"include/python{version}*")) if path.is_dir())


def _configured() -> Iterator[Path]:
    """Yields the folders of our own standard library as sysconfig names them, wherever they stand."""
    import sysconfig

    base = {"platbase": sys.base_exec_prefix, "base": sys.base_prefix}
    for name in ("stdlib", "platstdlib"):
        folder = Path(os.path.realpath(sysconfig.get_path(name, vars=base)))
        if any((folder / landmark).exists() for landmark in _LANDMARKS):
            yield folder
