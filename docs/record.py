"""Writes what the commands of a page print now into its `console` blocks: `python -m docs.record README.md …`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from docs.blocks import ROOT, page_env, run_page


def main(names: list[str]) -> int:
    """Records the named pages; a failing `sh` block is told and gives 70."""
    code = 0
    for name in names:
        page = ROOT / name
        with tempfile.TemporaryDirectory(prefix="timelab-docs-") as scratch:
            home = Path(scratch).resolve()
            wrong, fresh = run_page(page.read_text(encoding="utf-8"), home, page_env(home, os.environ))
        page.write_text(fresh, encoding="utf-8")
        failed = [entry for entry in wrong if ": exit " in entry.split("\n", 1)[0]]
        for entry in failed:
            print(f"{name}: {entry}", file=sys.stderr)
        code = 70 if failed else code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
