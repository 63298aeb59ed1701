"""`ollama:<model>`: asks an Ollama server, and learns from it which weights answered.

Facts that shape this file, each seen on v0.17.4 (and most on v0.32.13): an answer can end with HTTP 200 and no `done`;
unknown options are dropped in silence; a prompt that is too long is cut in silence unless `truncate` is false; the
digest that `/api/tags` shows is of the manifest and differs between stores, that of the weights stands in the
Modelfile; an equal request can get another answer while a prefix is cached, so `exact` unloads the model first.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from timelab.canonical import sha256_bytes, sha256_json
from timelab.errors import ModelAbsent, ProviderError, ProviderUnavailable
from timelab.names import Digest
from timelab.providers import http
from timelab.providers.base import ModelInfo, Progress, Request, Response, TokenLogprob
from timelab.providers.options import NEUTRAL, Options, given, read_options, shortened

if TYPE_CHECKING:
    import httpx
    from ollama import Client

DEFAULT_HOST = "127.0.0.1:11434"
START = "ollama serve"
_PORT = 11434
_WEIGHTS = re.compile(r"(?m)^(?:FROM|ADAPTER) .*sha256-([0-9a-f]{64})\s*$")
_STOP = re.compile(r'(?m)^stop +("(?:[^"\\]|\\.)*"|.+)$')
_LIST_TIMEOUT_S = 30.0
_POLL_S = 0.01


@dataclass(frozen=True)
class _Facts:
    """Is what the server says of a model: for people, and the stop words that the model brings."""

    info: ModelInfo
    stop: tuple[str, ...]


class OllamaProvider:
    """Asks one Ollama server.

    Args:
        host: `OLLAMA_HOST` as the user set it: a URL, `host`, `host:port` or `:port`.
        threads: sent as `num_thread`; None leaves it to the server (its number of cores). One number for a whole run:
            another one makes the server load the model again.
        token_timeout_s: the longest wait for the first piece, and for each next one; None: the request's time limit.
        allow_net: the server may stand on another machine, and may pass prompts on (its cloud models). The same can be
            said by a single request.

    Raises:
        UsageError: `host` is no address.
    """

    name = "ollama"
    dropped_params: frozenset[str] = frozenset()

    def __init__(
        self,
        host: str = DEFAULT_HOST,
        *,
        threads: int | None = None,
        token_timeout_s: float | None = None,
        allow_net: bool = False,
    ) -> None:
        self._place = http.parse_place(host or DEFAULT_HOST, port=_PORT)
        self._threads = threads
        self._token_timeout_s = token_timeout_s
        self._allow_net = allow_net
        # Unloading for one request must not take the model from under another.
        self._turn = threading.Lock()

    def health(self) -> str | None:
        """Returns None if the server tells its version within two seconds."""
        try:
            http.check_net(self._place, self.name, allowed=self._allow_net)
            self._version(http.HEALTH_TIMEOUT_S)
        except ProviderError as error:
            return f"{error.message}; {error.hint}" if error.hint else error.message
        return None

    def models(self) -> tuple[ModelInfo, ...]:
        """Returns the server's models that can chat or complete, by name."""
        http.check_net(self._place, self.name, allowed=self._allow_net)
        with self._failures(_LIST_TIMEOUT_S), self._client(_LIST_TIMEOUT_S) as client:
            version, listed = self._version(_LIST_TIMEOUT_S), self._listed(client)
            facts = [self._facts(client, name, listed, version) for name in sorted(listed)]
        return tuple(each.info for each in facts if "completion" in each.info.details.get("capabilities", "completion"))

    def describe(self, model: str) -> ModelInfo:
        """Returns what the server says of the model; raises `ModelAbsent` when it has none of that name."""
        http.check_net(self._place, self.name, allowed=self._allow_net)
        return self._describe(model, _LIST_TIMEOUT_S).info

    def complete(self, request: Request, *, progress: Progress | None = None) -> Response:
        """Chats, and counts the answer only when the server says that it is done."""
        http.check_net(self._place, self.name, allowed=self._allow_net or request.allow_net)
        deadline_s = time.monotonic() + request.timeout_s
        options = read_options(request, self.name)
        facts = self._describe(request.model, request.timeout_s)
        if facts.info.hash is None and not (self._allow_net or request.allow_net):
            what = f"{request.model} has no weights here: ollama would send the prompt to another machine"
            raise ProviderError(what, hint="set allow_net: true in the spec, or pull a model that runs here")
        sent = self._options(options, facts.stop)
        body = _body(_bare(request.model), request, sent)
        with self._turn if request.exact else contextlib.nullcontext():
            if request.exact:
                self._unload(body["model"], deadline_s)
            answer = self._chat(body, deadline_s - time.monotonic(), progress)
        return self._response(request, sent, answer)

    def _options(self, options: Options, own_stop: tuple[str, ...]) -> dict[str, Any]:
        # `stop` replaces the words that the model's own Modelfile has, by which some end their turn.
        return given(
            {
                **NEUTRAL,
                "temperature": options.temperature,
                "top_p": options.top_p,
                "top_k": options.top_k,
                "seed": options.seed,
                "num_predict": options.max_tokens,
                "repeat_last_n": 64,
                "stop": list(dict.fromkeys((*own_stop, *options.stop))),
                "num_ctx": options.num_ctx,
                "num_thread": self._threads,
            }
        )

    # --- the server ---

    def _chat(self, body: Mapping[str, Any], left_s: float, progress: Progress | None) -> _Answer:
        left_s = max(0.001, left_s)
        silence_s = min(left_s, self._token_timeout_s or left_s)
        # The package's own chat() can say neither `truncate` nor `shift`.
        with (
            http.failures(self.name, self._place, start=START, timeout_s=left_s),
            http.make_client(self._place, silence_s) as client,
            http.posted(client, "/api/chat", body, left_s) as response,
        ):
            self._check_status(response, body["model"])
            answer = _Answer()
            for line in http.lines_of(response):
                part = _parsed(line)
                if "error" in part:
                    raise ProviderUnavailable(f"ollama: {http.said_by(str(part['error']))}", hint="see its log")
                with http.expected_shape(self.name):
                    piece = answer.add(part)
                if piece and progress is not None:
                    progress(piece)
        if not answer.done:
            raise ProviderError(
                f"ollama: the answer broke off after {len(answer.text)} characters, without the server's word that "
                "it is complete",
                hint="older servers stop a model that repeats itself 30 times: change the prompt, or the sampling",
            )
        return answer

    def _check_status(self, response: httpx.Response, model: str) -> None:
        if response.status_code == 200:
            return
        said = http.said_by(response.read())
        if response.status_code == 404:
            raise ModelAbsent(f"ollama has no model {model}", hint=f"ollama pull {model}")
        raise http.status_error(self.name, response.status_code, said)

    def _response(self, request: Request, sent: Mapping[str, Any], answer: _Answer) -> Response:
        effective = {**sent, "truncate": False, "shift": False, **self._running(_bare(request.model))}
        dropped = ("logprobs",) if request.logprobs is not None and not answer.logprobs and answer.text else ()
        return Response(
            text=answer.text,
            finish=answer.reason,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            effective={**effective, "cold": request.exact},
            dropped_options=dropped,
            logprobs=None if dropped else shortened(answer.logprobs, request.logprobs),
        )

    def _running(self, model: str) -> dict[str, Any]:
        """Returns how the engine runs the model: only a loaded one has a context length and a device."""
        with contextlib.suppress(ProviderError), self._failures(_LIST_TIMEOUT_S), self._client(_LIST_TIMEOUT_S) as ask:
            for each in ask.ps().models:
                if each.model == _full(model):
                    size, on_gpu = int(each.size or 0), int(each.size_vram or 0)
                    device = "cpu" if not on_gpu else "gpu" if on_gpu >= size else "gpu and cpu"
                    return given({"num_ctx": each.context_length, "device": device})
        return {}

    def _unload(self, model: str, deadline_s: float) -> None:
        """Empties every cache of the model; raises `ProviderUnavailable` when the server does not let go of it."""
        left_s = max(0.001, deadline_s - time.monotonic())
        with self._failures(left_s), self._client(left_s) as client:
            client.generate(model=model, prompt="", keep_alive=0)
            while any(each.model == _full(model) for each in client.ps().models):
                if time.monotonic() > deadline_s:
                    raise ProviderUnavailable(f"ollama: {model} could not be unloaded: another program is using it")
                time.sleep(_POLL_S)

    def _describe(self, model: str, timeout_s: float) -> _Facts:
        bare = _bare(model)
        with self._failures(timeout_s, bare), self._client(timeout_s) as client:
            version = self._version(timeout_s)
            return self._facts(client, bare, self._listed(client), version)

    def _listed(self, client: Client) -> dict[str, str]:
        """Returns the digest of each model's manifest."""
        return {each.model: each.digest or "" for each in client.list().models if each.model}

    def _facts(self, client: Client, bare: str, listed: Mapping[str, str], version: str) -> _Facts:
        shown = client.show(bare)
        weights = _WEIGHTS.findall(shown.modelfile or "")
        about, details = shown.modelinfo or {}, shown.details
        architecture = about.get("general.architecture")
        manifest = listed.get(_full(bare))
        known = {
            "engine": "ollama",
            "engine_version": version,
            "architecture": architecture,
            "quantization": details.quantization_level if details else None,
            "parameters": details.parameter_size if details else None,
            "context_length": about.get(f"{architecture}.context_length"),
            "template_sha256": sha256_bytes(shown.template.encode()) if shown.template else None,
            "manifest_digest": f"sha256:{manifest}" if manifest else None,
            "weights": " ".join(f"sha256:{each}" for each in weights) if len(weights) > 1 else None,
            "threads": str(self._threads) if self._threads else "the server's choice",
            "capabilities": " ".join(sorted(shown.capabilities or ())) or None,
        }
        # An adapter or a projector is part of what answers: together they have one digest.
        whole = weights[0] if len(weights) == 1 else sha256_json(sorted(weights)) if weights else None
        info = ModelInfo(
            name=f"{self.name}:{bare}",
            hash=Digest(f"sha256:{whole}") if whole else None,
            deterministic=False,
            details={name: str(value) for name, value in given(known).items()},
            exact_on_request=whole is not None,
        )
        stop = tuple(_unquoted(word) for word in _STOP.findall(shown.parameters or ""))
        return _Facts(info, stop)

    def _version(self, timeout_s: float) -> str:
        with self._failures(timeout_s), http.make_client(self._place, timeout_s) as client:
            response = client.get("/api/version")
            if response.status_code != 200:
                raise http.status_error(self.name, response.status_code, http.said_by(response.content))
            found = _parsed(response.content).get("version")
        if not isinstance(found, str):
            what = f"ollama: what answers at {self._place.url} is no Ollama server"
            raise ProviderError(what, hint="OLLAMA_HOST says where it stands")
        return found[:80]

    def _client(self, timeout_s: float) -> Client:
        import ollama

        return ollama.Client(host=self._place.url, timeout=timeout_s, **http.client_options(self._place))

    @contextlib.contextmanager
    def _failures(self, timeout_s: float, model: str | None = None) -> Iterator[None]:
        import ollama
        import pydantic

        try:
            with http.failures(self.name, self._place, start=START, timeout_s=timeout_s):
                yield
        except ollama.ResponseError as error:
            if error.status_code == 404 and model is not None:
                raise ModelAbsent(f"ollama has no model {model}", hint=f"ollama pull {model}") from error
            raise http.status_error(self.name, error.status_code, http.said_by(error.error)) from error
        except ConnectionError as error:
            # The package's own word for a refused connection.
            raise ProviderUnavailable(f"ollama: no server answers at {self._place.url}", hint=START) from error
        except (pydantic.ValidationError, ValueError) as error:
            raise ProviderError(f"ollama: what {self._place.url} says is no answer of an Ollama server") from error


