"""Nothing planted survives masking (style K7)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.redact.fakes import mixed, planted
from timelab.redact import find_secrets, mask

# The parts that must be gone where the planted text is more than the secret itself.
CORES = {
    "basic auth": mixed(16),
    "bearer": mixed(40),
    "environment": mixed(20),
    "token in an environment": mixed(20),
    "key word": mixed(12),
    "key word in JSON": mixed(12),
}
KEYS = {"private key", "encrypted key", "OpenSSH key"}


@pytest.mark.parametrize("kind", planted())
def test_planted_secret_is_gone_and_the_rest_stays(kind: str) -> None:
    """A187."""
    secret = planted()[kind]
    text = f"before\nit is {secret} \nafter"
    masked = mask(text)
    assert CORES.get(kind, secret) not in masked
    # A key that has no end is taken to go on to the end of the text.
    assert masked.startswith("before\n") and "***" in masked
    assert masked.endswith("***" if kind in KEYS else "\nafter")
    assert find_secrets(masked.encode(), "") == []


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(planted())),
    st.integers(0, 1_000),
    st.text(max_size=40),
    st.text(max_size=40),
    st.booleans(),
)
def test_redaction_leaves_no_planted_secret(kind: str, seed: int, before: str, after: str, in_json: bool) -> None:
    """K7."""
    secret = planted(seed)[kind]
    text = f"{before} {secret} {after}"
    text = json.dumps({"text": text}) if in_json else text
    masked = mask(text)
    assert secret not in masked
    assert find_secrets(masked.encode("utf-8", "replace"), "") == []


@given(st.text(alphabet=st.characters(), max_size=200))
def test_text_without_secrets_comes_back_as_it_is(text: str) -> None:
    if not find_secrets(text.encode("utf-8", "surrogatepass"), ""):
        assert mask(text) == text


def test_body_of_a_private_key_goes_with_its_header() -> None:
    body = "\n".join(mixed(64, seed) for seed in range(5))
    text = f"a\n-----BEGIN {'PRIVATE KEY'}-----\n{body}\n-----END {'PRIVATE KEY'}-----\nz"
    assert mask(text) == "a\n***\nz"


def test_private_key_cut_off_at_the_end_goes_too() -> None:
    assert mask(f"a\n-----BEGIN {'PRIVATE KEY'}-----\n{mixed(64)}") == "a\n***"


def test_letters_around_are_kept_in_their_encoding() -> None:
    secret = planted()["GitHub"]
    assert mask(f"größe {secret} 日本") == "größe *** 日本"
