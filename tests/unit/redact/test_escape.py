"""Foreign text in terminals and tables, and secrets that travel."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timelab.redact import Secret, escape_csv, escape_terminal


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text", "plain text"),
        ("größe 日本 🙂", "größe 日本 🙂"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1bP+q\x1b\\", "\\x1bP+q\\x1b\\"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("a\u2028b\u2029c\u2066d\u200be\ufeff", "a\\u2028b\\u2029c\\u2066d\\u200be\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\udc80", "\\udc80"),
    ],
)
def test_signs_that_act_are_made_visible(raw: str, shown: str) -> None:
    assert escape_terminal(raw) == shown


def test_line_feeds_and_tabs_can_be_kept() -> None:
    assert escape_terminal("a\n\tb\r\x1b[0m", multiline=True) == "a\n\tb\\r\\x1b[0m"


@given(st.text(alphabet=st.characters()))
def test_escaped_text_holds_no_control_and_can_be_encoded(text: str) -> None:
    shown = escape_terminal(text)
    assert not any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 or 0x202A <= ord(sign) <= 0x202E for sign in shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "|x", "%x", "＝1", "  =1", "\t=1"])
def test_formula_is_disarmed(cell: str) -> None:
    """T8: a spreadsheet must not run what a model wrote."""
    assert escape_csv(cell).startswith("'")


@pytest.mark.parametrize("cell", ["", "word", "-5", "+3.25", "-1e-9", "2026-11-20T10:23:00Z", "a=b", "specs/a.yaml"])
def test_ordinary_cells_stay(cell: str) -> None:
    assert escape_csv(cell) == cell


def test_line_feed_cannot_start_a_row() -> None:
    assert escape_csv("a\n=1") == "a\\n=1"


def test_secret_shows_itself_nowhere_by_accident() -> None:
    """O3."""
    secret = Secret("open sesame")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", "%s" % secret, repr([secret])]  # noqa: UP031
    assert not any("sesame" in text for text in shown)
    assert secret.reveal() == "open sesame" and bool(secret) and not Secret("")
    assert secret == Secret("open sesame") != Secret("other") and secret != "open sesame"
    assert len({secret, Secret("open sesame")}) == 1


def test_secret_does_not_leave_by_joining_json_or_pickle() -> None:
    secret = Secret("open sesame")
    with pytest.raises(TypeError):
        "".join([secret])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError) as caught:
        pickle.dumps(secret)
    assert "sesame" not in str(caught.value)
