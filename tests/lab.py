"""A repository of a user with timelab set up in it, driven through git and the command line alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMELAB = str(Path(sys.executable).parent / "timelab")

HELLO = """\
timelab: 1
kind: command
argv: [sh, -c, "echo hello > $TIMELAB_OUTPUT/hello.txt"]
"""
FAILING = """\
timelab: 1
kind: command
argv: [sh, -c, "echo trouble >&2; exit 3"]
"""
ASK = """\
timelab: 1
kind: llm
model: builtin:extractive@1
prompt: |
  Summarise in 1 sentence.

  Git keeps every version of every file. A commit names a whole tree by its digest. Nobody needs a server for that.
"""


@dataclass(frozen=True)
class Said:
    """Is how a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Lab:
    """Is a user's repository; commits wait for their runs unless a test says otherwise."""

    root: Path

    def git(self, *args: str, wait: bool = True, check: bool = True, cwd: Path | None = None, **env: str) -> str:
        """Runs git as the user would, and returns what it printed."""
        variables = {**os.environ, **({"TIMELAB_WAIT": "1"} if wait else {}), **env}
        done = subprocess.run(["git", *args], cwd=cwd or self.root, capture_output=True, env=variables, check=False)
        if check and done.returncode:
            raise AssertionError(f"git {args}: {done.returncode}\n{done.stderr.decode(errors='replace')}")
        return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")

    def timelab(self, *args: str, code: int | None = 0, cwd: Path | None = None, **env: str) -> Said:
        """Runs timelab and checks its exit code; None takes any."""
        done = subprocess.run(
            [TIMELAB, *args],
            cwd=cwd or self.root,
            capture_output=True,
            env={**os.environ, **env},
            check=False,
            timeout=600,
        )
        said = Said(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
        assert code is None or said.code == code, f"timelab {args}: {said.code}\n{said.out}\n{said.err}"
        assert "Traceback" not in said.err, said.err
        return said

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Writes files of the work tree."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: Mapping[str, str | bytes] | None = None, message: str = "work", wait: bool = True) -> str:
        """Writes files, commits them, and returns the commit."""
        self.write(files or {})
        if files:
            self.git("add", "--", *files)
        self.git("commit", "-q", "-m", message, wait=wait)
        return self.git("rev-parse", "HEAD")

    def note(self, what: str = "HEAD") -> list[dict[str, Any]]:
        """Returns the records that plain `git notes show` prints."""
        text = self.git("notes", "show", what, check=False)
        return [json.loads(line) for line in text.splitlines()]

    def log(self, *args: str) -> list[dict[str, Any]]:
        """Returns what `timelab log --json` prints."""
        found = json.loads(self.timelab("log", "--all", "--json", *args).out)
        assert isinstance(found, list)
        return found

    def folder(self, row: Mapping[str, Any]) -> Path:
        """Returns the run folder of a row of the log."""
        return self.root / row["artifacts_path"]


def make_lab(root: Path, *, init: bool = True) -> Lab:
    """Makes a repository with one commit and, unless told otherwise, sets timelab up in it."""
    root.mkdir(parents=True, exist_ok=True)
    lab = Lab(root)
    lab.git("init", "-q")
    lab.write({"README.md": "a repository of a user\n"})
    lab.git("add", "-A")
    lab.git("commit", "-q", "-m", "first")
    if init:
        lab.timelab("init")
        # The pins that init wrote are committed, as a user does.
        lab.git("add", "-A")
        lab.git("commit", "-q", "-m", "set up timelab", "--allow-empty")
    return lab


def sha256(text: str) -> str:
    """Returns what `printf … | sha256sum` prints."""
    return hashlib.sha256(text.encode()).hexdigest()
