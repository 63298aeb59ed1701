"""Answers from earlier runs' transcripts: for a replay without the model, and for tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from timelab.errors import DataError, ModelAbsent, ProviderError
from timelab.names import Digest
from timelab.providers.base import ModelInfo, Progress, Request, Response


class RecordedProvider:
    """Gives the answer that the same request got before, and none to a request that was not recorded.

    A request that got several answers gets them again in that order, and the last from then on.

    Args:
        transcripts: the bytes of `output/output.jsonl` of earlier runs.
        hash: the weights' digest that those runs recorded.
    """

    name = "recorded"
    dropped_params: frozenset[str] = frozenset()

    def __init__(self, transcripts: Iterable[bytes], hash: Digest | None = None) -> None:
        self._hash = hash
        self._answers: dict[str, list[dict[str, Any]]] = {}
        self._given: Counter[str] = Counter()
        for transcript in transcripts:
            for number, line in enumerate(transcript.removesuffix(b"\n").split(b"\n"), 1):
                answer = _read(line, number)
                self._answers.setdefault(answer["request_sha256"], []).append(answer)

    def health(self) -> str | None:
        """Returns None: what was recorded is at hand."""
        return None

    def models(self) -> tuple[ModelInfo, ...]:
        """Returns the models that answers were recorded of."""
        return tuple(self.describe(name) for name in sorted({each[0]["model"] for each in self._answers.values()}))

    def describe(self, model: str) -> ModelInfo:
        """Returns the model under its own name; raises `ProviderError` when no answer of it was recorded."""
        recorded = [answers for answers in self._answers.values() if answers[0]["model"] == model]
        if not recorded:
            raise ModelAbsent(f"no answer of {model} was recorded", hint="run it on the model itself")
        same = all(len({answer["output"] for answer in answers}) == 1 for answers in recorded)
        return ModelInfo(name=model, hash=self._hash, deterministic=same, details={"engine": "recorded"})

    def complete(self, request: Request, *, progress: Progress | None = None) -> Response:
        """Returns the recorded answer; raises `ProviderError` when this request was not recorded."""
        digest = request.digest()
        answers = self._answers.get(digest)
        if answers is None:
            raise ProviderError("this request was not recorded", hint="run it on the model itself")
        answer = answers[min(self._given[digest], len(answers) - 1)]
        self._given[digest] += 1
        if progress is not None:
            progress(answer["output"])
        return Response(text=answer["output"], finish=answer["finish"], tokens_in=None, tokens_out=None)


def _read(line: bytes, number: int) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"transcript line {number} is not JSON") from error
    needed = ("request_sha256", "model", "output", "finish")
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in needed):
        raise DataError(f"transcript line {number} is not a line of output.jsonl")
    return answer
