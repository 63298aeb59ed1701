"""Lets `python -m timelab` and the console script start the same way."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits with 0, 64, 65, 70 or 130 (design 2)."""
    from timelab.cli import cli

    sys.exit(cli.main(prog_name="timelab", standalone_mode=False))


if __name__ == "__main__":
    main()
