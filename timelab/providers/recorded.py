"""`recorded:RUN` answers as an earlier run's model did, from that run's own transcript, and asks no model.

It answers a request that is the same in everything: the messages, each parameter, the schema, and the model that the
earlier run asked. It is for going on from answers that were dear, for a replay where the model is not at hand, and for
tests. What it gives is told as what it is: the manifest's model is `recorded:RUN`, with the weights' digest of the one
whose answers they are; each line of the output names that one, as the earlier run's line does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from timelab.errors import ProviderError
from timelab.names import Digest, RunId
from timelab.providers.base import ModelInfo, Progress, Request, Response


@dataclass(frozen=True)
class Recording:
    """Is what a run keeps of its model: the weights' digest, the parameters sent, and `output/output.jsonl`."""

    run_id: RunId
    hash: Digest | None
    params: Mapping[str, Any]
    transcript: bytes


class RecordedProvider:
    """Gives the answer that the same request got before, and none to a request that was not recorded.

    A request that got several answers gets them again in that order, and the last from then on; `describe`, with which
    each run begins, starts again at the first.

    Args:
        find: returns what the run of that id, or beginning of an id, keeps; raises `ProviderError` when it has nothing.
    """

    name = "recorded"
    dropped_params: frozenset[str] = frozenset()

    def __init__(self, find: Callable[[str], Recording]) -> None:
        self._find = find
        self._opened: dict[str, _Answers] = {}

    def params(self, model: str) -> Mapping[str, Any]:
        """Returns every parameter that the run sent: what a spec leaves open is then as recorded, the seed too."""
        return self._answers(model).recording.params

    def health(self) -> str | None:
        """Returns None: what was recorded is at hand."""
        return None

    def models(self) -> tuple[ModelInfo, ...]:
        """Returns none: it is runs that answer here, and `timelab log --kind llm` lists those."""
        return ()

    def describe(self, model: str) -> ModelInfo:
        """Returns whose answers these are; raises `ProviderError` when the run is not here or holds none."""
        answers = self._answers(model)
        answers.given.clear()
        told = {"engine": "recorded", "run": answers.recording.run_id, "model": ", ".join(answers.models)[:1_000]}
        # One digest cannot speak for the weights of several models.
        weights = answers.recording.hash if len(answers.models) == 1 else None
        return ModelInfo(name=model, hash=weights, deterministic=answers.is_settled(), details=told)

    def complete(self, request: Request, *, progress: Progress | None = None) -> Response:
        """Returns the recorded answer; raises `ProviderError` when this request was not recorded."""
        response = self._answers(request.model).give(request)
        if progress is not None:
            progress(response.text)
        return response

    def _answers(self, model: str) -> _Answers:
        if model not in self._opened:
            self._opened[model] = _Answers(self._find(model.partition(":")[2]))
        return self._opened[model]


class _Answers:
    """Holds one run's answers by the digest of what was asked."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.given: Counter[str] = Counter()
        self._lines: dict[str, list[dict[str, Any]]] = {}
        for number, line in enumerate(recording.transcript.removesuffix(b"\n").split(b"\n"), 1):
            answer = _read(line, f"run {recording.run_id[:8]}: output/output.jsonl:{number}")
            self._lines.setdefault(answer["request_sha256"], []).append(answer)
        self.models = sorted({answer["model"] for lines in self._lines.values() for answer in lines})

    def is_settled(self) -> bool:
        """Says whether no request got two answers that differ."""
        return all(len({answer["output"] for answer in lines}) == 1 for lines in self._lines.values())

    def give(self, request: Request) -> Response:
        """Returns the next answer to the request as the recorded model was sent it."""
        for model in self.models:
            digest = replace(request, model=model).digest()
            lines = [answer for answer in self._lines.get(digest, ()) if answer["model"] == model]
            if lines:
                answer = lines[min(self.given[digest], len(lines) - 1)]
                self.given[digest] += 1
                return Response(answer["output"], answer["finish"], tokens_in=None, tokens_out=None, model=model)
        sent, recorded = request.params, self.recording.params
        others = [name for name in sorted({*sent, *recorded}) if sent.get(name) != recorded.get(name)]
        what = f"with another {', '.join(others)}" if others else "to this prompt and schema"
        raise ProviderError(f"run {self.recording.run_id[:8]} recorded no answer {what}")


def _read(line: bytes, place: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"{place}: not JSON") from error
    needed = ("request_sha256", "model", "output", "finish")
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in needed):
        raise ProviderError(f"{place}: not a line of an llm run's output")
    return answer