class _Answer:
    """Is what came of an answer so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.logprobs: list[TokenLogprob] = []
        self.done = False
        self.reason = ""
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def add(self, part: Mapping[str, Any]) -> str:
        """Adds one line of the stream and returns its text."""
        piece = http.text_of((part.get("message") or {}).get("content"))
        self.logprobs += [_logprob(each) for each in part.get("logprobs") or ()]
        self.pieces.append(piece)
        if part.get("done") is True:
            self.done = True
            self.reason = http.text_of(part.get("done_reason"))
            # Counts of nothing are left out.
            self.tokens_in, self.tokens_out = (
                http.count_of(part.get("prompt_eval_count")),
                http.count_of(part.get("eval_count")),
            )
        return piece


def _body(model: str, request: Request, options: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": role, "content": text} for role, text in request.messages],
        "stream": True,
        # Without these a prompt or an answer beyond the context is cut at its beginning, and nothing says so.
        "truncate": False,
        "shift": False,
        "options": dict(options),
    }
    if request.response_schema is not None:
        body["format"] = dict(request.response_schema)
    if request.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    return body


def _logprob(each: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((str(one["token"]), float(one["logprob"])) for one in each.get("top_logprobs") or ())
    return TokenLogprob(str(each["token"]), float(each["logprob"]), top)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ProviderError("ollama: the server sent what is not JSON") from error
    if not isinstance(found, dict):
        raise ProviderError("ollama: the server sent what is not an object")
    return found


def _unquoted(word: str) -> str:
    with contextlib.suppress(ValueError):
        found = json.loads(word)
        if isinstance(found, str):
            return found
    return word.strip()


def _bare(model: str) -> str:
    return model.partition(":")[2]


def _full(bare: str) -> str:
    return bare if ":" in bare.rpartition("/")[2] else f"{bare}:latest"
