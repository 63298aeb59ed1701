"""Three readers, one result: plain values with places, and nothing that could mean two things."""

from __future__ import annotations

import json
from typing import Any

import pytest

from timelab.spec.document import MAX_DEPTH, Mark, SourceFault
from timelab.spec.source import MAX_BYTES, parse


def read(text: str | bytes, suffix: str) -> Any:
    return parse(text.encode() if isinstance(text, str) else text, f"a.{suffix}").value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("~", None),
        ("null", None),
        ("", None),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-11-20", "2026-11-20"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("+3", 3),
        ("0b1", "0b1"),
        ("'5'", "5"),
        ('"\\u263a"', "☺"),
        ("=", "="),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        (">-\n  one\n  line\n", "one line"),
    ],
)
def test_yaml_has_the_core_types_of_version_1_2(text: str, value: Any) -> None:
    found = read(f"a: {text}", "yaml")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@pytest.mark.parametrize(
    "text",
    ['{"a": [1, -2.5e3, true, null, "x\\ny", {"b": {}}], "": []}', "[]", "[[[]], {}]", '"x"', "0", '{"\\u00e9": "é"}'],
)
def test_json_is_read_as_the_standard_library_reads_it(text: str, suffix: str) -> None:
    assert read(text, suffix) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "suffix", "what", "line", "column"),
    [
        ("a: &x 1\nb: *x", "yaml", "holds an anchor, &x", 1, 4),
        ("a: *x", "yaml", "holds an alias, *x", 1, 4),
        ("a: !!int 1", "yaml", "holds a tag, 'tag:yaml.org,2002:int'", 1, 4),
        ("a: 1\n<<: {b: 2}", "yaml", "holds a merge key, <<", 2, 1),
        ("a: 1\nb: 2\na: 3", "yaml", "key stands twice, first in line 1", 3, 1),
        ("{a: {b: 1, b: 2}}", "yaml", "key stands twice, first in line 1", 1, 12),
        ("1: x", "yaml", "a key must be a string, not '1'", 1, 1),
        ("? [a]\n: x", "yaml", "a key must be a string", 1, 3),
        ("a: .nan", "yaml", "must be a finite number", 1, 4),
        ("a: -.INF", "yaml", "must be a finite number", 1, 4),
        ("a: 1e999", "yaml", "must be a finite number", 1, 4),
        ("a: 9007199254740992", "yaml", "is a whole number beyond 9007199254740991", 1, 4),
        ("a:\n\t- b", "yaml", "not YAML: a tab cannot begin a token", 2, 1),
        ("--- a\n--- b\n", "yaml", "holds a second document", 2, 1),
        ("a: \u2028", "yaml", "holds \\u2028, a line break in YAML 1.1 and a letter in YAML 1.2", 1, 4),
        ('a: "\\0"', "yaml", "holds a NUL character", 1, 4),
        ("a: \x1b[31m", "yaml", "holds a control character that YAML does not allow", 1, 4),
        ('{"a": 1,\n "a": 2}', "json", "key stands twice, first in line 1", 2, 2),
        ('{"a": NaN}', "json", "not a JSON value: 'NaN'", 1, 7),
        ('{"a": 1e999}', "json", "must be a finite number", 1, 7),
        ('{"a": 01}', "json", "not a JSON value: '01'", 1, 7),
        ('{"a": 1,}', "json", "a key in double quotes is expected here", 1, 9),
        ('{"a" 1}', "json", "':' is expected after the key", 1, 6),
        ('{"a": 1 "b"}', "json", "',' or '}' is expected here", 1, 9),
        ("[1", "json", "',' or ']' is expected here", 1, 3),
        ("[1,", "json", "ends before the document is complete", 1, 4),
        ("[,", "json", "a value is expected here", 1, 2),
        ("1 2", "json", "something follows the document: '2'", 1, 3),
        ('{"a": "\\ud800"}', "json", "holds half of a surrogate pair", 1, 7),
        ('{"a": "\\u0000"}', "json", "holds a NUL character", 1, 7),
        ('"a\nb"', "json", "not a JSON string: invalid control character", 1, 3),
        ('["' + "x", "json", "not a JSON string: unterminated string starting", 1, 2),
        ("a = 2026-11-20", "toml", "is a TOML date or time", 1, 5),
        ("b = 1\na = nan", "toml", "must be a finite number", 2, 5),
        ("a = 1\na = 2", "toml", "not TOML: cannot overwrite a value", 2, 6),
        ("a = [", "toml", "not TOML: invalid value", 1, 6),
        ('a = "\\u0000"', "toml", "holds a NUL character", 1, 5),
        ("[a]\n[a]\n", "toml", "not TOML: cannot declare ('a',) twice", 2, 3),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, suffix: str, what: str, line: int, column: int) -> None:
    with pytest.raises(SourceFault) as caught:
        read(text, suffix)
    assert (caught.value.what, caught.value.mark) == (what, Mark(line, column))


