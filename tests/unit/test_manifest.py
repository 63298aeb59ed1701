"""run.json is one line of canonical JSON, and says no to everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.helpers import make_manifest
from timelab.canonical import canonical_bytes
from timelab.errors import ManifestError
from timelab.manifest import (
    Manifest,
    Status,
    flake_metadata,
    folder_of,
    read_manifest,
    recomputed_run_id,
    recomputed_run_key,
)
from timelab.schemas import schema

# The names that the sources give, A51–A74.
NAMES = {
    "": {"run_id", "timestamp_start", "timestamp_end", "cmd", "git_sha", "git_describe", "flake_lock_sha256",
         "flake_metadata", "env", "task", "model", "status", "artifacts"},
    "env": {"system", "apps", "tools"},
    "task": {"kind", "spec_path", "inputs_hash"},
    "model": {"name", "hash", "params"},
}  # fmt: skip


def body(**changes: Any) -> dict[str, Any]:
    value = json.loads(make_manifest(model="builtin:extractive@1").to_bytes())
    return {**value, **changes}


def test_it_has_the_fields_of_the_requirements_by_exactly_those_names() -> None:
    """A51–A74."""
    value = body()
    assert NAMES[""] <= value.keys()
    for part in ("env", "task", "model"):
        assert NAMES[part] <= value[part].keys()


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
def test_it_comes_back_from_its_bytes(status: Status) -> None:
    """K7: the bytes are one canonical line with one LF."""
    manifest = make_manifest(status=status)
    data = manifest.to_bytes()
    assert read_manifest(data) == manifest
    assert read_manifest(data.removesuffix(b"\n")) == manifest
    assert data.count(b"\n") == 1
    assert canonical_bytes(json.loads(data)) + b"\n" == data


def test_its_bytes_meet_the_published_schema() -> None:
    """A49, A50: jsonschema on what was written."""
    validator = Draft202012Validator(schema("run"))
    validator.validate(json.loads(make_manifest().to_bytes()))
    validator.validate(body())
    assert not validator.is_valid(body(extra=1))
    assert not validator.is_valid(body(run_id="x"))
    assert not validator.is_valid(body(timestamp_start="2026-11-20T10:23:00Z"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "run.json is not JSON"),
        (b"[" * 100_000, "run.json is not JSON"),
        (b"[]", "schema_version None"),
        (b'{"schema_version": 2}', "schema_version 2, this timelab reads 1"),
        (b"\xff", "run.json is not JSON"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, told: str) -> None:
    """B3: an unknown schema_version fails."""
    with pytest.raises(ManifestError, match=told) as caught:
        read_manifest(data)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"extra": 1}, "/extra"),
        ({"exit_code": "0"}, "/exit_code"),
        ({"run_id": "A" * 64}, "/run_id"),
        ({"status": "fine"}, "/status"),
        ({"timestamp_end": "2026-11-20"}, "/timestamp_end"),
        (
            {"artifacts": [{"path": "../x", "sha256": "a" * 64, "size_bytes": 1, "media_type": "x"}]},
            "/artifacts/0/path",
        ),
        ({"cmd": None}, "/cmd"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ManifestError, match=f"run.json: {pointer}: "):
        read_manifest(canonical_bytes(body(**changes)))


def test_other_bytes_of_the_same_value_are_refused() -> None:
    with pytest.raises(ManifestError, match="not in canonical form"):
        read_manifest(json.dumps(body(), indent=1).encode())


def test_ids_are_recomputed_from_its_own_fields() -> None:
    """A41, A46."""
    manifest = make_manifest(model="a:b")
    assert recomputed_run_id(manifest) == manifest.run_id
    assert recomputed_run_key(manifest) == manifest.run_key
    other = Manifest(**{**dict(manifest), "exit_code": 3, "timestamp_end": "2026-11-21T00:00:00.000000Z"})
    assert recomputed_run_key(other) == manifest.run_key


def test_a_run_key_knows_the_parameters_and_not_the_time() -> None:
    """A46: equal work at another time has the same key."""
    first, later = make_manifest(model="a:b"), make_manifest(model="a:b", start="2027-01-01T00:00:00.000000Z")
    assert (first.run_key == later.run_key, first.run_id == later.run_id) == (True, False)
    assert first.model is not None
    params = first.model.model_copy(update={"params": {"seed": 8}})
    assert recomputed_run_key(first.model_copy(update={"model": params})) != first.run_key


def test_the_folder_is_dated_in_utc() -> None:
    """A81, X5."""
    assert folder_of("2026-11-20T10:23:00.123456Z", "haiku", "3fa2c1d9" + "0" * 56) == (
        "2026/11/20/ai-team/artifacts/102300-haiku-3fa2c1d9"
    )
    assert folder_of("2026-11-20T10:23:00.123456Z", "m", "a" * 64, "mine").startswith("2026/11/20/analyzer/outputs/")


def test_a_flake_lock_is_read_without_nix() -> None:
    """A73, A128."""
    lock = {"nodes": {"nixpkgs": {"locked": {"rev": "abc", "narHash": "sha256-x", "secret": "no"}}, "root": {}}}
    assert flake_metadata(json.dumps(lock).encode()) == {"nixpkgs": {"rev": "abc", "narHash": "sha256-x"}}
    assert flake_metadata(None) is None
    assert flake_metadata(b"[]") == {"unreadable": True}
