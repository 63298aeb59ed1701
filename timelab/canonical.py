"""Canonical JSON (RFC 8785) and sha256: the only code that hashes (style B1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timelab.errors import DataError
from timelab.names import RunId, Sha256

_CHUNK_BYTES = 1 << 20


def canonical_bytes(value: Any) -> bytes:
    """Returns `value` as RFC 8785 JSON, UTF-8, without a final newline.

    Raises:
        DataError: integers of 2^53 and above, NaN, infinity, lone surrogates and foreign types.
    """
    import rfc8785

    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise DataError(f"not canonical JSON: {ascii(str(error))[:160]}") from error


def sha256_bytes(data: bytes | bytearray | memoryview) -> Sha256:
    """Returns the sha256 of `data` as hex."""
    return Sha256(hashlib.sha256(data).hexdigest())


def sha256_json(value: Any) -> Sha256:
    """Returns the sha256 of the canonical JSON of `value`."""
    return sha256_bytes(canonical_bytes(value))


def sha256_file(path: Path) -> Sha256:
    """Returns the sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return Sha256(digest.hexdigest())


def sha256_named(files: Iterable[tuple[str, str]]) -> Sha256:
    """Returns one sha256 over (path, sha256) pairs, in order of path: the digest of a set of files."""
    return sha256_json([[path, digest] for path, digest in sorted(files)])


def make_run_id(spec_sha256: str, git_sha: str | None, flake_lock_sha256: str | None, timestamp_start: str) -> RunId:
    """Returns sha256(spec_sha256 ‖ git_sha ‖ flake_lock_sha256 ‖ timestamp_start), absent parts empty (A41, G5)."""
    text = f"{spec_sha256}{git_sha or ''}{flake_lock_sha256 or ''}{timestamp_start}"
    return RunId(hashlib.sha256(text.encode("ascii")).hexdigest())
