"""Cases of a prompt: the lines of a JSONL or CSV file, and putting their values into `{{ name }}`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from timelab.canonical import canonical_bytes
from timelab.errors import DataError, SpecError

MAX_CASES = 1_000_000
_MAX_CELL_CHARS = 1 << 24
# `\{{`, `{{ name }}` with any name that a header can have, or braces that are neither.
_PLACE = re.compile(r"\\(\{\{)|\{\{[ \t]*([^{}\n]*?)[ \t]*\}\}|(\{\{)")

Case = Mapping[str, Any]


def read_cases(data: bytes, path: str) -> list[Case]:
    """Returns the cases of a file in its order: JSON objects of a `.jsonl`, rows of a `.csv` by its header.

    Raises:
        SpecError: `file:line: what`.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{path}:{line}: not UTF-8", hint="save the cases as UTF-8") from error
    suffix = path.rpartition(".")[2].lower()
    if suffix in ("jsonl", "ndjson"):
        cases = _read_jsonl(text, path)
    elif suffix == "csv":
        cases = _read_csv(text, path)
    else:
        raise SpecError(f"{path}: cases must be .jsonl or .csv", hint="one JSON object a line, or a header and rows")
    if not cases:
        raise SpecError(f"{path}: holds no case")
    if len(cases) > MAX_CASES:
        raise SpecError(f"{path}: {len(cases)} cases, at most {MAX_CASES} in one run")
    return cases


def _read_jsonl(text: str, path: str) -> list[Case]:
    cases: list[Case] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_object)
            canonical_bytes(value)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"{path}:{number}: not JSON: {ascii(str(error))[1:-1][:120]}") from error
        except DataError as error:
            raise SpecError(f"{path}:{number}: {error.message}") from error
        if not isinstance(value, dict):
            raise SpecError(f"{path}:{number}: a case is a JSON object, this is {type(value).__name__}")
        cases.append(value)
    return cases


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses doubled names: which of the two is meant nobody can tell."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


def _read_csv(text: str, path: str) -> list[Case]:
    # The limit is the process's own, so it is set back; the default of 128 KiB is less than one long text.
    before = csv.field_size_limit(_MAX_CELL_CHARS)
    try:
        return list(_rows(text, path))
    finally:
        csv.field_size_limit(before)


def _rows(text: str, path: str) -> Iterator[Case]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    # A row may span lines; it is named by its first.
    line = 1
    try:
        for row in reader:
            line, start = reader.line_num + 1, line
            if all(not cell.strip() for cell in row):
                continue
            if header is None:
                header = [cell.strip() for cell in row]
                if len(set(header)) != len(header) or "" in header:
                    raise SpecError(f"{path}:{start}: the header has an empty or doubled name")
            elif len(row) != len(header):
                raise SpecError(f"{path}:{start}: {len(row)} cells under a header of {len(header)}")
            else:
                yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise SpecError(f"{path}:{line}: not CSV: {ascii(str(error))[1:-1][:120]}") from error


def names_in(template: str) -> set[str]:
    """Returns the names that a template asks for."""
    return {match[2] for match in _PLACE.finditer(template) if match[2]}


def render(template: str, case: Case, where: str) -> str:
    r"""Returns the template with each `{{ name }}` replaced by the case's value; `\{{` stands for `{{` itself.

    Text goes in as it is, anything else as canonical JSON; a dotted name goes into objects. Nothing is evaluated, and
    what was put in is not looked at again.

    Raises:
        SpecError: a name that the case does not have, or braces with no name in them.
    """

    def value_of(match: re.Match[str]) -> str:
        if match[1]:
            return "{{"
        if not match[2]:
            at = template.count("\n", 0, match.start()) + 1
            raise SpecError(f"{where}: line {at} of the prompt: '{{{{' with no name", hint="write \\{{ for '{{' itself")
        value: Any = case
        for part in (match[2],) if match[2] in case else match[2].split("."):
            if not isinstance(value, Mapping) or part not in value:
                known = ", ".join(sorted(str(name) for name in case)) or "nothing"
                what = "in this case" if case else "known: the spec has no cases"
                raise SpecError(
                    f"{where}: {{{{ {ascii(match[2])[1:-1][:80]} }}}} is not {what}",
                    hint=f"it has: {known[:200]}; write \\{{{{ for '{{{{' itself",
                )
            value = value[part]
        return value if isinstance(value, str) else canonical_bytes(value).decode()

    return _PLACE.sub(value_of, template)
