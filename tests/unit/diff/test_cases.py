from __future__ import annotations

import json

from timelab.diff import pair_cases


def lines(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def test_cases_belong_together_by_their_input_however_far_they_moved() -> None:
    before = lines({"input": {"t": "cat"}, "output": "a"}, {"input": {"t": "dog"}, "output": "b"})
    after = lines(
        {"input": {"t": "new"}, "output": "n"},
        {"input": {"t": "dog"}, "output": "B"},
        {"input": {"t": "cat"}, "output": "a"},
    )
    found = [(pair.case, pair.input, pair.before, pair.after, pair.verdict) for pair in pair_cases(before, after)]
    assert found == [
        ("1", "t: new", None, "n", "new"),
        ("2", "t: dog", "b", "B", "changed"),
        ("3", "t: cat", "a", "a", "same"),
    ]


def test_one_prompt_is_paired_by_order_and_what_is_gone_comes_last() -> None:
    before = lines({"input": None, "output": "a"}, {"input": None, "output": "b"})
    found = pair_cases(before, lines({"input": None, "output": "a"}))
    assert [(pair.before, pair.after, pair.verdict) for pair in found] == [("a", "a", "same"), ("b", None, "missing")]


def test_answers_that_are_json_are_shown_as_text() -> None:
    (pair,) = pair_cases(lines({"output": {"b": 1, "a": "ü"}}), lines({"output": {"a": "ü", "b": 1}}))
    assert pair.verdict == "same"
    assert pair.after == '{\n  "a": "ü",\n  "b": 1\n}'


def test_other_files_give_no_cases() -> None:
    for data in (None, b"", b"text\n", b"[1]\n", b"{}\n"):
        assert pair_cases(data, data) == ()
