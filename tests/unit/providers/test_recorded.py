"""Answers from a transcript: those that were recorded, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from timelab.canonical import canonical_bytes
from timelab.errors import DataError, ProviderError
from timelab.providers.base import Request
from timelab.providers.recorded import RecordedProvider

REQUEST = Request("m:one", (("user", "hello"),), {"seed": 1})


def transcript(*outputs: str, **changes: Any) -> bytes:
    lines = [
        {"request_sha256": REQUEST.digest(), "model": "m:one", "output": output, "finish": "stop", **changes}
        for output in outputs
    ]
    return b"".join(canonical_bytes(line) + b"\n" for line in lines)


def test_request_that_was_recorded_gets_its_answer() -> None:
    assert RecordedProvider([transcript("hi")]).complete(REQUEST).text == "hi"


@pytest.mark.parametrize(
    "other",
    [
        Request("m:two", REQUEST.messages, REQUEST.params),
        Request("m:one", (("system", "hello"),), REQUEST.params),
        Request("m:one", REQUEST.messages, {"seed": 2}),
        Request("m:one", REQUEST.messages, REQUEST.params, {"type": "string"}),
    ],
    ids=["model", "role", "seed", "schema"],
)
def test_request_that_differs_in_anything_gets_none(other: Request) -> None:
    with pytest.raises(ProviderError, match="not recorded"):
        RecordedProvider([transcript("hi")]).complete(other)


def test_several_answers_come_in_their_order() -> None:
    provider = RecordedProvider([transcript("one", "two")])
    assert [provider.complete(REQUEST).text for _ in range(3)] == ["one", "two", "two"]
    assert not provider.describe("m:one").deterministic


def test_equal_answers_are_deterministic_and_no_other_model_is_served() -> None:
    provider = RecordedProvider([transcript("one"), transcript("one")])
    assert provider.describe("m:one").deterministic
    with pytest.raises(ProviderError):
        provider.describe("m:two")


@pytest.mark.parametrize("bad", [b"", b"{", b"[]\n", b"{}\n", transcript("a") + b"\n", transcript("a", finish=None)])
def test_what_is_no_transcript_is_refused(bad: bytes) -> None:
    with pytest.raises(DataError, match="transcript line"):
        RecordedProvider([bad])
