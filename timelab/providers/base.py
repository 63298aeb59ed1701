"""The Provider protocol: a request for a completion in, text and what is known of the model out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from timelab.canonical import sha256_json
from timelab.names import Digest, Sha256

Progress = Callable[[str], None]
"""Gets the answer's pieces as they come, in order; joined they are a prefix of the answer."""


@dataclass(frozen=True)
class ModelInfo:
    """Is what a provider knows of a model before it is asked.

    `hash` is the digest of the weights (for the built-in one, of its algorithm's name and version); `deterministic`
    says that equal requests give equal bytes; `exact_on_request` that they do so on this engine, this machine and these
    weights when `Request.exact` is set.

    `details`, each where it is known: `engine`, `engine_version`, `architecture`, `quantization`, `parameters`,
    `context_length`, `template_sha256`, `manifest_digest`, `source_sha256`, `threads`, `device`, `flash_attention`,
    `cpu_features`, `capabilities`.
    """

    name: str
    hash: Digest | None
    deterministic: bool
    details: Mapping[str, str] = field(default_factory=dict)
    exact_on_request: bool = False


@dataclass(frozen=True)
class Request:
    """Is one call: messages in order, and every sampling parameter stated (never left to an engine's default).

    `logprobs` asks for the log-probability of each token of the answer and of that many alternatives (0: none of
    those). `exact` asks for an answer from a cold state: nothing cached, threads fixed. `allow_net` lets the provider
    leave this machine.
    """

    model: str
    messages: tuple[tuple[str, str], ...]
    params: Mapping[str, Any]
    response_schema: Mapping[str, Any] | None = None
    timeout_s: float = 600.0
    logprobs: int | None = None
    exact: bool = False
    allow_net: bool = False

    def digest(self) -> Sha256:
        """Returns the digest of what is asked; waiting time and the state of the engine are no part."""
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [list(message) for message in self.messages],
            "params": dict(self.params),
            "response_schema": dict(self.response_schema) if self.response_schema is not None else None,
        }
        return sha256_json(asked if self.logprobs is None else {**asked, "logprobs": self.logprobs})


@dataclass(frozen=True)
class TokenLogprob:
    """Is one token of an answer with its natural log-probability, and the likeliest tokens at its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Response:
    """Is one complete answer. `finish` is why it ended: `stop` or `length`; anything else is a failed attempt.

    `model` is whose words these are where the provider passes on what another gave before; None is the one asked.
    `effective` are the options by the engine's own names, as it reports them or else as they were sent;
    `dropped_options` the names, as the request has them, of what the engine was not told.
    """

    text: str
    finish: str
    tokens_in: int | None
    tokens_out: int | None
    effective: Mapping[str, Any] = field(default_factory=dict)
    dropped_options: tuple[str, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    model: str | None = None


class Provider(Protocol):
    """Answers model calls. Must raise `ProviderError` for what goes wrong, and must never answer with another model.

    Of its subclasses `ProviderUnavailable` says that a retry may help, `ModelAbsent` that none will. Only an extra that
    is not installed is another error: `MissingExtra`.
    """

    name: str
    dropped_params: frozenset[str]
    """Parameters that this provider cannot express; a spec that sets one is told so."""

    def health(self) -> str | None:
        """Returns None if it answers; else one line that says why not and what would mend it. Takes 2 s at most."""

    def models(self) -> tuple[ModelInfo, ...]:
        """Returns what it serves, by name; raises `ProviderError` when it cannot tell."""

    def describe(self, model: str) -> ModelInfo:
        """Returns what is known of the model; raises `ProviderError` when it is not served here."""

    def complete(self, request: Request, *, progress: Progress | None = None) -> Response:
        """Answers; raises `ProviderError` when no complete answer came in time.

        Whatever ends the wait (the time limit, Ctrl-C, an error in `progress`) also ends the engine's work.
        """
