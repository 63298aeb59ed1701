"""A hostile spec ends in exit code 65 and one clear line; nothing runs and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.conftest import Git
from timelab.cli import cli
from timelab.errors import SpecError
from timelab.schemas import schema
from timelab.spec.load import load_spec

COMMAND: dict[str, Any] = {"timelab": 1, "kind": "command", "argv": ["true"]}
LLM: dict[str, Any] = {"timelab": 1, "kind": "llm", "model": "builtin:extractive@1", "prompt": "hi"}

_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8)
)

HOSTILE: dict[str, tuple[str, bytes]] = {
    "yaml bomb": ("a.yaml", _BOMB.encode()),
    "yaml tag": ("a.yaml", b"!!python/object/apply:os.system ['true']\n"),
    "yaml tag on a value": ("a.yaml", b"timelab: 1\nkind: command\nargv: !!python/tuple [a]\n"),
    "yaml merge key": ("a.yaml", b"timelab: 1\n<<: {kind: command, argv: [a]}\n"),
    "yaml alias of itself": ("a.yaml", b"timelab: &a [*a]\n"),
    "yaml deep flow": ("a.yaml", b"[" * 200_000),
    "yaml deep block": ("a.yaml", b"- " * 100_000),
    "yaml deep mappings": ("a.yaml", b"{a: " * 50_000),
    "yaml many documents": ("a.yaml", b"--- a\n" * 1000),
    "yaml escape beyond unicode": ("a.yaml", b'"\\UFFFFFFFF": 1'),
    "yaml surrogate escape": ("a.yaml", b'a: "\\uD800"'),
    "yaml long key": ("a.yaml", b"? " + b"k" * 200_000 + b"\n: 1\n"),
    "yaml many keys": (
        "a.yaml",
        b"timelab: 1\nkind: command\nargv: [a]\n" + b"".join(b"k%d: 1\n" % n for n in range(9999)),
    ),
    "yaml broken directive": ("a.yaml", b"%YAML\n%TAG ! !\n--- a"),
    "json deep": ("a.json", b"[" * 200_000),
    "json deep mappings": ("a.json", b'{"a":' * 40_000),
    "json duplicate key": ("a.json", b'{"timelab": 1, "kind": "command", "kind": "llm"}'),
    "json NaN": ("a.json", b'{"timelab": 1, "kind": "command", "argv": ["a"], "timeout_s": NaN}'),
    "json huge number": ("a.json", b'{"timelab": ' + b"9" * 200_000 + b"}"),
    "json huge exponent": ("a.json", b'{"timelab": 1e99999}'),
    "toml deep": ("a.toml", b"a = " + b"[" * 200_000),
    "toml dotted": ("a.toml", b".".join([b"a"] * 100_000) + b" = 1"),
    "toml deep tables": ("a.toml", b"[" + b".".join([b"a"] * 1000) + b"]\n"),
    "toml duplicate key": ("a.toml", b"timelab = 1\ntimelab = 1\n"),
    "toml inline tables": ("a.toml", b"a = " + b"{a = " * 40_000),
    "toml date": ("a.toml", b"timelab = 2026-11-20\n"),
    "toml huge number": ("a.toml", b"timelab = " + b"9" * 5_000),
    "toml impossible date": ("a.toml", b"timelab = 2026-02-31\n"),
    "ten megabytes in a string": ("a.json", json.dumps({**COMMAND, "argv": ["x" * 10_000_000]}).encode()),
    "ten megabytes of nothing": ("a.yaml", b" " * 10_000_000),
    "a long argument": ("a.json", json.dumps({**COMMAND, "argv": ["x" * 200_000]}).encode()),
    "a long name with escapes": ("a.json", json.dumps({**COMMAND, "name": "\x1b[31m" * 5_000}).encode()),
    "NUL in the file": ("a.yaml", b"timelab: 1\x00\n"),
    "NUL in a string": ("a.json", json.dumps({**COMMAND, "argv": ["a\x00b"]}).encode()),
    "not UTF-8": ("a.yaml", b"timelab: \xff\n"),
    "UTF-16": ("a.yaml", "timelab: 1\n".encode("utf-16")),
    "half a surrogate": ("a.json", b'{"timelab": 1, "kind": "\\ud800"}'),
    "an unknown key with escapes": ("a.json", json.dumps({**COMMAND, "\x1b]0;x\x07\n\u202e": 1}).encode()),
    "a formula as a name": ("a.json", json.dumps({**COMMAND, "name": "=HYPERLINK(1)"}).encode()),
    "a formula as a tag": ("a.json", json.dumps({**COMMAND, "tags": ["@SUM(1)"]}).encode()),
    "empty": ("a.yaml", b""),
    "a list": ("a.json", b"[]"),
}

PATHS = [
    "../x",
    "a/../../x",
    "/etc/passwd",
    "~/x",
    "C:\\x",
    "a\\b",
    ".git/config",
    "a\nb",
    "a\x1b[31mb",
    "nul",
    "",
    "./a",
]


def clear(line: str) -> None:
    """Asserts what every complaint must be: one short line that moves no cursor."""
    assert line.isprintable()
    assert len(line) < 500


def refused(data: bytes, path: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load_spec(data, path)
    assert caught.value.exit_code == 65
    clear(caught.value.message)
    for problem in caught.value.problems:
        clear(str(problem))
        clear(problem.hint or "-")
    return caught.value


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(name: str) -> None:
    file, data = HOSTILE[name]
    refused(data, f"specs/{file}")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("field", ["script", "prompt_file", "cases", "response_schema"])
def test_a_path_that_leaves_its_place_is_refused(field: str, path: str) -> None:
    base = {"timelab": 1, "kind": "command"} if field == "script" else dict(LLM)
    if field == "prompt_file":
        del base["prompt"]
    error = refused(json.dumps({**base, field: path}).encode(), "specs/a.json")
    assert [problem.pointer for problem in error.problems] == [f"/{field}"]


@pytest.mark.parametrize(
    "path", ["specs/../../a.yaml", "/specs/a.yaml", "specs/a\nb.yaml", "specs/\x1b[31m.yaml", "a\x00.yaml"]
)
def test_a_spec_at_a_hostile_place_is_refused(path: str) -> None:
    refused(b"timelab: 1\nkind: command\nargv: [a]\n", path)


def places(model: dict[str, Any], defs: dict[str, Any], at: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the pointer of every field that the schema knows, through lists and inner mappings."""
    if "$ref" in model:
        model = defs[model["$ref"].rpartition("/")[2]]
    for branch in model.get("anyOf", ()):
        yield from places(branch, defs, at)
    if "items" in model:
        yield (*at, 0)
        yield from places(model["items"], defs, (*at, 0))
    for name, inner in model.get("properties", {}).items():
        yield (*at, name)
        yield from places(inner, defs, (*at, name))


