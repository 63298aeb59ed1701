"""Writes what the commands of a page print now into its `console` blocks: `python -m docs.record README.md …`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from docs.blocks import ROOT, page_env, run_page

# What the command line says when it fell over: nothing to record.
_BUG = "a bug in timelab"


def main(names: list[str]) -> int:
    """Records the named pages; one whose `sh` block fails, or that meets a bug, is told and left as it is (70)."""
    code = 0
    for name in names:
        page = ROOT / name
        with tempfile.TemporaryDirectory(prefix="timelab-docs-") as scratch:
            home = Path(scratch).resolve()
            wrong, fresh = run_page(page.read_text(encoding="utf-8"), home, page_env(home, os.environ))
        failed = [entry for entry in wrong if ": exit " in entry.split("\n", 1)[0] or _BUG in entry]
        for entry in failed:
            print(f"{name}: {entry}", file=sys.stderr)
        if failed:
            code = 70
        else:
            page.write_text(fresh, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
