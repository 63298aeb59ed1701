"""No variable is read that the table does not name, and none is named that nobody reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from timelab.envvars import ENV_VARS

NAMES = frozenset(each.name for each in ENV_VARS)
PACKAGE = Path(__file__).parents[2] / "timelab"
# Read to be passed on unchanged to git and other programs, or to find the machine's own folders.
PASSED_ON = re.compile(
    r"PATH|TMPDIR|LANG|LC_.*|SSH_.*|SSL_.*|GIT_.*|XDG_.*|.*_PROXY|.*_proxy|USER|LOGNAME|SHELL|DISPLAY"
)


def texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def looked_up(tree: ast.AST) -> Iterator[str]:
    """Yields the names in `environ["X"]`, `environ.get("X")` and `getenv("X")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if ast.unparse(node.value).endswith("environ"):
                yield str(node.slice.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("environ.get", "getenv")):
            yield ast.unparse(node.args[0]).strip("'")


def sources() -> dict[Path, ast.AST]:
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def test_every_variable_that_is_read_stands_in_the_table() -> None:
    found = {name for tree in sources().values() for name in looked_up(tree)}
    assert {name for name in found - NAMES if not PASSED_ON.fullmatch(name)} == set()


def test_every_variable_of_ours_stands_in_the_table() -> None:
    pattern = re.compile(r"\bTIMELAB_[A-Z_]+\b")
    found = {name for tree in sources().values() for text in texts(tree) for name in pattern.findall(text)}
    assert found - NAMES == set()


def test_every_variable_of_the_table_is_used() -> None:
    elsewhere = "\n".join(text for path, tree in sources().items() if path.name != "envvars.py" for text in texts(tree))
    assert {name for name in NAMES if not re.search(rf"\b{name}\b", elsewhere)} == set()


def test_each_has_one_sentence() -> None:
    assert len(NAMES) == len(ENV_VARS)
    for each in ENV_VARS:
        assert each.sentence.endswith((".", ")."))
        assert "\n" not in each.sentence
