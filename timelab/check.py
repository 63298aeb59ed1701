"""Judges files before they are committed: specs, the files that they name, and what must never enter git."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from timelab.errors import DataError, Problem, SpecError

_MAX_PATH_CHARS = 200


@dataclass(frozen=True)
class CheckReport:
    """Is what `timelab check --json` prints: how many specs were looked at, and all that is wrong."""

    checked: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Tree:
    """Is a set of files that a spec is judged against: the work tree's, or the index's.

    `paths` are all paths, sorted; `is_file` says whether a regular file stands there (no link, no submodule), `read`
    returns its bytes, or None.
    """

    paths: tuple[str, ...]
    is_file: Callable[[str], bool]
    read: Callable[[str], bytes | None]


def check_specs(paths: Iterable[str], tree: Tree, *, scan: bool = False) -> CheckReport:
    """Judges those files of a tree that mean to be specs; with `scan` also for secrets in them."""
    from timelab.spec.source import is_ours

    checked = 0
    problems: list[Problem] = []
    for path in paths:
        data = tree.read(path)
        if data is None:
            problems.append(not_a_file(path))
        elif is_ours(data, path):
            checked += 1
            problems += check_spec(data, path, tree)
            problems += check_secrets(data, path) if scan else ()
    return CheckReport(checked, tuple(problems))


def check_spec(data: bytes, path: str, tree: Tree | None, *, given_by_hand: bool = False) -> tuple[Problem, ...]:
    """Returns what is wrong with one spec, and with the files that it names (if the tree is known)."""
    from timelab.plan import named_files
    from timelab.spec.load import load_spec

    try:
        spec = load_spec(data, path, given_by_hand=given_by_hand).spec
    except SpecError as error:
        return error.problems
    if tree is None:
        return ()
    try:
        named = named_files(spec, tree.paths)
    except DataError as error:
        # Also a PathError: the repository may hold a file whose name no run can carry, and a glob may find it.
        return (_located(error, data, path),)
    problems = [
        _problem(
            path, f"names {_quote(name)}, which is no regular file", "a run is given files, not links or submodules"
        )
        for name in named
        if not tree.is_file(name)
    ]
    schema = getattr(spec, "response_schema", None)
    if isinstance(schema, str) and not problems:
        problems += _check_schema_file(schema, tree)
    return tuple(problems)


def _check_schema_file(path: str, tree: Tree) -> list[Problem]:
    """Judges the file that a spec names as the schema of its answers."""
    from timelab.spec.document import SourceFault, given, pointer_text
    from timelab.spec.json_source import parse_json
    from timelab.spec.response_schema import schema_faults
    from timelab.spec.source import decode

    data = tree.read(path)
    try:
        document = parse_json(decode(data or b""))
    except SourceFault as fault:
        line, column = fault.mark or (0, 0)
        return [Problem(_quote(path), line, column, "", fault.what, fault.hint)]
    if not isinstance(document.value, dict):
        return [_problem(path, f"a JSON Schema must be a mapping, not {given(document.value)}")]
    return [
        Problem(_quote(path), *document.mark_of(pointer), pointer_text(pointer), what)
        for pointer, what in schema_faults(document.value)
    ]


def _located(error: DataError, data: bytes, path: str) -> Problem:
    """Gives a complaint about a named file, which knows its pointer only, the place of that pointer."""
    from timelab.spec.source import parse

    pointer, found, what = error.message.partition(": ")
    if not found or not pointer.startswith("/"):
        return _problem(path, error.message, error.hint)
    parts = tuple(int(part) if part.isdecimal() else part for part in pointer[1:].split("/"))
    return Problem(_quote(path), *parse(data, path).mark_of(parts), pointer, what, error.hint)


def check_secrets(data: bytes, path: str) -> tuple[Problem, ...]:
    """Returns where secrets stand in a file; never quotes them (A188)."""
    from timelab.redact import find_secrets

    hint = "take it out; a task gets it at run time by the variable's name under 'env'"
    return tuple(
        Problem(_quote(path), found.line, 1 if found.line else 0, "", f"holds a secret ({found.kind})", hint)
        for found in find_secrets(data, path)
    )


def is_secret_path(path: str) -> bool:
    """Says whether a file must stay outside git by its name: below secrets/, or .env and its kin (A185, A187).

    `.envrc` is direnv's, which names a shell; `.env.example` and its like show which names there are.
    """
    name = path.rpartition("/")[2]
    if path.startswith("secrets/"):
        return True
    if not re.fullmatch(r"\.env(\..*)?", name, re.DOTALL):
        return False
    return not name.endswith((".example", ".sample", ".template"))


def check_staged_paths(paths: Iterable[str], every: Iterable[str]) -> tuple[Problem, ...]:
    """Returns what is wrong with the staged paths themselves; `every` are all paths of the index."""
    problems = []
    has_root_lock = "flake.lock" in set(every)
    for path in paths:
        if is_secret_path(path):
            hint = "keep secrets outside git: git restore --staged -- " + _quote(path)
            problems.append(_problem(path, "must not be committed", hint))
        elif has_root_lock and path.endswith("/flake.lock"):
            # One repository, one lock file (A11): two locks pin two worlds.
            problems.append(_problem(path, "is a second flake.lock", "the one at the root pins everything"))
    return tuple(problems)


def not_a_file(path: str) -> Problem:
    """Returns the problem of a path at which no regular file stands."""
    return _problem(path, "is no regular file", "a spec is a file of its own, not a link")


def _problem(path: str, what: str, hint: str | None = None) -> Problem:
    return Problem(_quote(path), 0, 0, "", what, hint)


def _quote(path: str) -> str:
    from timelab.spec.document import visible

    return visible(path[:_MAX_PATH_CHARS])
