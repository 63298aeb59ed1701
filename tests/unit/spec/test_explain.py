"""Every rule of the model has words."""

from __future__ import annotations

from typing import Any

import pytest

from timelab.errors import SpecError
from timelab.schemas import schema
from timelab.spec.explain import PATTERNS, near
from timelab.spec.load import load_spec


def patterns(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["pattern"]} if isinstance(node.get("pattern"), str) else set()
        return own.union(*(patterns(inner) for inner in node.values()))
    return set().union(*(patterns(inner) for inner in node)) if isinstance(node, list) else set()


def test_every_pattern_of_the_model_has_words() -> None:
    assert patterns(schema("spec")) == set(PATTERNS)


def test_a_near_word_is_found_and_a_far_one_is_not() -> None:
    assert near("Timout", ("timeout_s", "tags")) == "timeout_s"
    assert near("zzz", ("timeout_s", "tags")) is None


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("argv: echo hi", "write argv: [echo, hi]"),
        ("argv: python3 -m tool --n 3 'two words'", 'write argv: [python3, -m, tool, --n, "3", "two words"]'),
        ("argv: test no", 'write argv: [test, "no"]'),
        ("argv: 'say \"a: b\"'", 'write argv: [say, "a: b"]'),
        ("argv: ls *.csv", "no shell reads argv: put the line into a script file and name that file under 'script'"),
        ("argv: a | b > c", "no shell reads argv: put the line into a script file and name that file under 'script'"),
        ("argv: it's", "write each word as an item of its own, [program, argument]"),
        ("argv: ''", "write each word as an item of its own"),
        (f"argv: {'x ' * 200}", "write each word as an item of its own"),
        ("script: a.sh\nargs: --all '*'", 'write args: [--all, "*"]'),
        ("argv: [a]\ninputs: my data.csv", 'write inputs: ["my data.csv"]'),
        ("argv: [a]\ninputs: 3", None),
    ],
)
def test_a_string_in_place_of_a_list_is_shown_as_the_list_that_was_meant(written: str, hint: str | None) -> None:
    """A224: following the hint gives a spec that runs what was meant."""
    with pytest.raises(SpecError) as caught:
        load_spec(f"timelab: 1\nkind: command\n{written}\n".encode(), "specs/a.yaml")
    assert [problem.hint for problem in caught.value.problems] == [hint]
    if hint and "[" in hint and hint.startswith("write a"):
        load_spec(f"timelab: 1\nkind: command\nscript: a.sh\n{hint[6:].replace('argv', 'args')}\n".encode(), "a.yaml")
