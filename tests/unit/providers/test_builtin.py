"""The built-in model: only sentences of its input, the same everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timelab.canonical import sha256_json
from timelab.errors import ProviderError
from timelab.providers.base import Request, Response
from timelab.providers.builtin import MODEL, BuiltinProvider, keywords, sentences, summarise, title

ROOT = Path(__file__).parents[3]
TEXT = """The lighthouse keeper wrote a log every night. He noted wind, waves and passing ships in the log.
In winter the ships were few, and the log was short. One night Dr. Brand came, e.g. to repair the lamp.
The lamp of the lighthouse had burned for forty years. The keeper wrote a log every night. Who reads such a log today?
"""
WEIGHTS = "sha256:104cd1b92a95d8ef2baf00092ab3849d250404f0c124367ee2ffa06c21efc025"
ANSWERS = "a89ceb8956ee40b8544e6c289c38aca8b1c1dd6c1925bc17693bf2f527898b0f"
"""What `builtin:extractive@1` is, and what it answers: change both, and the version, or neither."""

PARAMS: Mapping[str, Any] = {"max_tokens": 1024, "stop": [], "temperature": 0.0, "seed": 1}


def ask(prompt: str, schema: Mapping[str, Any] | None = None, **params: Any) -> Response:
    request = Request(MODEL, (("user", prompt),), {**PARAMS, **params}, schema)
    return BuiltinProvider().complete(request)


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(
    "order", ["Summarise in {} sentences:", "Please give a summary of {} sentences.", "Summarize in {} sentences"]
)
def test_summary_has_the_sentences_asked_for_and_all_are_real(order: str, count: int) -> None:
    answer = ask(f"{order.format(count)}\n\n{TEXT}").text
    chosen = sentences(answer)
    assert len(chosen) == count
    assert all(sentence in flat(TEXT) for sentence in chosen)


def test_number_may_be_a_word() -> None:
    assert len(sentences(ask(f"Summarise in two sentences.\n{TEXT}").text)) == 2


def test_same_thing_is_not_said_twice() -> None:
    assert ask(f"Summarise in 5 sentences:\n{TEXT}").text.count("wrote a log every night") == 1


def test_sentences_do_not_end_at_abbreviations() -> None:
    assert "One night Dr. Brand came, e.g. to repair the lamp." in sentences(TEXT)


@pytest.mark.parametrize("text", ["今日は晴れです。明日は雨です。", "Heute regnet es. Morgen scheint die Sonne."])
def test_other_languages_have_sentences_too(text: str) -> None:
    assert len(sentences(text)) == 2


def test_keywords_and_title_come_from_the_text() -> None:
    assert ask(f"3 keywords\n{TEXT}").text.split(", ") == keywords(TEXT, 3)
    assert all(word in TEXT.lower() for word in keywords(TEXT, 8))
    assert ask(f"Give it a title:\n{TEXT}").text.removesuffix(" …") in flat(TEXT)
    assert "\n" not in ask(f"one line\n{TEXT}").text
    assert len(title(TEXT).removesuffix(" …").split()) <= 12


def test_text_without_an_instruction_is_summarised() -> None:
    assert len(sentences(ask(TEXT).text)) == 3


def test_limit_on_words_ends_the_answer_and_says_so() -> None:
    response = ask(f"Summarise in 4 sentences:\n{TEXT}", max_tokens=7)
    assert (response.finish, response.tokens_out) == ("length", 7)
    assert flat(TEXT).find(response.text) >= 0


def test_stop_word_ends_the_answer_before_it() -> None:
    response = ask(f"Summarise in 4 sentences:\n{TEXT}", stop=["winter"])
    assert response.finish == "stop" and "winter" not in response.text


def test_seed_and_temperature_change_nothing() -> None:
    assert ask(TEXT, seed=1, temperature=0.0) == ask(TEXT, seed=99, temperature=2.0)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": {"mood": {"enum": ["storm", "ships", "peace"]}},
    "properties": {
        "title": {"type": "string", "maxLength": 40},
        "summary": {"type": "string"},
        "keywords": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        "points": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "word_count": {"type": "integer", "minimum": 1},
        "sentences": {"type": "integer"},
        "has_question": {"type": "boolean"},
        "mood": {"$ref": "#/$defs/mood"},
        "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "version": {"const": 1},
    },
    "required": ["title", "summary", "keywords", "word_count", "mood"],
    "additionalProperties": False,
}


def test_schema_is_filled_from_the_text() -> None:
    answer = json.loads(ask(TEXT, SCHEMA).text)
    jsonschema.validate(answer, SCHEMA)
    assert answer["mood"] == "ships" and answer["version"] == 1 and answer["has_question"] is True
    assert answer["keywords"] == keywords(TEXT, 3)
    assert all(point in flat(TEXT) for point in answer["points"])


def test_circular_schema_ends() -> None:
    assert isinstance(json.loads(ask(TEXT, {"$ref": "#"}).text), str)
    answer, depth = json.loads(ask(TEXT, {"type": "object", "properties": {"inner": {"$ref": "#"}}}).text), 0
    while isinstance(answer, dict):
        (answer,), depth = answer.values(), depth + 1
    assert isinstance(answer, str) and 1 < depth < 20


def test_model_says_what_it_is_and_no_other_is_served() -> None:
    info = BuiltinProvider().describe(MODEL)
    assert info.deterministic and info.hash is not None and "copies sentences" in info.details["weights"]
    with pytest.raises(ProviderError) as caught:
        BuiltinProvider().describe("builtin:genius@2")
    assert caught.value.hint is not None and MODEL in caught.value.hint


def test_the_algorithm_is_that_of_its_version() -> None:
    """A66: who changes what it answers gives it another digest, or a replay would look for the cause elsewhere."""
    orders = ("Summarise in 1 sentence:", "Summarise in 3 sentences:", "6 keywords:", "A title:", "")
    answers = [ask(f"{order}\n{TEXT}").text for order in orders] + [ask(TEXT, SCHEMA).text]
    weights = BuiltinProvider().describe(MODEL).hash
    assert (weights, sha256_json(answers)) == (WEIGHTS, ANSWERS)


@given(st.text(max_size=400), st.integers(1, 6))
def test_every_sentence_of_a_summary_stands_in_the_text(text: str, count: int) -> None:
    """K7: nothing is invented, whatever the text."""
    for sentence in summarise(text, count):
        assert sentence in flat(text)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    answer = ask(text)
    answer.text.encode()
    assert answer.finish in ("stop", "length")
    # An empty text has no word to count: what is asked for is there, if not as many as the schema wants.
    assert json.loads(ask(text, SCHEMA).text).keys() == SCHEMA["properties"].keys()


def test_long_text_is_no_trouble() -> None:
    text = " ".join(f"Sentence number {n} speaks of ship {n % 97} and of the sea." for n in range(4_000))
    assert len(sentences(ask(f"Summarise in 3 sentences:\n{text}").text)) == 3


PROGRAM = """
import sys
from tests.unit.providers.test_builtin import SCHEMA, TEXT, ask
for schema in (None, SCHEMA):
    sys.stdout.buffer.write(ask("Summarise in 3 sentences:\\n" + TEXT, schema).text.encode() + b"\\n")
"""


def test_bytes_are_equal_under_any_hash_seed_locale_and_time_zone() -> None:
    """A1: the answer is a function of the request."""
    outputs = set()
    for seed, locale, zone in (("0", "C", "UTC"), ("1", "C.UTF-8", "Asia/Tokyo"), ("4711", "POSIX", "America/Lima")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
