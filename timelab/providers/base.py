"""The Provider protocol: a request for a completion in, text and what is known of the model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from timelab.canonical import sha256_json
from timelab.names import Digest, Sha256


@dataclass(frozen=True)
class ModelInfo:
    """Is what a provider knows of a model before it is asked.

    `hash` is the digest of the weights (for the built-in one, of its algorithm's name and version); `deterministic`
    says that equal requests give equal bytes; `details` are the engine's build, template digest and the like.
    """

    name: str
    hash: Digest | None
    deterministic: bool
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """Is one call: messages in order, and every sampling parameter stated (never left to an engine's default)."""

    model: str
    messages: tuple[tuple[str, str], ...]
    params: Mapping[str, Any]
    response_schema: Mapping[str, Any] | None = None
    timeout_s: float = 600.0

    def digest(self) -> Sha256:
        """Returns the digest of what is asked; how long one waits for it is no part of that."""
        return sha256_json(
            {
                "model": self.model,
                "messages": [list(message) for message in self.messages],
                "params": dict(self.params),
                "response_schema": dict(self.response_schema) if self.response_schema is not None else None,
            }
        )


@dataclass(frozen=True)
class Response:
    """Is one complete answer. `finish` is why it ended: `stop` or `length`; anything else is a failed attempt.

    `model` is whose words these are where the provider passes on what another gave before; None is the one asked.
    """

    text: str
    finish: str
    tokens_in: int | None
    tokens_out: int | None
    model: str | None = None


class Provider(Protocol):
    """Answers model calls. Must raise `ProviderError` and nothing else, and must never answer with another model."""

    name: str
    dropped_params: frozenset[str]
    """Parameters that this provider cannot express; a spec that sets one is told so."""

    def describe(self, model: str) -> ModelInfo:
        """Returns what is known of the model; raises `ProviderError` when it is not served here."""

    def complete(self, request: Request) -> Response:
        """Answers; raises `ProviderError` when no complete answer came in time."""
