"""The redacted report of a bug: what a maintainer needs, without home paths or secrets."""

from __future__ import annotations

import platform
import sys
import tempfile
import traceback
from pathlib import Path

from timelab import __version__


def write_report(error: BaseException) -> Path:
    """Writes the traceback and versions to a temporary file and returns its path."""
    from timelab.redact import mask

    trace = "".join(traceback.format_exception(error)).replace(str(Path.home()), "~")
    text = f"timelab {__version__}\nPython {sys.version}\n{platform.platform()}\n\n{mask(trace)}"
    with tempfile.NamedTemporaryFile(
        "w", prefix="timelab-report-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(text)
    return Path(file.name)