@pytest.mark.parametrize("suffix", ["yaml", "json", "toml"])
def test_depth_is_bounded_at_the_same_level_in_every_format(suffix: str) -> None:
    head = "a = " if suffix == "toml" else ""
    # TOML's document is itself a mapping, the first level.
    deepest = MAX_DEPTH - (suffix == "toml")
    read(f"{head}{'[' * deepest}{']' * deepest}", suffix)
    with pytest.raises(SourceFault, match="nested deeper than 32 levels"):
        read(f"{head}{'[' * (deepest + 1)}{']' * (deepest + 1)}", suffix)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a: \xff", "is not UTF-8"),
        (b"\xff\xfea\x00", "is UTF-16"),
        (b"a: \x00", "holds a NUL character"),
        (b" " * (MAX_BYTES + 1), f"is larger than {MAX_BYTES} bytes"),
    ],
)
def test_bytes_are_judged_before_anything_is_parsed(data: bytes, what: str) -> None:
    with pytest.raises(SourceFault) as caught:
        parse(data, "a.yaml")
    assert caught.value.what == what


@pytest.mark.parametrize(("suffix", "text"), [("yaml", "a: 1"), ("json", '{"a": 1}'), ("toml", "a = 1")])
def test_a_byte_order_mark_is_passed_over(suffix: str, text: str) -> None:
    assert read(b"\xef\xbb\xbf" + text.encode(), suffix) == {"a": 1}
    assert read(text.replace(" ", "  ").encode() + b"\r\n", suffix) == {"a": 1}


TOML = '''
timelab = 1
title = """
[not.a.table]
x = 1"""
'quoted key' = { a.b = 1, c = [1, { d = "}" }] } # comment
[params]
temperature = 0.5
[[messages]]
role = "user"
[[messages]]
role = 'x'
[messages.inner]
deep = true
'''


def test_toml_places_are_found_beside_the_standard_reader() -> None:
    document = parse(TOML.encode(), "a.toml")

    def every(value: Any, at: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [at, *(inner for key, item in pairs for inner in every(item, (*at, key)))]

    assert [pointer for pointer in every(document.value, ()) if pointer not in document.values] == []
    assert document.values[("params", "temperature")] == Mark(8, 15)
    assert document.keys[("params", "temperature")] == Mark(8, 1)
    assert document.values[("messages", 1, "role")] == Mark(12, 8)
    assert document.values[("messages", 1, "inner", "deep")] == Mark(14, 8)
    assert document.values[("quoted key", "c", 1, "d")] == Mark(6, 41)


@pytest.mark.parametrize("path", ["a.json", "a.yaml"])
def test_what_no_later_stage_can_hold_is_refused_at_its_place_in_each_language(path: str) -> None:
    for text, place, pointer, what in (
        ('{"a": [1,\n 1e999]}', (2, 2), ("a", 1), "must be a finite number"),
        ('{"a": [1,\n 9007199254740992]}', (2, 2), ("a", 1), "is a whole number beyond 9007199254740991"),
        ('{"a": {\n "\\u0000": 1}}', (2, 2), ("a",), "holds a NUL character"),
        ('{"a": "\\ud800"}', (1, 7), ("a",), "holds half of a surrogate pair"),
    ):
        with pytest.raises(SourceFault) as caught:
            parse(text.encode(), path)
        assert (caught.value.mark, caught.value.pointer, caught.value.what) == (place, pointer, what)
