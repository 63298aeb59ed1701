"""`ollama:` against a real server with tiny models (A2, A14, A65, A66, A181)."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.engines import OllamaServer, is_idle, until
from timelab.canonical import sha256_file
from timelab.errors import ModelAbsent, ProviderError, ProviderUnavailable, UsageError
from timelab.providers.base import Request, Response
from timelab.providers.ollama import OllamaProvider

PARAMS: Mapping[str, Any] = {
    "temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_tokens": 64, "stop": [], "num_ctx": 512, "seed": 7,
}  # fmt: skip
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 12}, "score": {"type": "integer"}},
    "required": ["title", "score"],
    "additionalProperties": False,
}
NEAR_TIES = "Compare the two drafts and say which one reads better, and why you think so."


def asked(model: str, prompt: str = "hello", **changes: Any) -> Request:
    fields = {
        name: changes.pop(name) for name in ("response_schema", "timeout_s", "logprobs", "exact") if name in changes
    }
    return Request(f"ollama:{model}", (("user", prompt),), {**PARAMS, **changes}, **fields)


@pytest.fixture
def provider(ollama_server: OllamaServer) -> OllamaProvider:
    return OllamaProvider(ollama_server.host, threads=1)


@pytest.fixture
def answer(provider: OllamaProvider) -> Callable[..., Response]:
    return lambda model, prompt="hello", **changes: provider.complete(asked(model, prompt, **changes))


Answer = Callable[..., Response]


# --- answers ---


def test_answer_is_the_text_that_the_model_knows(answer: Answer) -> None:
    """A157: the whole text, why it ended, and the tokens of both."""
    response = answer("reply")
    assert (response.text, response.finish) == ("Hello from a tiny model.", "stop")
    assert response.tokens_in and response.tokens_out


def test_conversation_of_several_turns_is_sent_whole(provider: OllamaProvider) -> None:
    turns = (("system", "be brief"), ("user", "one"), ("assistant", "two"), ("user", "three"))
    long = provider.complete(Request("ollama:reply", turns, PARAMS))
    short = provider.complete(Request("ollama:reply", turns[-1:], PARAMS))
    assert long.tokens_in is not None and short.tokens_in is not None and long.tokens_in > short.tokens_in


def test_text_beyond_ascii_comes_back_unhurt(answer: Answer) -> None:
    assert answer("unicode", "猫?").text == "Grüße — 猫が好き 🐈 и ещё …"


def test_schema_holds_a_model_of_noise_to_its_shape(answer: Answer) -> None:
    """The engine's own constrained decoding: these weights would never write JSON."""
    response = answer("random", response_schema=SCHEMA, max_tokens=200)
    jsonschema.validate(json.loads(response.text), dict(SCHEMA))


def test_pieces_come_before_the_answer_is_whole(provider: OllamaProvider) -> None:
    pieces: list[str] = []
    response = provider.complete(asked("random"), progress=pieces.append)
    assert len(pieces) > 10 and "".join(pieces) == response.text


def test_logprobs_are_those_of_the_tokens(answer: Answer) -> None:
    response = answer("random", logprobs=2, max_tokens=8)
    assert response.logprobs is not None and len(response.logprobs) == 8
    assert "".join(each.token for each in response.logprobs) == response.text
    for each in response.logprobs:
        assert each.logprob < 0 and len(each.top) == 2 and each.top[0][0] == each.token
    assert answer("random").logprobs is None


# --- what was asked for takes effect ---


def test_temperature_and_seed_are_passed_on(answer: Answer) -> None:
    """A34, A36: without heat the seed says nothing, with it everything."""
    cold = {answer("random", seed=seed, exact=True).text for seed in (1, 2)}
    warm = [answer("random", seed=seed, temperature=1.5, exact=True).text for seed in (1, 2, 1)]
    assert len(cold) == 1 and warm[0] == warm[2] != warm[1] and warm[0] not in cold