def fields() -> list[tuple[str, tuple[Any, ...]]]:
    defs = schema("spec")["$defs"]
    kinds = {"CommandSpec": "command", "LlmSpec": "llm"}
    return sorted({(kind, pointer) for name, kind in kinds.items() for pointer in places(defs[name], defs)}, key=str)


def with_value(base: Any, pointer: tuple[Any, ...], value: Any) -> Any:
    if not pointer:
        return value
    if isinstance(pointer[0], int):
        return [with_value(None, pointer[1:], value)]
    inner = base.get(pointer[0]) if isinstance(base, dict) else None
    return {**(base if isinstance(base, dict) else {}), pointer[0]: with_value(inner, pointer[1:], value)}


WRONG: list[Any] = [[[]], {"\x1b": "x"}, "\x1b[31m\n=1+1", -1.5, 10**15, False]


@pytest.mark.parametrize(("kind", "pointer"), fields(), ids=str)
def test_a_wrong_type_in_any_field_is_refused(kind: str, pointer: tuple[Any, ...]) -> None:
    """Every field of the model, found in the schema, with values of every wrong type: at most one type may fit."""
    base = {**(COMMAND if kind == "command" else LLM)}
    told = 0
    for value in WRONG:
        data = json.dumps(with_value(base, pointer, value)).encode()
        try:
            load_spec(data, "specs/a.json")
        except SpecError:
            refused(data, "specs/a.json")
            told += 1
    assert told >= len(WRONG) - 2


