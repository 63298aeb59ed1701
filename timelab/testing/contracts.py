"""What every provider must do; one suite for those built in and those that come as plugins (style K4).

A test module subclasses the suite and says which provider is meant::

    class TestMyProvider(ProviderContract):
        model = "mine:small"

        def make(self) -> Provider:
            return MyProvider()
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from timelab.errors import ModelAbsent, ProviderError
from timelab.providers.base import Provider, Request

PARAMS: Mapping[str, Any] = {
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 64,
    "stop": [],
    "num_ctx": None,
    "seed": 7,
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


class ProviderContract(ABC):
    """Holds the laws of the `Provider` protocol; `model` is one that `make()` serves, by its full name."""

    model: str
    has_schema = True
    """Whether the provider can be asked for JSON at all."""
    has_list = True
    """Whether `models()` knows what it serves; one that answers from runs does not count them up."""

    @abstractmethod
    def make(self) -> Provider:
        """Returns the provider, fresh; each test asks for its own. A suite that does not say how cannot be made."""

    def request(self, text: str = "Summarise in one sentence:\n\nThe sea is wide. Ships cross the sea.") -> Request:
        """Returns a request that the provider answers."""
        return Request(model=self.model, messages=(("user", text),), params=PARAMS)

    def test_name_is_the_prefix_of_its_models(self) -> None:
        """The part before the first colon selects the provider (A39)."""
        provider = self.make()
        assert provider.name == provider.name.lower() and ":" not in provider.name

    def test_description_is_of_the_model_that_was_named(self) -> None:
        """It answers for no other model, and its hash never wavers (A66)."""
        one, two = self.make().describe(self.model), self.make().describe(self.model)
        assert one == two and one.name == self.model
        assert all(isinstance(name, str) and isinstance(value, str) for name, value in one.details.items())

    def test_health_is_none_where_it_answers(self) -> None:
        """A probe costs nothing and says nothing of a healthy one."""
        assert self.make().health() is None

    def test_listed_models_are_those_that_are_described(self) -> None:
        """What `models()` says of a model is what `describe()` says."""
        provider = self.make()
        listed = {info.name: info for info in provider.models()}
        assert (self.model in listed) == self.has_list
        assert all(info == provider.describe(name) for name, info in listed.items())

    def test_unknown_model_is_a_provider_error_with_a_hint(self) -> None:
        """Nothing is guessed, and nothing else is asked instead."""
        provider = self.make()
        unknown = f"{provider.name}:no-such-model"
        assert isinstance(_error_of(lambda: provider.describe(unknown)), ModelAbsent)
        for call in (
            lambda: provider.describe(unknown),
            lambda: provider.complete(replace(self.request(), model=unknown)),
        ):
            error = _error_of(call)
            assert isinstance(error, ProviderError) and error.hint
            assert error.message and not error.message.endswith(".")

    def test_answer_is_complete_text(self) -> None:
        """The text can be written down, and the reason of its end is one of two."""
        response = self.make().complete(self.request())
        assert response.finish in ("stop", "length")
        response.text.encode("utf-8")
        assert set(response.dropped_options) <= {*PARAMS, "logprobs", "response_schema", "exact"}
        assert all(count is None or count >= 0 for count in (response.tokens_in, response.tokens_out))

    def test_deterministic_provider_gives_equal_answers(self) -> None:
        """Who says `deterministic` is held to it, across instances (A15)."""
        if self.make().describe(self.model).deterministic:
            assert self.make().complete(self.request()) == self.make().complete(self.request())

    def test_pieces_are_the_answer(self) -> None:
        """Who watches reads the beginning of what is recorded."""
        pieces: list[str] = []
        response = self.make().complete(self.request(), progress=pieces.append)
        assert response.text.startswith("".join(pieces))

    def test_time_limit_is_no_part_of_the_question(self) -> None:
        """A longer wait must not change the answer's identity."""
        asked = self.request().digest()
        assert replace(self.request(), timeout_s=1.0, exact=True, allow_net=True).digest() == asked
        assert replace(self.request(), logprobs=2).digest() != asked

    def test_dropped_parameters_are_parameters(self) -> None:
        """What a provider cannot express is named as the spec names it."""
        assert self.make().dropped_params <= set(PARAMS)

    def test_schema_gives_json(self) -> None:
        """Asked for JSON, it gives JSON or fails; never prose."""
        if self.has_schema:
            response = self.make().complete(replace(self.request(), response_schema=SCHEMA))
            if response.finish == "stop":
                json.loads(response.text)


def _error_of(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except ProviderError as error:
        return error
    return None
