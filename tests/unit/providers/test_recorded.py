"""Answers from an earlier run: those that were recorded, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from timelab.canonical import canonical_bytes
from timelab.errors import ProviderError
from timelab.names import Digest, RunId
from timelab.providers.base import Request
from timelab.providers.recorded import RecordedProvider, Recording

WEIGHTS = Digest("sha256:" + "5" * 64)
RUN = RunId("ab12" * 16)
SENT = Request("m:one", (("user", "hello"),), {"seed": 1})
ASKED = replace(SENT, model="recorded:ab12")


def line(output: str, sent: Request = SENT, **changes: Any) -> bytes:
    said = {"request_sha256": sent.digest(), "model": sent.model, "output": output, "finish": "stop", **changes}
    return canonical_bytes(said) + b"\n"


def provider(*lines: bytes) -> RecordedProvider:
    recording = Recording(RUN, WEIGHTS, {"seed": 1}, b"".join(lines))
    return RecordedProvider({"ab12": recording}.__getitem__)


def test_request_that_was_recorded_gets_its_answer_and_whose_it_is() -> None:
    answer = provider(line("hi", finish="length")).complete(ASKED)
    assert (answer.text, answer.finish, answer.model) == ("hi", "length", "m:one")
    assert (answer.tokens_in, answer.tokens_out) == (None, None)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (replace(ASKED, messages=(("system", "hello"),)), "to this prompt and schema"),
        (replace(ASKED, params={"seed": 2}), "with another seed"),
        (replace(ASKED, params={"seed": 1, "top_k": 3}), "with another top_k"),
        (replace(ASKED, response_schema={"type": "string"}), "to this prompt and schema"),
    ],
    ids=["role", "seed", "parameter", "schema"],
)
def test_request_that_differs_in_anything_gets_none(other: Request, what: str) -> None:
    with pytest.raises(ProviderError) as error:
        provider(line("hi")).complete(other)
    assert error.value.message == f"run ab12ab12 recorded no answer {what}"


def test_several_answers_come_in_their_order_and_each_run_begins_with_the_first() -> None:
    recorded = provider(line("one"), line("two"))
    assert [recorded.complete(ASKED).text for _ in range(3)] == ["one", "two", "two"]
    assert not recorded.describe(ASKED.model).deterministic
    assert recorded.complete(ASKED).text == "one"
    assert provider(line("one"), line("one")).describe(ASKED.model).deterministic


def test_description_says_whose_answers_they_are() -> None:
    """A66: one digest for one model's weights, and none for those of several."""
    info = provider(line("hi")).describe(ASKED.model)
    assert (info.name, info.hash) == ("recorded:ab12", WEIGHTS)
    assert info.details == {"engine": "recorded", "run": RUN, "model": "m:one"}
    both = provider(line("hi"), line("ho", replace(SENT, model="m:two", messages=(("user", "two"),))))
    assert (both.describe(ASKED.model).hash, both.describe(ASKED.model).details["model"]) == (None, "m:one, m:two")
    assert both.complete(replace(ASKED, messages=(("user", "two"),))).model == "m:two"
    assert both.params(ASKED.model) == {"seed": 1}


@pytest.mark.parametrize(
    "bad", [b"", b"{", b"[]\n", b"{}\n", b"[" * 100_000, line("a") + b"\n", line("a", finish=None)], ids=range(7)
)
def test_what_is_no_transcript_is_refused(bad: bytes) -> None:
    with pytest.raises(ProviderError, match=r"^run ab12ab12: output/output.jsonl:\d: not "):
        provider(bad).describe(ASKED.model)
