"""Judges files before they are committed: specs, the files that they name, and what must never enter git."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from timelab.errors import DataError, Problem, SpecError

if TYPE_CHECKING:
    from timelab.spec.document import Document, Pointer
    from timelab.spec.model import CommandSpec, LlmSpec

_MAX_PATH_CHARS = 200
PROVIDERS: tuple[str, ...] = ("builtin", "recorded", "ollama", "llamacpp", "openai")
"""The names that a model may begin with (design 5). A timelab may be without some; another name is a mistake."""


@dataclass(frozen=True)
class CheckReport:
    """Is what `timelab check --json` prints: how many specs were looked at, all that is wrong, and what is no fault."""

    checked: int
    problems: tuple[Problem, ...]
    remarks: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Tree:
    """Is a set of files that a spec is judged against: the work tree's, or the index's.

    `paths` are all paths, sorted; `is_file` says whether a regular file stands there (no link, no submodule), `read`
    returns its bytes, or None.
    """

    paths: tuple[str, ...]
    is_file: Callable[[str], bool]
    read: Callable[[str], bytes | None]


@dataclass(frozen=True)
class Judges:
    """Is what only those know who do the work, given from outside for the import law's sake.

    `prompts` takes an llm spec, how to read a file, and how to make a problem of a place in the spec; it returns what a
    run would refuse. `has_provider` says whether this timelab has a provider of that name.
    """

    prompts: Callable[
        [LlmSpec, Callable[[str], bytes | None], Callable[[Pointer, str, str | None], Problem]], list[Problem]
    ]
    has_provider: Callable[[str], bool]


def check_specs(paths: Iterable[str], tree: Tree, judges: Judges, *, scan: bool = False) -> CheckReport:
    """Judges those files of a tree that mean to be specs; with `scan` also for secrets in them."""
    from timelab.spec.source import is_ours

    checked = 0
    problems: list[Problem] = []
    remarks: list[Problem] = []
    for path in paths:
        data = tree.read(path)
        if data is None:
            problems.append(not_a_file(path))
        elif is_ours(data, path):
            report = check_spec(data, path, tree, judges)
            checked += report.checked
            problems += report.problems
            problems += check_secrets(data, path) if scan else ()
            remarks += report.remarks
        else:
            remarks.append(_problem(path, "not a spec of timelab (no top-level timelab key), left alone"))
    return CheckReport(checked, tuple(problems), tuple(remarks))


def check_spec(
    data: bytes, path: str, tree: Tree | None, judges: Judges, *, given_by_hand: bool = False
) -> CheckReport:
    """Judges one spec, and the files that it names (if the tree is known)."""
    from timelab.plan import named_files
    from timelab.spec.load import load_spec

    try:
        spec = load_spec(data, path, given_by_hand=given_by_hand).spec
    except SpecError as error:
        return CheckReport(1, error.problems)
    place = _Place(path, data)
    wrong, remarks = _check_models(spec, place, judges) if spec.kind == "llm" else ([], [])
    if tree is None:
        return CheckReport(1, tuple(wrong), tuple(remarks))
    try:
        named = named_files(spec, tree.paths)
    except DataError as error:
        # Also a PathError: the repository may hold a file whose name no run can carry, and a glob may find it.
        return CheckReport(1, (*wrong, _located(error, place)), tuple(remarks))
    links = [
        _problem(
            path, f"names {_quote(name)}, which is no regular file", "a run is given files, not links or submodules"
        )
        for name in named
        if not tree.is_file(name)
    ]
    wrong += links
    if spec.kind == "command":
        wrong += _check_program(spec, place, tree)
    elif not links:
        wrong += judges.prompts(spec, tree.read, place.problem)
        wrong += _check_schema_file(spec.response_schema, tree) if isinstance(spec.response_schema, str) else []
    return CheckReport(1, tuple(wrong), tuple(remarks))


@dataclass(frozen=True)
class _Place:
    """Knows where in a spec's text a pointer leads."""

    path: str
    data: bytes

    @cached_property
    def _document(self) -> Document:
        from timelab.spec.source import parse

        return parse(self.data, self.path)

    def problem(self, pointer: Pointer, what: str, hint: str | None) -> Problem:
        from timelab.spec.document import pointer_text

        return Problem(_quote(self.path), *self._document.mark_of(pointer), pointer_text(pointer), what, hint)


def _check_models(spec: LlmSpec, place: _Place, judges: Judges) -> tuple[list[Problem], list[Problem]]:
    """Returns what is wrong with the names of the models, and which of them nobody here can answer for."""
    from timelab.spec.explain import near

    wrong: list[Problem] = []
    absent: list[Problem] = []
    models: list[tuple[Pointer, str]] = [(("model",), spec.model)]
    models += [(("fallback", number), model) for number, model in enumerate(spec.fallback)]
    for pointer, model in models:
        name = model.partition(":")[0]
        if name not in PROVIDERS:
            meant = near(name, PROVIDERS)
            hint = f"did you mean '{meant}'?" if meant else f"known: {', '.join(PROVIDERS)}"
            wrong.append(place.problem(pointer, f"there is no provider '{_quote(name)}'", hint))
        elif not judges.has_provider(name):
            has = ", ".join(each for each in PROVIDERS if judges.has_provider(each))
            absent.append(place.problem(pointer, f"this timelab has no provider '{name}'", f"it has: {has}"))
    return wrong, absent


def _check_program(spec: CommandSpec, place: _Place, tree: Tree) -> list[Problem]:
    """Judges a program that is named by its place in the repository; one without a slash is the shell's to find."""
    program = spec.argv[0] if spec.argv else ""
    if "/" not in program or program.startswith("/") or posixpath.normpath(program) in tree.paths:
        return []
    what = f"no such file in the commit: '{_quote(program)}'"
    hint = "the path is relative to the repository's root; a program of the shell has no slash"
    return [place.problem(("argv", 0), what, hint)]


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


def _located(error: DataError, place: _Place) -> Problem:
    """Gives a complaint about a named file, which knows its pointer only, the place of that pointer."""
    pointer, found, what = error.message.partition(": ")
    if not found or not pointer.startswith("/"):
        return _problem(place.path, error.message, error.hint)
    parts = tuple(int(part) if part.isdecimal() else part for part in pointer[1:].split("/"))
    return place.problem(parts, what, error.hint)


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
