"""Answers from earlier runs' transcripts: for a replay without the model, and for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from timelab.errors import DataError, ProviderError
from timelab.names import Digest
from timelab.providers.base import ModelInfo, Request, Response


class RecordedProvider:
    """Gives the answer that the same request got before, and none to a request that was not recorded.

    Args:
        transcripts: the bytes of `output/output.jsonl` of earlier runs.
        hash: the weights' digest that those runs recorded.
    """

    name = "recorded"
    dropped_params: frozenset[str] = frozenset()

    def __init__(self, transcripts: Iterable[bytes], hash: Digest | None = None) -> None:
        self._hash = hash
        self._answers: dict[str, dict[str, Any]] = {}
        for transcript in transcripts:
            for number, line in enumerate(transcript.splitlines(), 1):
                try:
                    answer = json.loads(line)
                    self._answers[answer["request_sha256"]] = answer
                except (ValueError, KeyError, TypeError) as error:
                    raise DataError(f"transcript line {number} is not one of ours") from error

    def describe(self, model: str) -> ModelInfo:
        """Returns the model under its own name; raises `ProviderError` when no answer of it was recorded."""
        if not any(answer.get("model") == model for answer in self._answers.values()):
            raise ProviderError(f"no answer of {model} was recorded")
        return ModelInfo(name=model, hash=self._hash, deterministic=True, details={"engine": "recorded"})

    def complete(self, request: Request) -> Response:
        """Returns the recorded answer; raises `ProviderError` when this request was not recorded."""
        answer = self._answers.get(request.digest())
        if answer is None:
            raise ProviderError("this request was not recorded", hint="run it on the model itself")
        return Response(text=str(answer["output"]), finish=str(answer["finish"]), tokens_in=None, tokens_out=None)
