"""Lets `python -m timelab` and the console script start the same way."""

from __future__ import annotations

import gc
import sys

_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> None:
    """Runs the command line and exits with 0, 64, 65, 70 or 130 (design 2)."""
    # Imports make only objects that stay; looking through them again and again took a twentieth of a short command.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from timelab.cli import cli

    sys.exit(cli.main(prog_name="timelab", standalone_mode=False))


if __name__ == "__main__":
    main()
