"""A gate opens wherever the rule of detect-secrets behind it sees a secret: what makes the fast path sound."""

from __future__ import annotations

import pkgutil
import re

import detect_secrets.plugins
import pytest
from detect_secrets.plugins import keyword
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timelab.redact.gates import Gate, tame
from timelab.redact.keywords import KeywordGate
from timelab.redact.plugins import GATES

LATIN_1 = st.characters(codec="latin-1", exclude_characters="\n\r")
# Off on purpose: entropy flags every digest, and an address is no secret.
LEFT_OUT = {"base", "high_entropy_strings", "ip_public"}
BY_CLASS = {gate.class_name: [one for one in GATES if one.class_name == gate.class_name] for gate in GATES}
FORMATS = [
    (name, number)
    for name, gates in sorted(BY_CLASS.items())
    if not isinstance(gates[0], KeywordGate)
    for number in range(len(gates[0].rule.denylist))
]
KEYWORD_PATTERNS = sorted(name for name, value in vars(keyword).items() if isinstance(value, re.Pattern))
FUZZ = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def opens(gate: Gate, text: str) -> bool:
    lowered = text.lower()
    if not any(needle in lowered for needle in gate.needles):
        return False
    if isinstance(gate, KeywordGate):
        return bool(list(gate._assignments(text, lowered, True)))
    return bool(list(gate.positions(lowered if gate.lower else text)))


def test_every_named_format_of_detect_secrets_has_a_gate() -> None:
    """A188: what a newer detect-secrets adds is noticed here."""
    modules = {module.name for module in pkgutil.iter_modules(detect_secrets.plugins.__path__)}
    assert {gate.module for gate in GATES} == modules - LEFT_OUT


@pytest.mark.parametrize(("class_name", "number"), FORMATS)
@FUZZ
@given(data=st.data())
def test_gate_opens_wherever_the_rule_matches(class_name: str, number: int, data: st.DataObject) -> None:
    gates = BY_CLASS[class_name]
    pattern = gates[0].rule.denylist[number]
    text = data.draw(st.from_regex(pattern, alphabet=LATIN_1)).replace("\n", " ").replace("\r", " ")
    if list(gates[0].rule.analyze_string(tame(text))):
        assert any(opens(gate, text) for gate in gates)


@pytest.mark.parametrize("name", KEYWORD_PATTERNS)
@FUZZ
@given(data=st.data())
def test_keyword_gate_opens_wherever_a_pattern_matches(name: str, data: st.DataObject) -> None:
    pattern: re.Pattern[str] = vars(keyword)[name]
    text = data.draw(st.from_regex(pattern, alphabet=LATIN_1)).replace("\n", " ").replace("\r", " ")
    if pattern.search(text):
        assert opens(GATES[-1], text)


@pytest.mark.parametrize("name", KEYWORD_PATTERNS)
@FUZZ
@given(data=st.data())
def test_piece_cut_out_for_the_keyword_rule_still_matches(name: str, data: st.DataObject) -> None:
    """The rule sees one assignment at a time, and must see it whole: name, sign, quotes and what follows them."""
    pattern: re.Pattern[str] = vars(keyword)[name]
    text = data.draw(st.from_regex(pattern, alphabet=LATIN_1)).replace("\n", " ").replace("\r", " ")
    if pattern.search(text):
        gate = GATES[-1]
        assert isinstance(gate, KeywordGate)
        pieces = [text[start:end] for start, end in gate._assignments(text, text.lower(), True)]
        assert any(pattern.search(piece) for piece in pieces)


@pytest.mark.parametrize("spaces", [0, 1, 8, 9, 500])
def test_tamed_piece_matches_like_the_raw_one(spaces: int) -> None:
    rule = next(gate.rule for gate in GATES if gate.class_name == "IbmCloudIamDetector")
    text = "api_key" + " " * spaces + "= " + "aB3" * 14 + "xy"
    assert list(rule.analyze_string(tame(text))) == list(rule.analyze_string(text)) != []


def test_statement_with_quotes_before_its_value_is_seen_whole() -> None:
    """Found by fuzzing: the rule lets signs stand between name and quotes, quotes among them."""
    gate = GATES[-1]
    assert isinstance(gate, KeywordGate)
    for text in ("pwD'0'00';", "pwd='0'value12';"):
        pieces = [text[start:end] for start, end in gate._assignments(text, text.lower(), True)]
        assert any(keyword.FOLLOWED_BY_QUOTES_AND_SEMICOLON_REGEX.search(piece) for piece in pieces)
