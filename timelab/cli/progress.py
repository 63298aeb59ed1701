"""One line of progress on stderr, only where somebody looks."""

from __future__ import annotations

import sys
import time


class Progress:
    """Rewrites one line on a terminal; says nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = False
        self._last_s = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Shows `what done/total`, at most ten times a second."""
        now = time.monotonic()
        if sys.stderr is None or not sys.stderr.isatty() or (now - self._last_s < 0.1 and done < total):
            return
        from timelab.cli.render import plain

        self._last_s, self._shown = now, True
        sys.stderr.write(f"\r\x1b[Ktimelab: {plain(what)} {done}/{total}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Takes the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
