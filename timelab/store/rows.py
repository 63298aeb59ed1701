"""What the index keeps of an entry of a chain, read from its JSON without pydantic: `timelab log` has 0.1 s."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import Any

from timelab.clock import TIMESTAMP_PATTERN
from timelab.errors import DataError
from timelab.names import Oid, RepoPath, RunId, RunName, Sha256, folder_of

_TIMESTAMP = re.compile(TIMESTAMP_PATTERN, re.ASCII)
_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", re.ASCII)
_SEED_LIMIT = 1 << 63


@dataclass(frozen=True)
class RunRow:
    """Is one run as the index knows it. `artifacts_path` is the run folder, relative to the root."""

    run_id: RunId
    run_key: str
    timestamp_start: str
    timestamp_end: str
    kind: str
    name: str
    spec_path: str
    spec_blob: str
    spec_sha256: str
    closure_sha256: str
    git_sha: str | None
    status: str
    model: str | None
    seed: int | None
    exit_code: int | None
    wall_ms: int
    artifacts_path: str
    replay_of: str | None
    parent_run: str | None
    error_slug: str | None
    dirty: bool
    writer: str
    entry: str
    ref: str


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(RunRow))


@dataclass(frozen=True)
class CarryRow:
    """Is a record that was carried to a rewritten commit."""

    run_id: RunId
    carried_from: Oid
    to: Oid
    tree_equal: bool
    entry: str


@dataclass(frozen=True)
class ParsedRun:
    """Is a run's row and the sha256 of each of its artifacts."""

    row: RunRow
    artifacts: tuple[str, ...]


def parse_run(data: bytes, entry: str, ref: str) -> ParsedRun | None:
    """Returns the row of a run.json, or None when it is not one; whether it is true is for `verify` to say."""
    try:
        raw = json.loads(data)
        if raw["schema_version"] != 1:
            return None
        return ParsedRun(_row(raw, entry, ref), tuple(str(Sha256(item["sha256"])) for item in raw["artifacts"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError):
        return None


def _row(raw: dict[str, Any], entry: str, ref: str) -> RunRow:
    spec, model, error = raw["spec"], raw["model"], raw["error"]
    run_id, start, kind = RunId(raw["run_id"]), _stamp(raw["timestamp_start"]), _text(raw["task"]["kind"])
    name = RunName(raw["name"])
    return RunRow(
        run_id=run_id,
        run_key=Sha256(raw["run_key"]),
        timestamp_start=start,
        timestamp_end=_stamp(raw["timestamp_end"]),
        kind=kind,
        name=name,
        spec_path=RepoPath(spec["path"]),
        spec_blob=Oid(spec["blob"]),
        spec_sha256=Sha256(spec["sha256"]),
        closure_sha256=Sha256(spec["closure_sha256"]),
        git_sha=None if raw["git_sha"] is None else Oid(raw["git_sha"]),
        status=_text(raw["status"]),
        model=None if model is None else _text(model["name"]),
        seed=None if model is None else _number(model["params"].get("seed")),
        exit_code=_number(raw["exit_code"]),
        wall_ms=_number(raw["usage"]["wall_ms"]) or 0,
        artifacts_path=folder_of(start, name, run_id, kind),
        replay_of=None if raw["replay_of"] is None else RunId(raw["replay_of"]),
        parent_run=None if raw["parent_run"] is None else RunId(raw["parent_run"]),
        error_slug=None if error is None else _text(error["slug"]),
        dirty=raw["dirty"] is True,
        writer=_text(raw["writer"]),
        entry=entry,
        ref=ref,
    )


def parse_carry(data: bytes, entry: str) -> CarryRow | None:
    """Returns the row of a carry.json, or None when it is not one."""
    try:
        raw = json.loads(data)
        return CarryRow(
            run_id=RunId(raw["run_id"]),
            carried_from=Oid(raw["carried_from"]),
            to=Oid(raw["to"]),
            tree_equal=raw["tree_equal"] is True,
            entry=entry,
        )
    except (ValueError, KeyError, TypeError, RecursionError, DataError):
        return None


def run_id_of_line(line: bytes) -> RunId | None:
    """Returns the run id of a note line, or None when somebody else wrote the line."""
    try:
        return RunId(json.loads(line)["run_id"])
    except (ValueError, KeyError, TypeError, RecursionError, DataError):
        return None


def _stamp(value: Any) -> str:
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value) or not _DAY.match(value):
        raise DataError("not a timestamp")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DataError("not a string")
    # SQLite takes no lone surrogates.
    return value.encode("utf-8", "replace").decode()


def _number(value: Any) -> int | None:
    return value if type(value) is int and -_SEED_LIMIT <= value < _SEED_LIMIT else None
