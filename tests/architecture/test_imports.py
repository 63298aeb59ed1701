"""The laws of layout.md section 2 and style S1–S3, G1, R1, B1, O1, read out of the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Git

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "timelab"

# A unit may import what stands before it. In a row marked apart, siblings do not know each other.
ORDERED, APART = "ordered", "apart"
LAYERS: list[tuple[str, str, str]] = [
    ("ground", ORDERED, "errors names clock envvars process interrupts redact atomic canonical config log"),
    ("documents", ORDERED, "spec manifest plan events diff views hookspecs check"),
    ("adapters", APART, "git shell providers attest plugins schemas"),
    ("configured", ORDERED, "settings"),
    ("doing", APART, "executors store queue"),
    ("trust", ORDERED, "trust"),
    ("conductor", ORDERED, "recording run pending setup versions"),
    ("reading", APART, "verify replay search"),
    ("edges", ORDERED, "testing cli __main__"),
    ("optional", APART, "contrib"),
]
RANK = {
    unit: (row, place if how == ORDERED else 0)
    for row, (_, how, units) in enumerate(LAYERS)
    for place, unit in enumerate(units.split())
}

SOURCES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}
# What the cheap commands may load is the standard library; click only where there is a command line.
AT_TOP = {"click": ("cli",), "pydantic": ("spec/model.py", "spec/load.py", "spec/explain.py", "manifest.py"),
          "pydantic_core": ("spec/explain.py",)}  # fmt: skip


# Takes every field of the value that it builds; a dataclass in between would be that value again.
MANY = {"make_plan"}


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(tree: ast.AST, *, top_only: bool = False) -> Iterator[str]:
    """Yields the full names of what is imported when the program runs (type-checking imports are exempt)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                # Allowed in shell/inside only, which also runs where there is no timelab.
                yield "timelab.shell.inside"
                continue
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (top_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))):
            yield from imports(node, top_only=top_only)


def test_every_unit_has_its_place() -> None:
    assert {unit_of(path) for path in SOURCES} - {"__init__"} - RANK.keys() == set()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    """S2: what stands before may be imported, never what stands after; in one row apart, not even siblings."""
    unit = unit_of(path)
    if unit == "__init__":
        return
    wrong = []
    for name in imports(TREES[path]):
        parts = name.split(".")
        is_other = parts[0] == "timelab" and len(parts) > 1 and parts[1] in RANK and parts[1] != unit
        if is_other and not RANK[parts[1]] < RANK[unit]:
            wrong.append(name)
    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_heavy_is_imported_at_the_top(path: Path) -> None:
    """S3: heavy and optional packages are imported in the function that needs them."""
    name = name_of(path)
    found = {module.split(".")[0] for module in imports(TREES[path], top_only=True)}
    foreign = found - set(sys.stdlib_module_names) - {"timelab"}
    assert {each for each in foreign if not name.startswith(AT_TOP.get(each, ()) or "-")} == set()


def users_of(module: str) -> set[str]:
    return {name_of(path) for path, tree in TREES.items() if module in {each.split(".")[0] for each in imports(tree)}}


def test_only_the_git_package_knows_libgit2() -> None:
    """G1."""
    assert {name for name in users_of("pygit2") if not name.startswith("git/")} == set()


def test_processes_start_in_one_place() -> None:
    """R1: the sandbox's own launcher starts the task, everything else goes through process.py."""
    assert {name for name in users_of("subprocess") if not name.startswith("shell/")} <= {"process.py"}


def test_one_module_hashes() -> None:
    """B1; git/trees.py names objects as git does, with SHA-1 of its own header and bytes."""
    assert users_of("hashlib") <= {"canonical.py", "git/trees.py"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_prints_or_changes_the_process_outside_the_edge(path: Path) -> None:
    """O1, S5, E1: no print outside cli/, no chdir, no SystemExit."""
    calls = [ast.unparse(node.func) for node in ast.walk(TREES[path]) if isinstance(node, ast.Call)]
    if unit_of(path) not in ("cli", "__main__"):
        assert {"print", "sys.exit", "exit", "click.echo"}.isdisjoint(calls)
    if not name_of(path).startswith("shell/"):
        assert {"os.chdir", "os.putenv", "os.environ.update"}.isdisjoint(calls)


def test_nothing_is_called_utils() -> None:
    """S2."""
    assert [name_of(path) for path in SOURCES if path.stem in ("utils", "util", "helpers", "common", "misc")] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    """S1: a module has at most 400 lines, a function at most 60 and 6 parameters (a command has its options)."""
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= 400
    wrong = []
    for node in ast.walk(TREES[path]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            is_command = any(
                "command" in ast.unparse(each) or "group" in ast.unparse(each) for each in node.decorator_list
            )
            if length > 60 or (count > 6 and not is_command and node.name not in MANY):
                wrong.append(f"{node.name}: {length} lines, {count} parameters")
    assert wrong == []


def loaded_by(*args: str, cwd: Path) -> set[str]:
    """Returns the modules that a call of the command line leaves loaded, in a process of its own."""
    import subprocess

    code = (
        "import sys; from timelab.cli import cli; code = cli.main(sys.argv[1:], standalone_mode=False);"
        "sys.stderr.write('\\n@@' + ' '.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("@@")[2].split())


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["log"], ["check", "--staged"], ["config"]], ids=" ".join)
def test_cheap_commands_load_nothing_heavy(repo: Path, args: list[str]) -> None:
    """S3: `timelab --version`, `log` and a commit without specs must not wait for pydantic or libgit2."""
    heavy = {"pydantic", "pydantic_core", "pygit2", "jsonschema", "detect_secrets", "yaml", "rfc8785"}
    assert loaded_by(*args, cwd=repo) & heavy == set()


def test_the_check_of_a_spec_loads_no_more_than_the_spec_needs(repo: Path, git: Git) -> None:
    """A32, S3: it stands between a person and their commit, so it does not pay for runs and records."""
    (repo / "specs").mkdir()
    (repo / "specs/a.yaml").write_text('timelab: 1\nkind: command\nargv: ["true"]\n')
    git("add", "specs", cwd=repo)
    heavy = {"timelab.manifest", "timelab.run", "pygit2", "jsonschema", "detect_secrets", "rfc8785"}
    assert loaded_by("check", "--staged", cwd=repo) & heavy == set()


def test_relative_imports_stand_inside_the_sandbox_only() -> None:
    found = {
        name_of(path).rpartition("/")[0]
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    }
    assert found <= {"shell/inside"}
