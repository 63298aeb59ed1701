"""Which paths are specs, and globs that no pattern can slow down."""

from __future__ import annotations

import pytest

from timelab.spec.paths import glob_matches, is_spec_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("specs/a.yaml", True),
        ("specs/deep/er/a.json", True),
        ("2026/11/20/ai-team/specs/demo.json", True),
        ("2026/11/20/ai-team/specs/deep/demo.json", False),
        ("src/x.spec.toml", True),
        ("x.spec.yml", True),
        ("specs/a.txt", False),
        ("spec/a.yaml", False),
        ("2026/11/20/ai-team/artifacts/1/output/x.spec.json", False),
        ("specs/outputs/x.yaml", False),
    ],
)
def test_a_spec_is_told_by_its_path(path: str, expected: bool) -> None:
    """A29: dated specs, specs/ and *.spec.*; a model's own output never becomes a spec."""
    assert is_spec_path(path) is expected


def test_a_repository_may_add_patterns() -> None:
    assert is_spec_path("jobs/a.yaml", ("jobs/*.yaml",))
    assert not is_spec_path("jobs/artifacts/a.yaml", ("jobs/**/*.yaml",))


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**", "a", False),
        ("**/a", "a", True),
        ("*", "a/b", False),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[!a]x", "ax", False),
        ("[^a]x", "bx", True),
        ("[]a]x", "]x", True),
        ("[z-a]x", "zx", False),
        ("[&&--]x", "&x", True),
        ("a[", "a[", True),
        ("a\nb", "a\nb", True),
        ("*a*b*", "xaxbx", True),
        ("a*a", "a", False),
        ("a.b", "aXb", False),
        ("*a*" * 200 + "b", "a" * 1000, False),
        ("**/" * 200 + "x", "a/" * 400 + "y", False),
    ],
)
def test_globs_are_those_of_git(pattern: str, path: str, expected: bool) -> None:
    assert glob_matches(pattern, path) is expected
