"""What is wrong with the prompts of a spec, told before a run: the rules are those by which `llm` fills them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from timelab.errors import Problem, SpecError
from timelab.executors.cases import Case, names_in, read_cases, render
from timelab.spec.document import Pointer, visible
from timelab.spec.model import LlmSpec

Locate = Callable[[Pointer, str, str | None], Problem]
"""Makes a problem of a place in the spec, what is wrong there, and a hint."""

_IN_FILE = re.compile(r":(?:(\d+):)? (.*)", re.DOTALL)


def prompt_problems(spec: LlmSpec, read: Callable[[str], bytes | None], locate: Locate) -> list[Problem]:
    """Returns what a run would refuse in the cases, and in the texts that are filled from them.

    Args:
        spec: one whose named files are all there.
        read: returns the bytes of a file of the repository.
        locate: places a finding in the spec.
    """
    cases: Sequence[Case] = [{}]
    if spec.cases is not None:
        try:
            cases = read_cases(read(spec.cases) or b"", spec.cases)
        except SpecError as error:
            return [_in_file(error, spec.cases)]
    texts = list(_texts(spec))
    if spec.prompt_file is not None:
        try:
            text = (read(spec.prompt_file) or b"").decode("utf-8-sig")
        except UnicodeDecodeError:
            return [Problem(visible(spec.prompt_file), 0, 0, "", "is not UTF-8", "save it as UTF-8")]
        # Without cases it is sent as it is: it may be any text, with braces of its own.
        texts += [(("prompt_file",), text)] if spec.cases is not None else []
    problems = []
    if spec.cases is not None and not any(names_in(text) for _, text in texts):
        some = visible(", ".join(sorted(str(name) for name in cases[0]))[:200])
        hint = f"write {{{{ name }}}} into it; the cases have: {some}"
        problems.append(locate(("cases",), "the prompt uses nothing of the cases", hint))
    for pointer, text in texts:
        fault = _first_fault(text, cases, spec.cases is not None)
        if fault is not None:
            # Only the place is ours to say; `render` puts it before a colon.
            what = fault.message.removeprefix(": ")
            problems.append(locate(pointer, visible(what), visible(fault.hint) if fault.hint else None))
    return problems


def _texts(spec: LlmSpec) -> Iterator[tuple[Pointer, str]]:
    for name in ("system", "prompt"):
        text = getattr(spec, name)
        if text is not None:
            yield (name,), text
    for number, message in enumerate(spec.messages or ()):
        yield ("messages", number, "content"), message.content


def _first_fault(text: str, cases: Sequence[Case], has_cases: bool) -> SpecError | None:
    names = names_in(text)
    for number, case in enumerate(cases, 1):
        # A case that has every name is filled without fault; the first is filled to find braces without a name.
        if number > 1 and names <= case.keys():
            continue
        try:
            render(text, case, f"case {number}" if has_cases else "")
        except SpecError as error:
            return error
    return None


def _in_file(error: SpecError, path: str) -> Problem:
    """Takes the message of `read_cases`, `file:line: what`, apart."""
    found = _IN_FILE.fullmatch(error.message.removeprefix(path))
    line, what = (int(found[1] or 0), found[2]) if found else (0, error.message)
    return Problem(visible(path), line, 1 if line else 0, "", visible(what), error.hint)
