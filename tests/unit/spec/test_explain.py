"""Every rule of the model has words."""

from __future__ import annotations

from typing import Any

from timelab.schemas import schema
from timelab.spec.explain import PATTERNS, near


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
