"""Cases of a prompt: what files hold them, and how they fill it."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timelab.errors import SpecError
from timelab.executors.cases import names_in, read_cases, render


def fault(data: bytes, path: str) -> str:
    with pytest.raises(SpecError) as caught:
        read_cases(data, path)
    return caught.value.message


def test_jsonl_keeps_types_order_and_doubled_cases() -> None:
    data = b'\xef\xbb\xbf{"a": 1, "b": [true, null]}\n\n  \r\n{"a": 1.5}\r\n{"a": 1.5}'
    assert read_cases(data, "c.jsonl") == [{"a": 1, "b": [True, None]}, {"a": 1.5}, {"a": 1.5}]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{", "not JSON"),
        (b"[1]", "a case is a JSON object, this is list"),
        (b'{"a": NaN}', "not canonical JSON"),
        (b'{"a": 9007199254740993}', "not canonical JSON"),
        (b'{"a": 1, "a": 2}', "a name stands twice"),
        (b'{"a": "\\ud800"}', "not canonical JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
    ],
)
def test_jsonl_fault_names_file_and_line(line: bytes, what: str) -> None:
    message = fault(b'{"a": 1}\n\n' + line + b"\n", "data/c.jsonl")
    assert message.startswith("data/c.jsonl:3: ") and what in message


def test_csv_has_header_quotes_blank_lines_and_line_ends_inside() -> None:
    data = '\ufeffname,text\r\n\r\nada,"two\nlines, ""quoted"""\r\n,\nbob,\n'.encode()
    assert read_cases(data, "c.csv") == [{"name": "ada", "text": 'two\nlines, "quoted"'}, {"name": "bob", "text": ""}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1\n", "c.csv:2: 1 cells under a header of 2"),
        (b'a,b\n"x\ny",2\n1,2,3\n', "c.csv:4: 3 cells under a header of 2"),
        (b"a,a\n1,2\n", "c.csv:1: the header has an empty or doubled name"),
        (b"a,\n1,2\n", "c.csv:1: the header has an empty or doubled name"),
        (b'a\nok\n"open', "c.csv:3: not CSV"),
        (b"a\n\xff\n", "c.csv:2: not UTF-8"),
        (b"a,b\n", "c.csv: holds no case"),
        (b"", "c.csv: holds no case"),
    ],
)
def test_csv_fault_names_file_and_line(data: bytes, message: str) -> None:
    assert fault(data, "c.csv").startswith(message)


def test_long_cell_is_read_and_the_process_keeps_its_limit() -> None:
    before = csv.field_size_limit()
    assert len(read_cases(b"text\n" + b"x" * 500_000, "c.csv")[0]["text"]) == 500_000
    assert csv.field_size_limit() == before


def test_other_files_are_refused_by_their_name() -> None:
    assert "must be .jsonl or .csv" in fault(b"x", "c.txt")


@given(
    st.lists(
        st.fixed_dictionaries({"a": st.text(st.characters(codec="utf-8"), max_size=20), "b": st.just("x")}),
        min_size=1,
        max_size=5,
    )
)
def test_csv_survives_the_round_trip(rows: list[dict[str, str]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["a", "b"])
    writer.writeheader()
    writer.writerows(rows)
    assert read_cases(out.getvalue().encode(), "c.csv") == rows


@pytest.mark.parametrize(
    ("template", "case", "text"),
    [
        ("Hello {{ name }}!", {"name": "Ada"}, "Hello Ada!"),
        ("{{name}}{{ name }}", {"name": "x"}, "xx"),
        ("{{ a }} {{ b }} {{ c }} {{ d }}", {"a": 1.0, "b": True, "c": None, "d": [1, "ü"]}, '1 true null [1,"ü"]'),
        ("{{ user.name }}", {"user": {"name": "Ada"}}, "Ada"),
        ("{{ user.name }}", {"user.name": "flat", "user": {"name": "deep"}}, "flat"),
        ("{{ first name }} {{ größe }}", {"first name": "Ada", "größe": "1"}, "Ada 1"),
        ("\\{{ name }} {{ name }}", {"name": "x"}, "{{ name }} x"),
        ("{ name } }} {", {}, "{ name } }} {"),
    ],
)  # fmt: skip
def test_places_are_filled(template: str, case: dict[str, Any], text: str) -> None:
    assert render(template, case, "spec.yaml") == text


@pytest.mark.parametrize("value", ["{{ other }}", "\\1", "\\g<0>", "{% for x in y %}", "{{ 1 + 1 }}", "${HOME}"])
def test_what_was_put_in_is_not_looked_at_again(value: str) -> None:
    """Model input is data: nothing in it is evaluated."""
    assert render("a {{ text }} b", {"text": value, "other": "no"}, "spec.yaml") == f"a {value} b"


@pytest.mark.parametrize("template", ["{{ x.__class__ }}", "{{ missing }}", "{{ text|upper }}", "{{ 1 + 1 }}"])
def test_unknown_name_is_an_error_that_lists_the_known(template: str) -> None:
    with pytest.raises(SpecError) as caught:
        render(template, {"text": "t", "x": "y"}, "spec.yaml: case 2")
    assert caught.value.message.startswith("spec.yaml: case 2: {{") and "not in this case" in caught.value.message
    assert caught.value.hint is not None and "it has: text, x" in caught.value.hint


@pytest.mark.parametrize("template", ["a\nb {{ }}", "a\n{{ never closed", "x\n{{{ name }}}"])
def test_braces_without_a_name_are_an_error_with_their_line(template: str) -> None:
    with pytest.raises(SpecError, match="line 2 of the prompt"):
        render(template, {"name": "x"}, "spec.yaml")


def test_without_cases_the_error_says_so() -> None:
    with pytest.raises(SpecError, match="the spec has no cases"):
        render("{{ text }}", {}, "spec.yaml")


def test_names_of_a_template() -> None:
    assert names_in("{{ a }} \\{{ b }} {{ c.d }} {{ a }}") == {"a", "c.d"}
