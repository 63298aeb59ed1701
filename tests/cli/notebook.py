"""What the tests of the commands share: a notebook to call them in, and a normaliser for what they print."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from jsonschema import Draft202012Validator

from timelab.cli import cli
from timelab.schemas import schema

TIMELAB = str(Path(sys.executable).parent / "timelab")

HELLO = """\
timelab: 1
kind: command
profile: host
argv: [sh, -c, "echo hello > $TIMELAB_OUTPUT/hello.txt"]
"""
BAD = """\
timelab: 1
kind: command
profile: host
argv: [sh, -c, "echo trouble >&2; exit 3"]
"""

_NORMAL = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "SHA256"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "OID"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{12}\b"), "ID12"),
    (re.compile(r"\b\d{4}/\d\d/\d\d\b"), "YYYY/MM/DD"),
    (re.compile(r"\b\d{6}-(?=[a-z])"), "HHMMSS-"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8}\b"), "ID8"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b|\b\d{4}-\d\d-\d\d \d\d:\d\d\b"), "CLOCK"),
    (re.compile(r"\b\d+ ms\b|\b\d+\.\d s\b"), "TOOK"),
    (re.compile(r"  +"), "  "),
)


def normal(text: str, root: Path) -> str:
    """Returns printed text without what differs from call to call: paths, ids, times, and the width of columns."""
    text = text.replace(str(root.resolve()), "ROOT").replace(str(root), "ROOT")
    for pattern, word in _NORMAL:
        text = pattern.sub(word, text)
    return text


@dataclass(frozen=True)
class Said:
    """Is how a command ended, and what it printed, normalised."""

    code: int
    out: str
    err: str
    raw: str


@dataclass(frozen=True)
class Notebook:
    """Is a repository to call commands in, within this process."""

    root: Path

    def timelab(self, *args: str, cwd: Path | None = None, input: str = "") -> Said:
        """Calls timelab; nobody sits at the keyboard unless `input` is given."""
        where = cwd or self.root
        done = CliRunner().invoke(cli, ["-C", str(where), *args], input=input, prog_name="timelab")
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.exit_code, normal(done.stdout, where), normal(done.stderr, where), done.stdout)

    def json(self, document: str, *args: str, code: int = 0, cwd: Path | None = None) -> Any:
        """Calls timelab with --json, checks what it prints against the document's schema, and returns it."""
        said = self.timelab(*args, "--json", cwd=cwd)
        assert said.code == code, said.err
        value = json.loads(said.raw)
        Draft202012Validator(schema(document)).validate(value)
        return value

    def git(self, *args: str, check: bool = True) -> str:
        """Runs git as the user would."""
        done = subprocess.run(["git", *args], cwd=self.root, capture_output=True, check=check)
        return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")

    def write(self, name: str, text: str | bytes) -> Path:
        """Writes a file of the work tree."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def commit(self, files: Mapping[str, str | bytes], message: str = "work") -> str:
        """Commits files; no hooks are installed, so nothing runs by that."""
        for name, text in files.items():
            self.write(name, text)
        self.git("add", "--", *files)
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def runs(self, *args: str) -> list[dict[str, Any]]:
        """Returns the rows of `timelab log`, newest first."""
        found = self.json("log", "log", "--all", *args)
        assert isinstance(found, list)
        return found


def make_template(room: Path, environ: Mapping[str, str]) -> Path:
    """Makes the notebook with the real command: hello ran in two versions, bad in one, newest last."""
    from tests.conftest import GIT_CONFIG

    home, root = room / "home", room / "notebook"
    home.mkdir()
    root.mkdir()
    (home / ".gitconfig").write_text(GIT_CONFIG)
    kept = {key: value for key, value in environ.items() if not key.startswith(("GIT_", "TIMELAB_", "XDG_"))}
    env = {**kept, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def call(*argv: str, code: int = 0) -> None:
        done = subprocess.run(argv, cwd=root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{argv}: {done.stdout}{done.stderr}"

    def commit(files: Mapping[str, str], message: str) -> None:
        for name, text in files.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        call("git", "add", *files)
        call("git", "commit", "-q", "-m", message)

    call("git", "init", "-q")
    commit({"specs/hello.yaml": HELLO, "specs/bad.yaml": BAD}, "two specs")
    call(TIMELAB, "run", "specs/hello.yaml")
    call(TIMELAB, "run", "specs/bad.yaml", code=70)
    commit({"specs/hello.yaml": HELLO.replace("echo hello", "echo hallo")}, "in German")
    call(TIMELAB, "run", "specs/hello.yaml")
    return root
