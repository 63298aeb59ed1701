"""A provider that says what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from timelab.canonical import sha256_bytes
from timelab.errors import ProviderError
from timelab.names import Digest
from timelab.providers.base import ModelInfo, Request, Response


def echo(request: Request) -> Response:
    """Returns the last message, word for word."""
    text = request.messages[-1][1]
    return Response(text=text, finish="stop", tokens_in=len(text.split()), tokens_out=len(text.split()))


@dataclass
class FakeProvider:
    """Serves the models in `models` by calling `does`, and remembers each request in `asked`."""

    name: str = "fake"
    models: tuple[str, ...] = ("fake:echo",)
    does: Callable[[Request], Response] = echo
    deterministic: bool = True
    dropped_params: frozenset[str] = frozenset()
    asked: list[Request] = field(default_factory=list)

    def describe(self, model: str) -> ModelInfo:
        """Returns a model whose hash is of its name; raises `ProviderError` for one that is not served."""
        if model not in self.models:
            raise ProviderError(f"there is no model {model}", hint=f"there is {', '.join(self.models)}")
        digest = Digest("sha256:" + sha256_bytes(model.encode()))
        return ModelInfo(name=model, hash=digest, deterministic=self.deterministic, details={"engine": "fake"})

    def complete(self, request: Request) -> Response:
        """Remembers the request and answers as told."""
        self.describe(request.model)
        self.asked.append(request)
        return self.does(request)
