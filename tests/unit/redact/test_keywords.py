"""Which values of secret-sounding names count."""

from __future__ import annotations

import pytest

from timelab.redact.keywords import is_secret_value


@pytest.mark.parametrize(
    ("value", "window"),
    [
        ("hunter2hunter", 'x = "hunter2hunter"'),
        ("correct horse battery staple", "'correct horse battery staple'"),
        ("swordfish", "swordfish"),
        ("0123456789abcdef0123456789abcdef", '"0123456789abcdef0123456789abcdef"'),
    ],
)
def test_value_that_may_be_secret_counts(value: str, window: str) -> None:
    assert is_secret_value(value, window)


@pytest.mark.parametrize(
    ("value", "window"),
    [
        ("no", '"no"'),
        ("***", '"***"'),
        ("None", "None"),
        ("${TOKEN}", '"${TOKEN}"'),
        ("{{ token }}", '"{{ token }}"'),
        ("<your key>", '"<your key>"'),
        ("get_secret()", "get_secret()"),
        ("/run/keys/one", '"/run/keys/one"'),
        ("12345678-1234-1234-1234-123456789abc", '"12345678-1234-1234-1234-123456789abc"'),
        ("a" * 40, f'hashed_secret": "{"a" * 40}"'),
        ("three plain words", "three plain words"),
        ("what the agent hides.", '"what the agent hides."'),
    ],
)
def test_reference_digest_mask_and_prose_do_not(value: str, window: str) -> None:
    assert not is_secret_value(value, window)
