from __future__ import annotations

import json

import pytest

from tests.helpers import make_files, make_manifest
from timelab.manifest import Status
from timelab.store.rows import parse_carry, parse_run, run_id_of_line

ENTRY, REF = "e" * 40, "refs/timelab/runs/w"


def test_row_says_what_the_manifest_says() -> None:
    manifest = make_manifest(status=Status.FAILED, model="builtin:extractive@1", spec_path='specs/ä "b" c.yaml')
    parsed = parse_run(manifest.to_bytes(), ENTRY, REF)
    assert parsed is not None
    row = parsed.row
    assert (row.run_id, row.status, row.error_slug) == (manifest.run_id, "failed", "task")
    assert (row.model, row.seed) == ("builtin:extractive@1", 7)
    assert (row.spec_path, row.entry, row.ref) == ('specs/ä "b" c.yaml', ENTRY, REF)
    assert row.artifacts_path.endswith(f"-echo-{manifest.run_id[:8]}")
    assert parsed.artifacts == tuple(item.sha256 for item in manifest.artifacts)


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "short"},
        {"name": "../../etc"},
        {"timestamp_start": "2026-13-20T10:23:00.000000Z"},
        {"timestamp_start": 5},
        {"schema_version": 2},
        {"spec": None},
        {"artifacts": [{"sha256": "x"}]},
        {"usage": []},
        {"model": "text"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_no_record_of_ours_is_left_out(change: dict[str, object]) -> None:
    raw = {**json.loads(make_manifest(files=make_files()).to_bytes()), **change}
    assert parse_run(json.dumps(raw).encode(), ENTRY, REF) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"nul", b"\xff\xfe", b'"text"', b"{}"])
def test_garbage_is_left_out(data: bytes) -> None:
    assert parse_run(data, ENTRY, REF) is None
    assert parse_carry(data, ENTRY) is None
    assert run_id_of_line(data) is None


def test_a_seed_that_sqlite_cannot_hold_is_left_out() -> None:
    raw = json.loads(make_manifest(model="m:x").to_bytes())
    raw["model"]["params"]["seed"] = 1 << 70
    parsed = parse_run(json.dumps(raw).encode(), ENTRY, REF)
    assert parsed is not None
    assert parsed.row.seed is None


def test_carry_and_note_lines_are_read() -> None:
    body = {"carried_from": "1" * 40, "to": "2" * 40, "run_id": "3" * 64, "tree_equal": True}
    carry = parse_carry(json.dumps(body).encode(), ENTRY)
    assert carry is not None
    assert (carry.run_id, carry.to, carry.tree_equal) == ("3" * 64, "2" * 40, True)
    manifest = make_manifest()
    assert run_id_of_line(manifest.to_bytes()) == manifest.run_id
