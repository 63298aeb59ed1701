"""`openai:` against Ollama's own compatible endpoint, and against a socket where only the wire can be wrong."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from tests.engines import OllamaServer, is_idle, until
from timelab.errors import ModelAbsent, ProviderError, ProviderUnavailable, UsageError
from timelab.providers.base import Request, Response
from timelab.providers.openai_compat import OpenAICompatProvider

KEY = "sk-planted-4711-abcdef"
PARAMS: Mapping[str, Any] = {
    "temperature": 0.0, "top_p": 1.0, "top_k": None, "max_tokens": 64, "stop": [], "num_ctx": None, "seed": 7,
}  # fmt: skip
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 12}, "score": {"type": "integer"}},
    "required": ["title", "score"],
    "additionalProperties": False,
}
Answer = Callable[..., Response]


def asked(model: str, prompt: str = "hello", **changes: Any) -> Request:
    names = ("response_schema", "timeout_s", "logprobs", "exact", "allow_net")
    fields = {name: changes.pop(name) for name in names if name in changes}
    return Request(f"openai:{model}", (("user", prompt),), {**PARAMS, **changes}, **fields)


@pytest.fixture
def provider(ollama_server: OllamaServer) -> OpenAICompatProvider:
    return OpenAICompatProvider(f"http://{ollama_server.host}/v1")


@pytest.fixture
def answer(provider: OpenAICompatProvider) -> Answer:
    return lambda model, prompt="hello", **changes: provider.complete(asked(model, prompt, **changes))


# --- a real server ---


def test_answer_is_the_text_that_the_model_knows(answer: Answer) -> None:
    response = answer("reply")
    assert (response.text, response.finish) == ("Hello from a tiny model.", "stop")
    assert response.tokens_in and response.tokens_out
    assert response.effective["model"] == "reply" and response.dropped_options == ()


def test_text_beyond_ascii_comes_back_unhurt(answer: Answer) -> None:
    assert answer("unicode").text == "Grüße — 猫が好き 🐈 и ещё …"


def test_schema_holds_a_model_of_noise_to_its_shape(answer: Answer) -> None:
    jsonschema.validate(json.loads(answer("random", response_schema=SCHEMA, max_tokens=200).text), dict(SCHEMA))


def test_logprobs_are_those_of_the_tokens(answer: Answer) -> None:
    response = answer("random", logprobs=2, max_tokens=8)
    assert response.logprobs is not None
    assert "".join(each.token for each in response.logprobs) == response.text
    assert all(len(each.top) == 2 for each in response.logprobs)


def test_temperature_seed_and_top_p_are_passed_on(answer: Answer) -> None:
    """A34–A36."""
    texts = [answer("random", seed=seed, temperature=1.5).text for seed in (1, 2)]
    assert texts[0] != texts[1]
    assert len({answer("random", seed=seed, temperature=1.5, top_p=1e-6).text for seed in (1, 2, 3)}) == 1


def test_max_tokens_and_stop_are_passed_on(answer: Answer) -> None:
    """A37, A38."""
    assert (answer("random", max_tokens=5).finish, answer("random", max_tokens=5).tokens_out) == ("length", 5)
    assert answer("reply", stop=["tiny"]).text == "Hello from a "


def test_what_the_protocol_has_no_word_for_is_listed(answer: Answer) -> None:
    assert answer("reply", top_k=0, num_ctx=512).dropped_options == ("num_ctx", "top_k")
    assert OpenAICompatProvider.dropped_params == {"top_k", "num_ctx"}


def test_exact_is_refused_since_nobody_could_keep_it(answer: Answer) -> None:
    with pytest.raises(ProviderError, match="cannot answer from a cold state"):
        answer("reply", exact=True)


def test_models_have_no_hash(provider: OpenAICompatProvider) -> None:
    """A66: what cannot be known is not made up."""
    assert {info.hash for info in provider.models()} == {None}
    assert provider.describe("openai:reply").name == "openai:reply"


def test_model_that_is_absent_is_told(provider: OpenAICompatProvider, answer: Answer) -> None:
    with pytest.raises(ModelAbsent, match=r"127\.0\.0\.1 has no model nope"):
        provider.describe("openai:nope")
    with pytest.raises(ModelAbsent):
        answer("nope")


def test_answer_that_breaks_off_is_no_answer(answer: Answer) -> None:
    with pytest.raises(ProviderError, match="broke off"):
        answer("stutter", max_tokens=200)


def test_server_killed_in_the_middle_is_unavailable(own_ollama: OllamaServer) -> None:
    provider = OpenAICompatProvider(f"http://{own_ollama.host}/v1")
    with pytest.raises(ProviderUnavailable):
        provider.complete(
            asked("endless", max_tokens=100_000, temperature=1.0), progress=lambda piece: own_ollama.stop()
        )
    assert "no server answers" in (provider.health() or "")


def test_cancelled_call_stops_the_engine(own_ollama: OllamaServer) -> None:
    provider = OpenAICompatProvider(f"http://{own_ollama.host}/v1")

    def stop(piece: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        provider.complete(asked("endless", max_tokens=100_000, temperature=1.0), progress=stop)
    (runner,) = own_ollama.runners()
    until(lambda: is_idle(runner), 30.0, "the engine goes on")


# --- permission and key ---


def test_other_machine_is_not_asked_unless_allowed() -> None:
    """R2: no socket is opened (192.0.2.0/24 is nobody's)."""
    provider = OpenAICompatProvider("https://192.0.2.1/v1", api_key=KEY)
    for call in (provider.models, lambda: provider.complete(asked("m"))):
        with pytest.raises(ProviderError, match="the spec does not allow the network"):
            call()
    assert "does not allow the network" in (provider.health() or "")
    assert provider.describe("openai:m").hash is None


def test_key_does_not_travel_in_the_clear() -> None:
    provider = OpenAICompatProvider("http://192.0.2.1/v1", api_key=KEY, allow_net=True)
    with pytest.raises(ProviderError, match="for all to read") as caught:
        provider.complete(asked("m"))
    assert KEY not in str(caught.value)


def test_address_with_a_password_is_refused() -> None:
    with pytest.raises(UsageError):
        OpenAICompatProvider("https://me:hunter2@example.org/v1")


def test_key_is_in_no_picture_of_the_provider() -> None:
    provider = OpenAICompatProvider("http://127.0.0.1:1/v1", api_key=KEY)
    assert KEY not in repr(provider) and KEY not in str(provider.describe) and KEY not in (provider.health() or "")


# --- a socket: only bytes that a real server sends rarely ---

Serve = Callable[..., OpenAICompatProvider]


def read_request(connection: socket.socket) -> bytes:
    """Returns headers and body: two packets, or one."""
    data = b""
    while piece := connection.recv(1 << 16):
        data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        if b"\r\n\r\n" in data and len(body) >= int(found[1] if found else 0):
            break
    return data


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers each request with the same bytes, and keeps what it was asked in `heard`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def go(status: str, body: bytes, heard: list[bytes]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                heard.append(read_request(connection))
                head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + body)

    def start(status: str, body: bytes, heard: list[bytes] | None = None, **more: Any) -> OpenAICompatProvider:
        threading.Thread(target=go, args=(status, body, [] if heard is None else heard), daemon=True).start()
        return OpenAICompatProvider(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", **more)

    yield start
    listener.close()


def stream(*chunks: object, done: bool = True) -> bytes:
    lines = [b"data: " + (chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode()) for chunk in chunks]
    return b"\n\n".join([b": ping", *lines, *([b"data: [DONE]"] if done else []), b""])


def choice(text: object, finish: object = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish}]}


