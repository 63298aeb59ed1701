"""The child that runs the engine, spoken to directly."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from timelab.process import Helper, base_env

ARGV = [sys.executable, "-m", "timelab.providers.llamacpp_engine"]
Say = Callable[..., dict[str, Any]]


@pytest.fixture
def child() -> Iterator[Helper]:
    env = base_env({"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)})
    helper = Helper(ARGV, cwd=None, env=env)
    yield helper
    helper.close()


def soon() -> float:
    return time.monotonic() + 30


def say(child: Helper, value: dict[str, Any]) -> None:
    assert child.send(json.dumps(value).encode(), soon())


def hear(child: Helper) -> dict[str, Any]:
    line = child.receive(soon())
    assert line is not None, child.said
    found: dict[str, Any] = json.loads(line)
    return found


def load(path: Path) -> dict[str, Any]:
    return {"path": str(path), "n_ctx": 256, "threads": 1, "exact": True}


def test_port_that_the_engine_opens_is_locked(child: Helper, tiny_models: Callable[[str], Path]) -> None:
    """Other users of the machine must not get answers, nor see prompts."""
    say(child, load(tiny_models("reply")))
    address = hear(child)["ready"]["address"]
    assert address.startswith("http://127.0.0.1:")
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    for path, data in (("/v1/chat/completions", body), ("/v1/completions", body), ("/slots", None), ("/props", None)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(address + path, data), timeout=10)
        caught.value.close()
        assert caught.value.code in (401, 403, 404, 501)


def test_answers_come_in_chunks_and_end(child: Helper, tiny_models: Callable[[str], Path]) -> None:
    say(child, load(tiny_models("reply")))
    assert "cpu_features" in hear(child)["ready"]
    for _ in range(2):
        say(child, {"messages": [{"role": "user", "content": "hi"}], "stream": True, "temperature": 0.0})
        text = ""
        while "end" not in (said := hear(child)):
            text += said["chunk"]["choices"][0]["delta"].get("content") or ""
        assert text == "Hello from a tiny model."


def test_file_that_cannot_be_loaded_is_told_and_ends_it(child: Helper, tmp_path: Path) -> None:
    say(child, load(tmp_path / "nope.gguf"))
    assert "failed" in hear(child)
    assert child.receive(soon()) is None


def test_request_that_the_engine_refuses_is_told(child: Helper, tiny_models: Callable[[str], Path]) -> None:
    say(child, load(tiny_models("reply")))
    hear(child)
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}}
    say(child, {"messages": [{"role": "user", "content": "hi"}], "stream": True, "response_format": schema})
    said = hear(child)
    assert "failed" in said or "error" in said["chunk"]
