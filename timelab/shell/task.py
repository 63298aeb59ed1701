"""A task for the sandbox, its limits, and how it ended: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from timelab.manifest import SandboxRecord, Usage


@dataclass(frozen=True)
class Limits:
    """Holds the bounds of one task; the defaults are what a spec without `limits` gets.

    `cpu_s` and `memory_bytes` bind each process by rlimit (CPU, DATA); `memory_bytes` is also held over all processes
    together by a look every quarter of a second. `output_bytes` is the size of `/lab/output`, `tmp_bytes` that of
    `/lab/tmp` and `/dev/shm`; `max_files` bounds the entries of each; `log_bytes` bounds stdout and stderr, each.
    """

    cpu_s: int = 86_400
    memory_bytes: int = 8 << 30
    output_bytes: int = 1 << 30
    processes: int = 512
    tmp_bytes: int = 1 << 30
    max_files: int = 20_000
    log_bytes: int = 8 << 20


@dataclass(frozen=True)
class Task:
    """Is a command and all that it may see.

    `env` is the whole environment but for the places (`TIMELAB_*`, `HOME`, `TMPDIR`), which the sandbox sets.
    `source` (the commit's tree) and `input` are shown read-only; the regular files of the output folder arrive in
    `output`, which must exist and be empty. `read_only` folders are shown at their own path. `stdout` and `stderr` are
    files to write.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    source: Path | None
    input: Path
    output: Path
    stdout: Path
    stderr: Path
    read_only: tuple[Path, ...] = ()
    allow_net: bool = False
    limits: Limits = field(default_factory=Limits)
    timeout_s: float = 3600.0


RejectedKind = Literal["link", "special", "name"]
Overflow = Literal["output", "files", "tmp", "memory", "cpu"]


@dataclass(frozen=True)
class Rejected:
    """Is an entry of the output folder that is not kept: a link, a device, fifo or socket, or a bad name."""

    kind: RejectedKind
    path: str

    def __str__(self) -> str:
        """Returns `kind: 'path'`, escaped."""
        return f"{self.kind}: {ascii(self.path)[:200]}"


@dataclass(frozen=True)
class Outcome:
    """Is how a task ended.

    `exit_code` and `signal` are of the command itself, one of them None; both are None when it never started
    (`start_error` says why) or was lost. `overflow` names the limit that it hit; a run that filled its output keeps
    none of it. `left_over` counts processes that still ran when the command had ended, and were killed. `lost` says
    that the sandbox itself died (out of memory, killed from outside).
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    usage: Usage
    overflow: Overflow | None
    left_over: int
    rejected: tuple[Rejected, ...]
    log_cut: bool
    record: SandboxRecord
    start_error: str | None = None
    lost: bool = False
