"""Logging for the command line: one handler on stderr, with a filter that masks secrets (style O2, O3)."""

from __future__ import annotations

import logging


class _Masking(logging.Filter):
    """Masks secrets in what is logged, before it leaves the process."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replaces the message by its masked form."""
        from timelab.redact import mask

        record.msg, record.args = mask(record.getMessage()), None
        return True


def set_up(verbose: int) -> None:
    """Sends timelab's log to stderr: once `-v` is information, twice is debugging."""
    handler = logging.StreamHandler()
    handler.addFilter(_Masking())
    handler.setFormatter(logging.Formatter("%(relativeCreated)7.0f ms %(name)s: %(message)s"))
    root = logging.getLogger("timelab")
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
