"""A provider that says what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from timelab.canonical import sha256_bytes
from timelab.errors import ModelAbsent
from timelab.names import Digest
from timelab.providers.base import ModelInfo, Progress, Request, Response


def echo(request: Request) -> Response:
    """Returns the last message, word for word."""
    text = request.messages[-1][1]
    return Response(text=text, finish="stop", tokens_in=len(text.split()), tokens_out=len(text.split()))


@dataclass
class FakeProvider:
    """Serves the models in `serves` by calling `does`, and remembers each request in `asked`."""

    name: str = "fake"
    serves: tuple[str, ...] = ("fake:echo",)
    does: Callable[[Request], Response] = echo
    deterministic: bool = True
    exact_on_request: bool = False
    ill: str | None = None
    dropped_params: frozenset[str] = frozenset()
    asked: list[Request] = field(default_factory=list)

    def health(self) -> str | None:
        """Returns what `ill` says."""
        return self.ill

    def models(self) -> tuple[ModelInfo, ...]:
        """Returns the models in `serves`."""
        return tuple(self.describe(model) for model in self.serves)

    def describe(self, model: str) -> ModelInfo:
        """Returns a model whose hash is of its name; raises `ModelAbsent` for one that is not served."""
        if model not in self.serves:
            raise ModelAbsent(f"there is no model {model}", hint=f"there is {', '.join(self.serves)}")
        digest = Digest("sha256:" + sha256_bytes(model.encode()))
        return ModelInfo(
            name=model,
            hash=digest,
            deterministic=self.deterministic,
            details={"engine": "fake"},
            exact_on_request=self.exact_on_request,
        )

    def complete(self, request: Request, *, progress: Progress | None = None) -> Response:
        """Remembers the request and answers as told."""
        self.describe(request.model)
        self.asked.append(request)
        response = self.does(request)
        if progress is not None:
            progress(response.text)
        return response