def check(repo: Path, *args: str) -> Result:
    result = CliRunner().invoke(cli, ["-C", str(repo), "check", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    for line in result.output.splitlines():
        clear(line)
    return result


@pytest.mark.parametrize("name", ["yaml bomb", "json deep", "toml dotted", "ten megabytes in a string", "not UTF-8"])
def test_the_command_says_65_and_no_more(repo: Path, name: str) -> None:
    file, data = HOSTILE[name]
    (repo / "specs").mkdir()
    (repo / "specs" / file).write_bytes(data)
    result = check(repo, f"specs/{file}")
    assert result.exit_code == 65
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside.yaml", "real.yaml"])
def test_a_spec_that_is_a_link_is_refused(repo: Path, git: Git, target: str) -> None:
    (repo / "specs").mkdir()
    (repo / "specs/real.yaml").write_text("timelab: 1\nkind: command\nargv: [a]\n")
    (repo.parent / "outside.yaml").write_text("timelab: 1\nkind: command\nargv: [a]\n")
    (repo / "specs/link.yaml").symlink_to(target)
    git("add", "-A", cwd=repo)
    for args in ((), ("specs/link.yaml",), ("--staged",)):
        result = check(repo, *args)
        assert (result.exit_code, "specs/link.yaml: is no regular file" in result.stdout) == (65, True)


def test_a_named_file_that_is_a_link_is_refused(repo: Path, git: Git) -> None:
    (repo / "specs").mkdir()
    (repo / "specs/a.json").write_text(json.dumps({**LLM, "cases": "cases.jsonl"}))
    (repo / "cases.jsonl").symlink_to("/etc/passwd")
    git("add", "-A", cwd=repo)
    for args in ((), ("--staged",)):
        result = check(repo, *args)
        assert result.exit_code == 65
        assert result.stdout.startswith("specs/a.json: names cases.jsonl, which is no regular file")


def test_a_spec_whose_name_holds_a_newline_is_refused(repo: Path, git: Git) -> None:
    (repo / "specs").mkdir()
    (repo / "specs/a\nb\x1b[31m.yaml").write_text("timelab: 1\nkind: command\nargv: [a]\n")
    git("add", "-A", cwd=repo)
    for args in ((), ("--staged",)):
        result = check(repo, *args)
        assert result.exit_code == 65
        assert result.stdout.startswith("specs/a\\nb\\x1b[31m.yaml: the spec's path holds a control character")


def test_a_glob_that_finds_a_hostile_name_is_refused(repo: Path, git: Git) -> None:
    (repo / "specs").mkdir()
    (repo / "data").mkdir()
    (repo / "data/a\x1b[31m\nb").write_text("x")
    (repo / "specs/a.json").write_text(json.dumps({**COMMAND, "inputs": ["data/*"]}))
    git("add", "-A", cwd=repo)
    for args in ((), ("--staged",)):
        result = check(repo, *args)
        assert (result.exit_code, len(result.stdout.splitlines())) == (65, 1)


def test_a_hostile_glob_takes_no_time(repo: Path, git: Git) -> None:
    """Would take years with a matcher that tries again."""
    (repo / "specs").mkdir()
    (repo / ("a" * 200)).write_text("x")
    (repo / "specs/a.json").write_text(json.dumps({**COMMAND, "inputs": ["*a" * 300 + "b", "**/" * 300 + "x"]}))
    assert check(repo).exit_code == 65
