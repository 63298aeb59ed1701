"""Sampling parameters by timelab's names; docs/2-use/MODELS.md has the table of what they are called elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from timelab.errors import ProviderError
from timelab.providers.base import Request, TokenLogprob

NEUTRAL: Mapping[str, float] = {
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
}
"""What a spec cannot set, at the value that does nothing: engines and their versions have other defaults."""


@dataclass(frozen=True)
class Options:
    """Is what a request says of sampling. None: the request leaves it to the engine."""

    temperature: float | None
    top_p: float | None
    top_k: int | None
    max_tokens: int | None
    stop: tuple[str, ...]
    num_ctx: int | None
    seed: int | None


def read_options(request: Request, provider: str) -> Options:
    """Returns the request's parameters; raises `ProviderError` for one that no provider knows.

    Engines accept any name and drop it in silence (Ollama logs `temprature` and answers).
    """
    known = set(Options.__dataclass_fields__)
    unknown = sorted(set(request.params) - known)
    if unknown:
        what = f"{provider} has no parameter {unknown[0]!r}"
        raise ProviderError(what, hint=f"there are {', '.join(sorted(known))}")
    given: dict[str, Any] = {name: request.params.get(name) for name in known}
    return Options(**{**given, "stop": tuple(given["stop"] or ())})


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


def shortened(tokens: Sequence[TokenLogprob], count: int | None) -> tuple[TokenLogprob, ...] | None:
    """Returns the tokens with `count` alternatives each; None where none were asked for."""
    if count is None:
        return None
    return tuple(TokenLogprob(each.token, each.logprob, each.top[:count]) for each in tokens)
