from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timelab.diff import compare_file, compare_outputs
from timelab.diff.files import common_prefix
from timelab.errors import DataError


@pytest.mark.parametrize(
    ("path", "before", "after", "verdict"),
    [
        ("output/a.json", b'{"a":1,"b":2}', b'{"b": 2, "a": 1}\n', "equal"),
        ("output/a.json", b'{"a":0.1}', b'{"a":0.10000000000001}', "equal"),
        ("output/a.json", b'{"a":0.1}', b'{"a":0.1001}', "differs"),
        ("output/a.json", b'{"a":1}', b'{"a":true}', "differs"),
        ("output/a.json", b'{"a":[1,2]}', b'{"a":[2,1]}', "differs"),
        ("output/a.json", b'{"a":1,"a":2}', b'{"a":2}', "differs"),
        ("output/a.json", b'{"a":NaN}', b'{"a": NaN}', "equal"),
        ("output/a.json", b"not json", b"not json ", "differs"),
        ("output/a.jsonl", b'{"a":1,"b":2}\n{}\n', b'{"b":2,"a":1}\n{}', "equal"),
        ("output/a.jsonl", b"{}\n{}\n", b"{}\n", "differs"),
        ("output/a.csv", b"x,1.0\n", b"x,1.00\r\n", "equal"),
        ("output/a.csv", b"x,007\n", b"x,7\n", "differs"),
        ("output/a.csv", b"x,1e3\n", b"x,1000.0\n", "equal"),
        ("output/a.txt", b"1.0\n", b"1.00\n", "differs"),
        ("output/a.bin", b"\0\1", b"\0\1", "identical"),
    ],
)
def test_a_file_is_identical_equal_or_differs(path: str, before: bytes, after: bytes, verdict: str) -> None:
    """A12: order of keys and floats within the stated tolerance do not count, everything else does."""
    assert compare_file(path, before, after).verdict == verdict


def test_the_first_difference_is_a_line_with_both_sides() -> None:
    found = compare_file("output/a.txt", b"one\ntwo\nthree\n", b"one\ntoo\nthree\n").first
    assert found is not None
    assert (found.line, found.byte, found.before, found.after) == (2, 5, "two", "too")


def test_lines_that_are_equal_after_normalising_are_no_first_difference() -> None:
    before, after = b'{"a":1,"b":2}\n{"c":3}\n', b'{"b":2,"a":1}\n{"c":4}\n'
    found = compare_file("output/a.jsonl", before, after).first
    assert found is not None
    assert (found.line, found.before, found.after) == (2, '{"c":3}', '{"c":4}')


def test_long_lines_are_cut_around_the_difference() -> None:
    before = b"x" * 500 + b"A" + b"y" * 500
    found = compare_file("output/a.txt", before, before.replace(b"A", b"B")).first
    assert found is not None
    assert found.before.startswith("…x") and "xAy" in found.before and found.before.endswith("…")
    assert len(found.before) <= 102


@pytest.mark.parametrize("other", [b"", b"x", None])
def test_a_file_whose_bytes_are_gone_is_not_taken_for_an_empty_one(other: bytes | None) -> None:
    """Nothing can be said of it, least of all `identical`."""
    with pytest.raises(DataError, match="output/a of the record is missing or damaged"):
        compare_outputs(["output/a"], ["output/a"], lambda path: None, lambda path: other)


def test_binary_files_part_at_a_byte() -> None:
    found = compare_file("output/a.bin", b"\0\xff\1", b"\0\xff\2").first
    assert found is not None
    assert (found.line, found.byte, found.before, found.after) == (None, 2, "01", "02")


def test_only_outputs_are_compared_and_none_is_passed_over() -> None:
    files = {"output/a": b"1", "output/b": b"2"}
    found = compare_outputs(["output/a", "output/b", "logs/x"], ["output/a", "output/c"], files.get, files.get)
    assert [(item.path, item.verdict) for item in found] == [
        ("output/a", "identical"),
        ("output/b", "missing"),
        ("output/c", "new"),
    ]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_the_common_prefix_is_the_longest(one: bytes, other: bytes) -> None:
    at = common_prefix(one, other)
    assert one[:at] == other[:at]
    assert one[at : at + 1] != other[at : at + 1] or at == len(one) == len(other)


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(["a.txt", "a.json", "a.jsonl", "a.csv"]))
def test_no_pair_of_files_is_too_odd(before: bytes, after: bytes, name: str) -> None:
    """K7: every verdict agrees with itself in both directions."""
    one, other = compare_file(name, before, after), compare_file(name, after, before)
    assert one.verdict == other.verdict
    assert (one.verdict == "identical") == (before == after)
    assert (one.first is None) == (one.verdict != "differs")
