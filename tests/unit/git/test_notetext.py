"""timelab/git/notetext.py: our lines are a set in order, and what a person wrote stays as it was written."""

from __future__ import annotations

from functools import reduce
from itertools import permutations

import pytest

from tests.unit.git.test_notes import make_line
from timelab.git import notetext
from timelab.git.notetext import join_lines, unite, with_lines, with_runs, without_lines

ONE, TWO, THREE = (make_line(number) for number in (1, 2, 3))
TEXT = b"""Reviewed.

```sh
make

make
```

```sh
rm -r out
```
  indented, and no line end"""
OTHER = b"Seen by Bob.\n\n```\nmake\n```\n"


def note(*lines: bytes, text: bytes = b"") -> bytes:
    return b"".join(line + b"\n" for line in lines) + text


def test_our_lines_are_a_set_in_one_order() -> None:
    assert join_lines([TWO, ONE, TWO, b"x"]) == note(ONE, TWO, text=b"x")
    assert join_lines([]) == join_lines([b"", b" "]) == b""


def test_what_a_person_wrote_is_kept_to_the_byte() -> None:
    """A6: blank lines, fences and equal lines are theirs, not ours to tidy."""
    mixed = note(TWO) + TEXT
    assert with_lines(mixed, [THREE, ONE]) == note(ONE, TWO, THREE, text=TEXT)
    assert with_lines(mixed, [TWO]) == mixed
    assert without_lines(mixed, [TWO]) == with_runs(mixed, []) == TEXT
    assert with_runs(mixed, [THREE, ONE + b"\n"]) == note(ONE, THREE, text=TEXT)
    assert with_runs(with_lines(TEXT, [ONE]), [ONE]) == note(ONE, text=TEXT)
    assert unite(mixed, note(ONE, text=TEXT)) == note(ONE, TWO, text=TEXT)


def test_two_texts_unite_with_every_line_of_each_in_its_order_and_only_once() -> None:
    both = unite(note(ONE, text=TEXT), note(TWO, text=OTHER))
    assert both == unite(note(TWO, text=OTHER), note(ONE, text=TEXT)), "two who unite at once agree"
    lines = both.split(b"\n")
    for text in (TEXT, OTHER):
        rest = iter(lines)
        assert all(line in rest for line in text.split(b"\n")), text
        assert unite(both, text) == both, "and a second time adds nothing"
    appended = TEXT + b"\n\nLater.\n"
    assert unite(TEXT, appended) == unite(appended, TEXT) == appended


def test_many_texts_unite_without_losing_a_line() -> None:
    texts = [b"a\nb\n", b"b\na\n", b"c\n\na"]
    for order in permutations(texts):
        lines = reduce(unite, order).split(b"\n")
        for text in texts:
            rest = iter(lines)
            assert all(line in rest for line in text.split(b"\n"))


def test_texts_too_long_to_compare_are_set_one_behind_the_other() -> None:
    long = [b"".join(b"%d %s\n" % (number, name) for number in range(3_000)) for name in (b"a", b"b")]
    assert unite(*long) == long[0] + long[1]
    assert unite(long[0] + long[1], long[1]) == long[0] + long[1]


def test_a_newer_run_is_appended_without_a_look_at_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []
    real = notetext.line_key

    def counted(line: bytes) -> tuple[str, str]:
        looked.append(line)
        return real(line)

    body = note(*(make_line(number) for number in range(500)))
    monkeypatch.setattr(notetext, "line_key", counted)
    new = make_line(500)
    assert with_lines(body, [new]) == body + new + b"\n"
    assert set(looked) == {new, make_line(499)}
