"""Canonical JSON is RFC 8785 to the letter, and digests can be recomputed with nothing of ours."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from timelab.canonical import canonical_bytes, make_run_id, sha256_bytes, sha256_file, sha256_json, sha256_named
from timelab.errors import DataError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/canonical.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["values"], ids=lambda vector: vector["name"])
def test_values_become_the_bytes_of_the_standard(vector: dict[str, Any]) -> None:
    """K5: the vectors are shared and never edited."""
    assert canonical_bytes(vector["value"]) == vector["bytes"].encode()
    assert sha256_json(vector["value"]) == sha256_bytes(vector["bytes"].encode())


@pytest.mark.parametrize(("bits", "text"), VECTORS["doubles"])
def test_numbers_become_the_text_of_the_standard(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_bytes(value) == text.encode()


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {1: 2}, {"a": object()}, b"bytes"]
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    """B1: integers of 2^53 and above, NaN, infinity, half surrogates and foreign types."""
    with pytest.raises(DataError) as caught:
        canonical_bytes(value)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("parts", VECTORS["run_ids"])
def test_a_run_id_is_what_printf_and_sha256sum_say(parts: dict[str, str | None]) -> None:
    """A41, G5: sha256(spec_sha256 ‖ git_sha ‖ flake_lock_sha256 ‖ timestamp_start), absent parts empty."""
    order = ("spec_sha256", "git_sha", "flake_lock_sha256", "timestamp_start")
    said = subprocess.run(
        ["sh", "-c", 'printf %s "$@" | sha256sum', "sh", *(parts[name] or "" for name in order)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[0]
    assert make_run_id(**parts) == said  # type: ignore[arg-type]


def test_a_set_of_files_has_one_digest_whatever_the_order() -> None:
    pairs = [("b", "2" * 64), ("a", "1" * 64)]
    assert sha256_named(pairs) == sha256_named(reversed(pairs))
    assert sha256_named(pairs) != sha256_named([("a", "2" * 64), ("b", "1" * 64)])
    assert sha256_named([]) == sha256_json([])


def test_a_file_is_hashed_in_pieces(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == sha256_bytes(data)