def test_top_k_is_passed_on(answer: Answer) -> None:
    """One candidate leaves nothing to chance, however hot."""
    texts = {answer("random", top_k=1, temperature=1.5, seed=seed, exact=True).text for seed in (1, 2, 3)}
    assert len(texts) == 1
    assert answer("random", top_k=0, temperature=1.5, seed=1, exact=True).text not in texts


def test_top_p_is_passed_on(answer: Answer) -> None:
    """A35: the likeliest token alone has more than a millionth."""
    texts = {answer("random", top_p=1e-6, temperature=1.5, seed=seed, exact=True).text for seed in (1, 2, 3)}
    assert len(texts) == 1
    assert answer("random", top_p=1.0, temperature=1.5, seed=1, exact=True).text not in texts


def test_max_tokens_is_passed_on(answer: Answer) -> None:
    """A37."""
    response = answer("random", max_tokens=5)
    assert (response.finish, response.tokens_out) == ("length", 5)


def test_stop_is_passed_on_beside_the_words_of_the_model(answer: Answer) -> None:
    """A38: the model's own ends of a turn must not be lost by naming another."""
    response = answer("reply", stop=["tiny"])
    assert (response.text, response.finish) == ("Hello from a ", "stop")
    assert response.effective["stop"] == ["<|im_start|>", "<|im_end|>", "tiny"]


def test_num_ctx_is_passed_on(answer: Answer, provider: OllamaProvider) -> None:
    assert answer("random", num_ctx=256).effective["num_ctx"] == 256
    assert answer("random", num_ctx=128).effective["num_ctx"] == 128


def test_context_that_is_left_to_the_server_is_recorded_as_it_chose(answer: Answer) -> None:
    assert answer("random", num_ctx=None).effective["num_ctx"] == 2048


def test_every_option_is_sent_and_none_is_dropped(answer: Answer) -> None:
    """A74: defaults differ between versions (repeat_penalty was 1.1, now 1.0)."""
    response = answer("reply")
    assert response.dropped_options == ()
    sent = {name: value for name, value in response.effective.items() if name not in ("stop", "device")}
    assert sent == {
        "temperature": 0.0, "top_p": 1.0, "top_k": 0, "seed": 7, "num_predict": 64, "num_ctx": 512, "num_thread": 1,
        "min_p": 0.0, "repeat_penalty": 1.0, "repeat_last_n": 64, "frequency_penalty": 0.0, "presence_penalty": 0.0,
        "truncate": False, "shift": False, "cold": False,
    }  # fmt: skip


def test_option_that_nobody_knows_is_an_error_and_not_dropped(answer: Answer) -> None:
    """Ollama itself would log `temprature` and answer with the default."""
    with pytest.raises(ProviderError, match="no parameter 'temprature'"):
        answer("reply", temprature=0.1)


# --- what is known of a model ---


def test_hash_is_that_of_the_weights(provider: OllamaProvider, tiny_models: Callable[[str], Path]) -> None:
    """A66: not the manifest's digest, which differs between stores."""
    info = provider.describe("ollama:reply")
    assert info.hash == f"sha256:{sha256_file(tiny_models('reply'))}"
    assert info.details["manifest_digest"].startswith("sha256:") and info.details["manifest_digest"] != info.hash


def test_details_name_engine_template_and_threads(provider: OllamaProvider) -> None:
    details = provider.describe("ollama:mid").details
    assert (details["engine"], details["engine_version"], details["quantization"]) == ("ollama", "0.17.4", "Q8_0")
    assert (details["architecture"], details["context_length"], details["threads"]) == ("llama", "2048", "1")
    assert len(details["template_sha256"]) == 64


def test_models_are_those_that_can_chat(provider: OllamaProvider) -> None:
    names = [info.name for info in provider.models()]
    assert "ollama:reply:latest" in names and "ollama:embed:latest" not in names