def test_key_is_sent_as_a_bearer_and_never_repeated(serve: Serve) -> None:
    heard: list[bytes] = []
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
    provider = serve("400 Bad Request", body, heard, api_key=KEY)
    with pytest.raises(ProviderError) as caught:
        provider.complete(asked("m"))
    assert f"Bearer {KEY}".encode() in heard[0] and KEY not in str(caught.value)


def test_key_that_is_not_accepted_says_where_it_belongs(serve: Serve) -> None:
    with pytest.raises(ProviderError, match="the key is not accepted") as caught:
        serve("401 Unauthorized", b"{}", api_key=KEY).complete(asked("m"))
    assert caught.value.hint == "export OPENAI_API_KEY=…" and not isinstance(caught.value, ProviderUnavailable)


@pytest.mark.parametrize(
    ("status", "body", "retry"),
    [
        ("500 Internal Server Error", b"no", True),
        ("429 Too Many Requests", b"slower", True),
        ("200 OK", stream(choice("half"), done=False), True),
        ("200 OK", stream(choice("half"), {"error": {"message": "overloaded"}}), True),
        ("200 OK", stream(choice("half")), False),
        ("200 OK", stream(choice("", "content_filter")), False),
        ("200 OK", stream(b"not json"), False),
        ("200 OK", stream(b"[1]"), False),
        ("200 OK", stream({"choices": [5]}), False),
        ("200 OK", stream(choice({"a": 1}, "stop")), False),
        ("200 OK", stream({"choices": [{"logprobs": {"content": [{}]}}]}), False),
        ("301 Moved Permanently", b"", False),
    ],
)
def test_bad_answer_is_a_provider_error(serve: Serve, status: str, body: bytes, retry: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        serve(status, body).complete(asked("m"))
    assert isinstance(caught.value, ProviderUnavailable) is retry


def test_logprobs_that_do_not_come_are_listed_as_dropped(serve: Serve) -> None:
    response = serve("200 OK", stream(choice("hi", "stop"))).complete(asked("m", logprobs=1))
    assert (response.logprobs, response.dropped_options) == (None, ("logprobs",))


def test_limit_goes_under_the_name_that_the_server_wants(serve: Serve) -> None:
    heard: list[bytes] = []
    provider = serve("200 OK", stream(choice("hi", "stop")), heard, limit_name="max_completion_tokens")
    provider.complete(asked("m"))
    assert b'"max_completion_tokens"' in heard[0] and b'"max_tokens"' not in heard[0]


@pytest.mark.parametrize(("closed", "strict"), [(True, b"true"), (False, b"false")])
def test_schema_is_strict_only_where_it_may_be(serve: Serve, closed: bool, strict: bytes) -> None:
    """OpenAI refuses `strict` for an object that is open or has optional properties."""
    heard: list[bytes] = []
    schema = {**SCHEMA, "additionalProperties": not closed}
    serve("200 OK", stream(choice("{}", "stop")), heard).complete(asked("m", response_schema=schema))
    assert b'"strict":' + strict in heard[0].replace(b" ", b"")


def test_server_without_a_list_of_models_is_taken_at_its_word(serve: Serve) -> None:
    provider = serve("404 Not Found", b"{}")
    assert provider.describe("openai:m").hash is None and provider.models() == ()


def test_server_of_another_kind_is_recognised(serve: Serve) -> None:
    assert "no list of models" in (serve("200 OK", b"{}").health() or "")
