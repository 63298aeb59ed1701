"""`openai:<model>`: asks any server that speaks OpenAI's chat completions, on this machine or, if allowed, elsewhere.

Nobody can tell which weights answer there: such a model has no digest, and no answer of it is called exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from timelab.errors import ModelAbsent, ProviderError, ProviderUnavailable
from timelab.providers import http
from timelab.providers.base import ModelInfo, Progress, Request, Response, TokenLogprob
from timelab.providers.options import given, read_options, shortened

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "https://api.openai.com/v1"
_LIST_TIMEOUT_S = 30.0
_START = "start that server, or say where it stands: OPENAI_BASE_URL"


@dataclass
class _Answer:
    """Is what came of an answer so far."""

    pieces: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    reported: dict[str, str] = field(default_factory=dict)


class OpenAICompatProvider:
    """Asks one server.

    Args:
        base_url: with the version, as `OPENAI_BASE_URL` has it: `http://127.0.0.1:11434/v1`.
        api_key: what `OPENAI_API_KEY` says; None: no key is sent. It goes into one header and nowhere else.
        allow_net: the server may stand on another machine for everything that is asked. With False, `complete` still
            goes there if the request says `allow_net`, and `describe` answers without asking the server.
        limit_name: what the server calls `max_tokens`; OpenAI's newer models want `max_completion_tokens`.
        token_timeout_s: the longest wait for the first piece, and for each next one; None: the request's time limit.

    Raises:
        UsageError: `base_url` is no address, or holds a password.
    """

    name = "openai"
    dropped_params: frozenset[str] = frozenset({"top_k", "num_ctx"})

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        allow_net: bool = False,
        limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        token_timeout_s: float | None = None,
    ) -> None:
        self._place = http.parse_place(base_url or DEFAULT_URL)
        self._key = api_key or None
        self._allow_net = allow_net
        self._limit_name = limit_name
        self._token_timeout_s = token_timeout_s

    def health(self) -> str | None:
        """Returns None if the server answers within two seconds; it is not asked where that needs a permission."""
        try:
            http.check_net(self._place, self.name, allowed=self._allow_net)
            self._listed(http.HEALTH_TIMEOUT_S)
        except ProviderError as error:
            return f"{error.message}; {error.hint}" if error.hint else error.message
        return None

    def models(self) -> tuple[ModelInfo, ...]:
        """Returns what the server lists, by name."""
        http.check_net(self._place, self.name, allowed=self._allow_net)
        return tuple(self._info(f"{self.name}:{each}") for each in sorted(self._listed(_LIST_TIMEOUT_S) or ()))

    def describe(self, model: str) -> ModelInfo:
        """Returns the little that is known; raises `ModelAbsent` when the server lists its models, and not this one."""
        if self._place.is_loopback or self._allow_net:
            bare = model.partition(":")[2]
            listed = self._listed(_LIST_TIMEOUT_S)
            if listed is not None and not {bare, f"{bare}:latest"} & listed and not self._has(bare):
                raise self._absent(bare)
        return self._info(model)

    def complete(self, request: Request, *, progress: Progress | None = None) -> Response:
        """Chats; an answer counts only with the reason of its end and the end of the stream."""
        http.check_net(self._place, self.name, allowed=self._allow_net or request.allow_net)
        options = read_options(request, self.name)
        if request.exact:
            what = f"{request.model} cannot answer from a cold state: its server has no word for that"
            raise ProviderError(what, hint="ask ollama: or llamacpp: for exact answers")
        sent = given(
            {
                "temperature": options.temperature,
                "top_p": options.top_p,
                "seed": options.seed,
                "stop": list(options.stop) or None,
                "frequency_penalty": 0.0,
                "presence_penalty": 0.0,
                self._limit_name: options.max_tokens,
            }
        )
        bare = request.model.partition(":")[2]
        answer = self._chat(_body(bare, request, sent), request.timeout_s, progress)
        dropped = [name for name in ("num_ctx", "top_k") if getattr(options, name) is not None]
        if request.logprobs is not None and not answer.logprobs and answer.pieces:
            dropped.append("logprobs")
        return Response(
            text="".join(answer.pieces),
            finish=answer.finish,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            effective={**sent, **answer.reported},
            dropped_options=tuple(dropped),
            logprobs=None if "logprobs" in dropped else shortened(answer.logprobs, request.logprobs),
        )

    # --- the server ---

    def _chat(self, body: Mapping[str, Any], timeout_s: float, progress: Progress | None) -> _Answer:
        silence_s = min(timeout_s, self._token_timeout_s or timeout_s)
        answer = _Answer()
        with (
            http.failures(self.name, self._place, start=_START, timeout_s=timeout_s),
            self._client(silence_s) as client,
            http.posted(client, "/chat/completions", body, timeout_s) as response,
        ):
            if response.status_code != 200:
                response.read()
                raise self._refused(response, str(body["model"]))
            for chunk in self._events(response):
                if chunk.get("error"):
                    said = http.said_by(json.dumps({"error": chunk["error"]}), secret=self._key)
                    raise ProviderUnavailable(f"openai: {said}")
                with http.expected_shape(self.name):
                    piece = _add(answer, chunk)
                if piece and progress is not None:
                    progress(piece)
        if answer.finish not in ("stop", "length"):
            why = f"it ended for another reason: {http.said_by(answer.finish)}" if answer.finish else "it broke off"
            raise ProviderError(f"openai: the answer is not complete: {why}")
        return answer

    def _events(self, response: httpx.Response) -> Iterator[Mapping[str, Any]]:
        """Yields the chunks of a stream of events; raises `ProviderUnavailable` when it ends without `[DONE]`."""
        for line in http.lines_of(response):
            if not line.startswith(b"data:"):
                continue
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            yield self._parsed(data)
        raise ProviderUnavailable(f"openai: the server at {self._place.url} broke off in the middle of its answer")

    def _listed(self, timeout_s: float) -> set[str] | None:
        """Returns the names that the server lists; None if it has no list."""
        response = self._get("/models", timeout_s)
        if response.status_code in (404, 405, 501):
            return None
        if response.status_code != 200:
            raise self._refused(response, None)
        found = self._parsed(response.content).get("data")
        if not isinstance(found, list):
            raise ProviderError(f"openai: what {self._place.url}/models says is no list of models", hint=_START)
        return {each["id"] for each in found if isinstance(each, dict) and isinstance(each.get("id"), str)}

    def _has(self, bare: str) -> bool:
        """Says whether the server knows a model that it does not list, as some do with aliases."""
        return self._get(f"/models/{quote(bare, safe='')}", _LIST_TIMEOUT_S).status_code == 200

    def _get(self, path: str, timeout_s: float) -> httpx.Response:
        with (
            http.failures(self.name, self._place, start=_START, timeout_s=timeout_s),
            self._client(timeout_s) as client,
        ):
            return client.get(path)

    def _client(self, timeout_s: float) -> httpx.Client:
        if self._key and not self._place.is_secret_from_others:
            what = f"openai: the key would go to {self._place.host} for all to read"
            raise ProviderError(what, hint="use https, or unset OPENAI_API_KEY")
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        return http.make_client(self._place, timeout_s, headers)

    def _refused(self, response: httpx.Response, bare: str | None) -> ProviderError:
        said = http.said_by(response.content, secret=self._key)
        if response.status_code == 401:
            why = "the key is not accepted" if self._key else "it wants a key"
            return ProviderError(f"openai: {self._place.host}: {why}", hint="export OPENAI_API_KEY=…")
        if response.status_code == 404 and bare is not None:
            return self._absent(bare)
        return http.status_error(self.name, response.status_code, said)

    def _absent(self, bare: str) -> ModelAbsent:
        hint = f"see what there is: {self._place.url}/models"
        return ModelAbsent(f"openai: {self._place.host} has no model {bare}", hint=hint)

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ProviderError(f"openai: {self._place.url} sent what is not JSON") from error
        if not isinstance(found, dict):
            raise ProviderError(f"openai: {self._place.url} sent what is not an object")
        return found

    def _info(self, model: str) -> ModelInfo:
        return ModelInfo(
            name=model,
            hash=None,
            deterministic=False,
            details={"engine": "a server that speaks OpenAI's protocol", "server": self._place.url},
        )


def _add(answer: _Answer, chunk: Mapping[str, Any]) -> str:
    """Adds one chunk of the stream and returns its text."""
    if usage := chunk.get("usage"):
        answer.tokens_in = http.count_of(usage.get("prompt_tokens"))
        answer.tokens_out = http.count_of(usage.get("completion_tokens"))
    for name in ("model", "system_fingerprint"):
        if said := http.text_of(chunk.get(name)):
            answer.reported[name] = http.said_by(said)
    before = len(answer.pieces)
    for choice in chunk.get("choices") or ():
        for each in (choice.get("logprobs") or {}).get("content") or ():
            top = tuple((str(one["token"]), float(one["logprob"])) for one in each.get("top_logprobs") or ())
            answer.logprobs.append(TokenLogprob(str(each["token"]), float(each["logprob"]), top))
        answer.finish = http.text_of(choice.get("finish_reason")) or answer.finish
        answer.pieces.append(http.text_of((choice.get("delta") or {}).get("content")))
    return "".join(answer.pieces[before:])


def _body(bare: str, request: Request, sent: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        **sent,
        "model": bare,
        "messages": [{"role": role, "content": text} for role, text in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.response_schema is not None:
        schema = {
            "name": "answer",
            "schema": dict(request.response_schema),
            "strict": _is_strict(request.response_schema),
        }
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    return body


def _is_strict(schema: Any) -> bool:
    """Says whether a schema may be enforced at OpenAI: every object closed, every property required."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping) and (
            schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != set(properties)
        ):
            return False
        return all(_is_strict(each) for each in schema.values())
    return all(_is_strict(each) for each in schema) if isinstance(schema, list) else True