def test_adapter_changes_the_hash(own_ollama: OllamaServer, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    """Two models with the same base and different prompts have the same weights; the manifest tells them apart."""
    import ollama

    with ollama.Client(host=f"http://{own_ollama.host}", trust_env=False) as client:
        client.create(model="polite", from_="reply", system="be polite")
    provider = OllamaProvider(own_ollama.host, threads=1)
    one, other = provider.describe("ollama:reply"), provider.describe("ollama:polite")
    assert one.hash == other.hash
    assert one.details["manifest_digest"] != other.details["manifest_digest"]


# --- what goes wrong ---


def test_model_that_is_absent_says_how_to_get_it(provider: OllamaProvider) -> None:
    with pytest.raises(ModelAbsent, match=r"ollama has no model qwen2\.5:7b") as caught:
        provider.describe("ollama:qwen2.5:7b")
    assert caught.value.hint == "ollama pull qwen2.5:7b"


def test_server_that_is_not_there_says_how_to_start_it() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
        provider = OllamaProvider(host)
        with pytest.raises(ProviderUnavailable, match=r"no server answers at .* \(connection refused\)") as caught:
            provider.complete(asked("reply"))
    assert caught.value.hint == "ollama serve"
    assert provider.health() == f"ollama: no server answers at http://{host} (connection refused); ollama serve"


def test_answer_that_breaks_off_is_no_answer(answer: Answer) -> None:
    """ollama/ollama#18374: after 30 equal pieces the server ends the answer with HTTP 200 and without `done`."""
    with pytest.raises(ProviderError, match="broke off after") as caught:
        answer("stutter", max_tokens=200)
    assert not isinstance(caught.value, ProviderUnavailable)


def test_prompt_beyond_the_context_is_refused_and_not_cut(answer: Answer) -> None:
    """Ollama by itself drops the beginning and answers the rest."""
    with pytest.raises(ProviderError, match="exceeds the context length"):
        answer("random", "word " * 400, num_ctx=128)


def test_model_that_cannot_chat_says_so(answer: Answer) -> None:
    with pytest.raises(ProviderError, match="does not support chat"):
        answer("embed")


def test_server_killed_in_the_middle_is_unavailable(own_ollama: OllamaServer) -> None:
    provider = OllamaProvider(own_ollama.host, threads=1)
    seen: list[str] = []

    def kill(piece: str) -> None:
        seen.append(piece)
        if len(seen) == 3:
            own_ollama.stop()

    with pytest.raises(ProviderUnavailable, match="broke off in the middle"):
        provider.complete(asked("endless", max_tokens=100_000, num_ctx=131_072, temperature=1.0), progress=kill)
    assert len(seen) >= 3
    assert provider.health() is not None


def test_engine_killed_in_the_middle_is_unavailable_and_the_next_call_answers(own_ollama: OllamaServer) -> None:
    provider = OllamaProvider(own_ollama.host, threads=1)

    def kill(piece: str) -> None:
        for pid in own_ollama.runners():
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(ProviderUnavailable):
        provider.complete(asked("endless", max_tokens=100_000, num_ctx=131_072, temperature=1.0), progress=kill)
    assert provider.complete(asked("reply")).text == "Hello from a tiny model."


@pytest.mark.parametrize("why", [KeyboardInterrupt, ValueError], ids=["ctrl-c", "error of the watcher"])
def test_cancelled_call_stops_the_engine(own_ollama: OllamaServer, why: type[BaseException]) -> None:
    """Nobody pays for tokens that nobody reads."""
    provider = OllamaProvider(own_ollama.host, threads=1)
    seen: list[str] = []

    def stop(piece: str) -> None:
        seen.append(piece)
        if len(seen) == 5:
            raise why

    with pytest.raises(why):
        provider.complete(asked("endless", max_tokens=120_000, num_ctx=131_072, temperature=1.0), progress=stop)
    (runner,) = own_ollama.runners()
    until(lambda: is_idle(runner), 20.0, "the engine goes on")


def test_time_limit_ends_a_lively_answer(own_ollama: OllamaServer) -> None:
    provider = OllamaProvider(own_ollama.host, threads=1)
    start_s = time.monotonic()
    with pytest.raises(ProviderUnavailable, match=r"no complete answer from .* in"):
        provider.complete(asked("endless", max_tokens=120_000, num_ctx=131_072, temperature=1.0, timeout_s=1.5))
    assert time.monotonic() - start_s < 10
    (runner,) = own_ollama.runners()
    until(lambda: is_idle(runner), 20.0, "the engine goes on")


def test_other_machine_is_not_asked_unless_allowed() -> None:
    """R2: no socket is opened (192.0.2.0/24 is nobody's)."""
    provider = OllamaProvider("http://192.0.2.1:11434")
    for call in (provider.models, lambda: provider.describe("ollama:m"), lambda: provider.complete(asked("m"))):
        with pytest.raises(ProviderError, match="the spec does not allow the network"):
            call()
    assert "does not allow the network" in (provider.health() or "")


def test_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(UsageError) as caught:
        OllamaProvider("http://me:hunter2@127.0.0.1:11434")
    assert "hunter2" not in caught.value.message


@pytest.fixture
def cloudy(tmp_path: Path) -> Iterator[str]:
    """Serves the words of a server (0.32) for one of its cloud models; to have a real one takes an account."""
    said: dict[str, Any] = {
        "/api/version": {"version": "0.32.13"},
        "/api/tags": {"models": [{"name": "big:cloud", "model": "big:cloud", "digest": "a" * 64}]},
        "/api/show": {
            "modelfile": "FROM big:cloud\n",
            "details": {"family": "big"},
            "model_info": {},
            "remote_host": "https://ollama.com:443",
            "capabilities": ["completion"],
        },
    }
    asked_for: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked_for.append(self.path)
            body = json.dumps(said.get(self.path, {"error": "not found"})).encode()
            self.send_response(200 if self.path in said else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
    assert "/api/chat" not in asked_for


def test_model_without_weights_here_is_not_asked_unless_the_network_is_allowed(cloudy: str) -> None:
    """R2: Ollama's cloud models look local, and are not."""
    provider = OllamaProvider(cloudy)
    info = provider.describe("ollama:big:cloud")
    assert info.hash is None and not info.exact_on_request
    with pytest.raises(ProviderError, match="has no weights here"):
        provider.complete(asked("big:cloud"))


def test_server_of_another_kind_is_recognised(ollama_server: OllamaServer) -> None:
    provider = OllamaProvider(f"http://{ollama_server.host}/v1")
    assert provider.health() is not None
    with pytest.raises(ProviderError):
        provider.describe("ollama:reply")


# --- determinism ---


@pytest.mark.slow
@pytest.mark.parametrize(("model", "temperature"), [("mid", 0.0), ("near", 1.0)])
def test_exact_requests_get_the_same_bytes_fifty_times(
    provider: OllamaProvider, model: str, temperature: float
) -> None:
    """A15: models of near-ties on both of Ollama's engines, with other prompts in between that fill the caches."""
    request = asked(model, NEAR_TIES, exact=True, max_tokens=96, logprobs=0, temperature=temperature)
    answers = set()
    for turn in range(50):
        provider.complete(asked(model, f"{NEAR_TIES} Turn {turn}.", max_tokens=4))
        response = provider.complete(request)
        assert response.effective["cold"] is True and response.logprobs
        answers.add((response.text, tuple(each.logprob for each in response.logprobs)))
    assert len(answers) == 1


def test_without_it_a_cached_prompt_gets_other_numbers(provider: OllamaProvider) -> None:
    """What `exact` is for: the same seed and the same weights, and yet; here the text differs from its 51st letter."""
    fields: dict[str, Any] = {"max_tokens": 96, "logprobs": 0, "temperature": 1.0}
    cold = provider.complete(asked("near", NEAR_TIES, exact=True, **fields))
    warm = provider.complete(asked("near", NEAR_TIES, **fields))
    assert cold.logprobs != warm.logprobs
