"""Whatever a command prints with --json is what its schema in `schemas/` says (style O1)."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from tests.cli.notebook import HELLO, Notebook
from timelab import queue
from timelab.cli import COMMANDS, cli
from timelab.git.repo import discover
from timelab.names import Oid
from timelab.queue import Job
from timelab.schemas import DOCUMENTS
from timelab.trust import open_allow_list

SCHEMAS = Path(__file__).parents[2] / "schemas"

# What is called, the schema of what it prints, and the exit code.
CALLS: list[tuple[list[str], str, int]] = [
    (["log"], "log", 0),
    (["log", "--status", "timeout"], "log", 0),
    (["log", "specs/hello.yaml"], "versions", 0),
    (["show", "last"], "run", 0),
    (["status"], "status", 0),
    (["status", "--all"], "status", 0),
    (["trace", "specs/hello.yaml"], "trace", 0),
    (["diff", "specs/hello.yaml"], "diff", 0),
    (["verify"], "verify", 0),
    (["verify", "specs/bad.yaml"], "verify", 0),
    (["doctor"], "doctor", 0),
    (["config"], "settings", 0),
    (["check"], "check", 0),
    (["check", "specs/odd.yaml"], "check", 65),
    (["run", "specs/hello.yaml"], "ran", 0),
    (["run", "specs/bad.yaml"], "ran", 70),
    (["run", "--pending"], "pending", 0),
    (["ai", "spec=specs/hello.yaml"], "ran", 0),
    (["replay", "last"], "replay", 0),
    (["forget", "last", "--yes"], "forget", 0),
    (["reindex"], "reindex", 0),
    (["sync"], "sync", 0),
    (["router", "status"], "router", 0),
    (["router", "reset", "builtin"], "router", 0),
    (["model", "list"], "models", 0),
    (["model", "show", "builtin:extractive@1"], "model", 0),
    (["model", "show", "specs/ask.yaml"], "model", 70),
    (["model", "pull", "builtin:extractive@1"], "pulled", 0),
    (["allow", "--list"], "held", 0),
    (["allow", "specs/new.yaml"], "allow", 0),
]


@pytest.fixture
def busy(notebook: Notebook, tmp_path: Path) -> Notebook:
    """Returns a notebook in which every listing has something to list."""
    notebook.commit({"specs/new.yaml": HELLO + "tags: [new]\n"})
    notebook.write("specs/ask.yaml", "timelab: 1\nkind: llm\nmodel: llamacpp:no.gguf\nprompt: Say it\n")
    notebook.write("specs/odd.yaml", HELLO.replace("argv", "agrv"))
    notebook.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    notebook.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    repo, head = discover(notebook.root), Oid(notebook.git("rev-parse", "HEAD"))
    open_allow_list(repo).trust(repo)
    queue.hold(repo, Job(id="x", hook="post-merge", commit=head), "specs/new.yaml", "not allowed yet")
    return notebook


@pytest.mark.parametrize(
    ("args", "document", "code"), CALLS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_output_fits_the_schema_that_is_checked_in(busy: Notebook, args: list[str], document: str, code: int) -> None:
    if args[0] == "check" and len(args) == 1:
        (busy.root / "specs/odd.yaml").unlink()
    said = busy.timelab(*args, "--json")
    assert said.code == code, said.err
    value = json.loads(said.raw)
    Draft202012Validator(json.loads((SCHEMAS / f"{document}.schema.json").read_bytes())).validate(value)
    assert value or document in ("log",)
    assert not any("\x1b" in line for line in said.raw.splitlines())


def every_command() -> list[tuple[tuple[str, ...], click.Command]]:
    """Returns every command with its words, those of groups too."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    with click.Context(cli) as context:
        for name in COMMANDS:
            command = cli.get_command(context, name)
            assert command is not None
            below = command.commands if isinstance(command, click.Group) else {}
            found += [((name,), command), *(((name, word), each) for word, each in below.items())]
    return found


def test_every_command_that_knows_json_is_called_and_every_schema_is_of_something() -> None:
    """A new `--json` without a schema, or a schema that nothing prints, fails here."""
    takes = {
        words for words, command in every_command() if any("--json" in parameter.opts for parameter in command.params)
    }
    groups = {words[0] for words, _ in every_command() if len(words) == 2}
    assert takes == {tuple(args[: 2 if args[0] in groups else 1]) for args, _, _ in CALLS}
    # These two are of files that people and runs write.
    assert {document for _, document, _ in CALLS} == set(DOCUMENTS) - {"spec", "config"}
