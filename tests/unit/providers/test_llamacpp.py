"""`llamacpp:` runs a GGUF file with the real engine in a child process (A2, A15, A66, A181)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.engines import until
from timelab.canonical import sha256_file
from timelab.errors import MissingExtra, ModelAbsent, ProviderError, ProviderUnavailable
from timelab.process import Helper, base_env
from timelab.providers.base import Request, Response
from timelab.providers.llamacpp import LlamaCppProvider

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
Answer = Callable[..., Response]


def asked(model: str, prompt: str = "hello", **changes: Any) -> Request:
    names = ("response_schema", "timeout_s", "logprobs", "exact")
    fields = {name: changes.pop(name) for name in names if name in changes}
    return Request(f"llamacpp:{model}.gguf", (("user", prompt),), {**PARAMS, **changes}, **fields)


def engines_of(parent: int | str) -> set[int]:
    found = set()
    for task in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if b"llamacpp_engine" in command_of(pid)}


def children() -> set[int]:
    return engines_of("self")


def command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@pytest.fixture
def provider(tiny_models: Callable[[str], Path]) -> Iterator[LlamaCppProvider]:
    for name in ("reply", "unicode", "stutter", "random", "endless", "mid", "embed"):
        root = tiny_models(name).parent
    provider = LlamaCppProvider(root, threads=1)
    yield provider
    provider.close()


@pytest.fixture
def answer(provider: LlamaCppProvider) -> Answer:
    return lambda model, prompt="hello", **changes: provider.complete(asked(model, prompt, **changes))


# --- answers ---


def test_answer_is_the_text_that_the_model_knows(answer: Answer) -> None:
    response = answer("reply")
    assert (response.text, response.finish) == ("Hello from a tiny model.", "stop")
    assert response.tokens_in and response.tokens_out


def test_text_beyond_ascii_comes_back_unhurt(answer: Answer) -> None:
    assert answer("unicode", "猫?").text == "Grüße — 猫が好き 🐈 и ещё …"


def test_schema_holds_a_model_of_noise_to_its_shape(answer: Answer) -> None:
    response = answer("random", response_schema=SCHEMA, max_tokens=200)
    jsonschema.validate(json.loads(response.text), dict(SCHEMA))


def test_pieces_come_before_the_answer_is_whole(provider: LlamaCppProvider) -> None:
    pieces: list[str] = []
    response = provider.complete(asked("random"), progress=pieces.append)
    assert len(pieces) > 10 and "".join(pieces) == response.text


def test_logprobs_are_those_of_the_tokens(answer: Answer) -> None:
    for count in (0, 2):
        response = answer("random", logprobs=count, max_tokens=8)
        assert response.logprobs is not None and len(response.logprobs) == 8
        assert "".join(each.token for each in response.logprobs) == response.text
        assert all(each.logprob < 0 and len(each.top) == count for each in response.logprobs)
    assert answer("random").logprobs is None


def test_several_threads_take_turns(answer: Answer) -> None:
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda number: answer("reply", f"hello {number}").text, range(8)))
    assert texts == ["Hello from a tiny model."] * 8
    assert len(children()) == 1


# --- what was asked for takes effect ---


def test_temperature_and_seed_are_passed_on(answer: Answer) -> None:
    """A34, A36."""
    cold = {answer("random", seed=seed, exact=True).text for seed in (1, 2)}
    warm = [answer("random", seed=seed, temperature=1.5, exact=True).text for seed in (1, 2, 1)]
    assert len(cold) == 1 and warm[0] == warm[2] != warm[1] and warm[0] not in cold


def test_top_k_is_passed_on(answer: Answer) -> None:
    texts = {answer("random", top_k=1, temperature=1.5, seed=seed, exact=True).text for seed in (1, 2, 3)}
    assert len(texts) == 1
    assert answer("random", top_k=0, temperature=1.5, seed=1, exact=True).text not in texts


def test_top_p_is_passed_on(answer: Answer) -> None:
    """A35."""
    texts = {answer("random", top_p=1e-6, temperature=1.5, seed=seed, exact=True).text for seed in (1, 2, 3)}
    assert len(texts) == 1
    assert answer("random", top_p=1.0, temperature=1.5, seed=1, exact=True).text not in texts


def test_max_tokens_is_passed_on(answer: Answer) -> None:
    """A37."""
    response = answer("random", max_tokens=5)
    assert (response.finish, response.tokens_out) == ("length", 5)


def test_stop_is_passed_on(answer: Answer) -> None:
    """A38."""
    response = answer("reply", stop=["tiny"])
    assert (response.text, response.finish) == ("Hello from a ", "stop")


def test_num_ctx_is_passed_on(answer: Answer) -> None:
    assert answer("random", num_ctx=512).effective["n_ctx"] == 512
    assert answer("random", num_ctx=None).effective["n_ctx"] == 2048
    with pytest.raises(ProviderError, match="exceeds the available context size"):
        answer("random", "word " * 400, num_ctx=256)


def test_effective_options_are_as_the_engine_reports_them(answer: Answer) -> None:
    """A74: rounded as it rounds, with what it adds, and with what it runs on."""
    effective = answer("reply", temperature=0.3, exact=True).effective
    assert effective["temperature"] != 0.3 and abs(effective["temperature"] - 0.3) < 1e-6
    assert (effective["n_predict"], effective["min_p"], effective["repeat_penalty"]) == (64, 0.0, 1.0)
    assert (effective["n_threads"], effective["flash_attention"], effective["cache_prompt"]) == (1, "off", False)
    assert len(effective["rendered_prompt_sha256"]) == 64 and effective["device"] and effective["cpu_features"]
    assert "messages" not in effective and "address" not in effective


def test_option_that_nobody_knows_is_an_error_and_not_dropped(answer: Answer) -> None:
    with pytest.raises(ProviderError, match="no parameter 'temprature'"):
        answer("reply", temprature=0.1)


# --- what is known of a model ---


def test_hash_is_that_of_the_file(provider: LlamaCppProvider, tiny_models: Callable[[str], Path]) -> None:
    """A66."""
    info = provider.describe("llamacpp:mid.gguf")
    assert info.hash == f"sha256:{sha256_file(tiny_models('mid'))}"
    assert (info.details["quantization"], info.details["architecture"]) == ("Q8_0", "llama")
    assert info.exact_on_request and not info.deterministic


def test_file_that_changed_has_another_hash_and_another_engine(
    tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copy(tiny_models("reply"), tmp_path / "m.gguf")
    provider = LlamaCppProvider(tmp_path, threads=1)
    one, first = provider.describe("llamacpp:m.gguf"), provider.complete(asked("m"))
    (tmp_path / "m.gguf").unlink()
    shutil.copy(tiny_models("json"), tmp_path / "m.gguf")
    other, second = provider.describe("llamacpp:m.gguf"), provider.complete(asked("m"))
    provider.close()
    assert one.hash != other.hash and first.text != second.text


def test_models_are_the_files_of_the_repository(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / ".git").mkdir()
    shutil.copy(tiny_models("reply"), tmp_path / "models/b.gguf")
    (tmp_path / "a.gguf").symlink_to(tiny_models("reply"))
    (tmp_path / ".git/c.gguf").symlink_to(tiny_models("reply"))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"x" * 500)
    found = LlamaCppProvider(tmp_path).models()
    assert [info.name for info in found] == ["llamacpp:a.gguf", "llamacpp:models/b.gguf"]
    assert found[0].hash == found[1].hash


# --- what goes wrong ---


@pytest.mark.parametrize("path", ["nope.gguf", "../reply.gguf", "/etc/passwd", "", "a\nb.gguf"])
def test_file_that_is_absent_or_outside_is_no_model(provider: LlamaCppProvider, path: str) -> None:
    with pytest.raises(ModelAbsent) as caught:
        provider.describe(f"llamacpp:{path}")
    assert caught.value.hint and caught.value.message.isprintable()


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF\x03\0\0\0" + b"\xff" * 64])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ProviderError, match=r"m\.gguf: not a GGUF file"):
        LlamaCppProvider(tmp_path).describe("llamacpp:m.gguf")


def test_file_that_is_cut_short_is_a_clear_error(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_models("reply").read_bytes()[:300_000])
    with pytest.raises(ProviderError, match=r"cannot load m\.gguf") as caught:
        LlamaCppProvider(tmp_path).complete(asked("m"))
    assert "whole" in (caught.value.hint or "")


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """64, and one line."""
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "xllamacpp" else find(name))
    provider = LlamaCppProvider(tmp_path)
    with pytest.raises(MissingExtra) as caught:
        provider.describe("llamacpp:m.gguf")
    assert (caught.value.exit_code, caught.value.message) == (64, "the part 'llamacpp' is not installed")
    assert caught.value.hint == "python -m pip install 'timelab[llamacpp]'"
    assert caught.value.hint in (provider.health() or "")


def test_engine_killed_in_the_middle_is_unavailable_and_the_next_call_answers(provider: LlamaCppProvider) -> None:
    def kill(piece: str) -> None:
        for pid in children():
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(ProviderUnavailable, match="the engine ended in the middle \\(SIGKILL\\)"):
        provider.complete(asked("endless", max_tokens=30_000, num_ctx=32_768, temperature=1.0), progress=kill)
    assert provider.complete(asked("reply")).text == "Hello from a tiny model."


@pytest.mark.parametrize("why", [KeyboardInterrupt, ValueError], ids=["ctrl-c", "error of the watcher"])
def test_cancelled_call_ends_the_engine(provider: LlamaCppProvider, why: type[BaseException]) -> None:
    def stop(piece: str) -> None:
        raise why

    with pytest.raises(why):
        provider.complete(asked("endless", max_tokens=30_000, num_ctx=32_768, temperature=1.0), progress=stop)
    assert children() == set()


def test_time_limit_ends_a_lively_answer(provider: LlamaCppProvider) -> None:
    start_s = time.monotonic()
    with pytest.raises(ProviderUnavailable, match="no complete answer in time"):
        provider.complete(asked("endless", max_tokens=100_000, num_ctx=131_072, temperature=1.0, timeout_s=1.5))
    assert time.monotonic() - start_s < 10 and children() == set()


def test_engine_ends_with_the_provider(tiny_models: Callable[[str], Path]) -> None:
    provider = LlamaCppProvider(tiny_models("reply").parent, threads=1)
    provider.complete(asked("reply"))
    assert len(children()) == 1
    del provider
    until(lambda: not children(), 5.0, "the engine outlives its provider")


# --- determinism ---


@pytest.mark.slow
def test_exact_requests_get_the_same_bytes_fifty_times(provider: LlamaCppProvider) -> None:
    """A15: near-ties, with another prompt in between; every tenth time in a new process."""
    request = asked("mid", NEAR_TIES, exact=True, max_tokens=96, logprobs=0)
    answers = set()
    for turn in range(50):
        if turn % 10 == 0:
            provider.close()
        provider.complete(asked("mid", f"{NEAR_TIES} Turn {turn}.", max_tokens=4, exact=True))
        response = provider.complete(request)
        answers.add((response.text, tuple(each.logprob for each in response.logprobs or ())))
    assert len(answers) == 1 and next(iter(answers))[1]


def test_without_it_a_cached_prompt_gets_another_answer(answer: Answer) -> None:
    """What `exact` is for: temperature 0, the same seed, the same weights, and yet."""
    first, again = (answer("mid", NEAR_TIES, max_tokens=96) for _ in range(2))
    assert first.text != again.text


PROGRAM = """
import sys
from pathlib import Path
from timelab.providers.base import Request
from timelab.providers.llamacpp import LlamaCppProvider
params = {"temperature": 1.0, "seed": 7, "max_tokens": 100_000, "num_ctx": 131_072}
provider = LlamaCppProvider(Path(sys.argv[1]), threads=1)
provider.complete(Request("llamacpp:endless.gguf", (("user", "hi"),), params), progress=lambda piece: print(flush=True))
"""


def test_engine_ends_with_a_process_that_is_killed(
    provider: LlamaCppProvider, tiny_models: Callable[[str], Path]
) -> None:
    """In the middle of an answer, and without a chance to tidy up."""
    env = base_env({"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)})
    parent = Helper([sys.executable, "-c", PROGRAM, tiny_models("endless").parent], cwd=None, env=env)
    assert parent.receive(time.monotonic() + 30) is not None, parent.said
    (engine,) = engines_of(parent.pid)
    os.kill(parent.pid, signal.SIGKILL)
    until(lambda: b"llamacpp_engine" not in command_of(engine), 10.0, "the engine outlives its parent")
    parent.close()
