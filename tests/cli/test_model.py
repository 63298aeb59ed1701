"""`timelab model`: what is here, what a spec would get, and fetching."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chatserver import ChatServer, chat_server, closed_port
from tests.cli.notebook import Notebook
from timelab.providers.builtin import MODEL, BuiltinProvider

WEIGHTS = BuiltinProvider().describe(MODEL).hash
ZERO = "sha256:" + "0" * 64


@pytest.fixture
def notebook(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setenv("OLLAMA_HOST", closed_port().removesuffix("/v1"))
    return Notebook(repo)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    with chat_server(tmp_path / "server") as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def ask(notebook: Notebook, **more: object) -> None:
    body = {"timelab": 1, "kind": "llm", "model": "openai:tiny", "prompt": "Say it.", **more}
    notebook.write("specs/ask.json", json.dumps(body))


def test_list_shows_what_is_here_by_digest_and_who_is_silent(notebook: Notebook, server: ChatServer) -> None:
    """A66, A182."""
    said = notebook.timelab("model", "list")
    assert said.code == 0, said.err
    assert [line.split("  ")[:2] for line in said.out.splitlines()[1:]] == [
        ["openai:tiny", "openai"],
        [MODEL, "builtin"],
    ]
    assert said.err.count("timelab: ollama: no server answers at") == 1
    found = {each["name"]: each["hash"] for each in notebook.json("models", "model", "list")["models"]}
    assert found == {"openai:tiny": None, MODEL: WEIGHTS}


def test_show_says_what_a_spec_gets_and_why_not_the_first(notebook: Notebook, server: ChatServer) -> None:
    ask(notebook, model="ollama:qwen2.5:7b", fallback=["openai:tiny", MODEL])
    said = notebook.timelab("model", "show", "specs/ask.json")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("cannot  ollama:qwen2.5:7b  ollama  ollama: no server answers at")
    assert (
        lines[1].startswith("ok  openai:tiny  openai  unknown weights")
        and lines[2] == f"ok  {MODEL}  builtin  sha256:SHA256"
    )
    assert lines[4] == "openai:tiny on openai  instead of the model that is named first"
    view = notebook.json("model", "model", "show", "specs/ask.json")
    assert (view["degraded"], view["gets"]["name"]) == (True, "openai:tiny")


@pytest.mark.parametrize(
    ("more", "code", "reason"),
    [
        ({}, 0, None),
        ({"params": {"top_k": 5}}, 70, "cannot express top_k"),
        ({"determinism": "exact"}, 70, "cannot promise the exact answer"),
        ({"model": f"openai:tiny@{ZERO}", "fallback": [MODEL]}, 65, "is of unknown weights, not the pinned"),
        ({"model": "openai:large"}, 70, "has no model large"),
        ({"model": "gone:x"}, 70, "no such provider"),
        ({"model": f"{MODEL}@{WEIGHTS}"}, 0, None),
        ({"model": f"{MODEL}@{ZERO}"}, 65, f"is {WEIGHTS}, not the pinned {ZERO}"),
    ],
)
def test_show_ends_as_the_run_would(
    notebook: Notebook, server: ChatServer, more: dict[str, object], code: int, reason: str | None
) -> None:
    """A182: 65 for other weights, 70 where nothing answers; nothing takes the place of pinned weights."""
    ask(notebook, **more)
    view = notebook.json("model", "model", "show", "specs/ask.json", code=code)
    found = view["choices"][0]["reason"]
    assert found is None if reason is None else reason in found
    assert notebook.timelab("run", "specs/ask.json").code == code


def test_a_server_elsewhere_is_not_asked_unless_the_spec_allows_it(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A181."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.invalid/v1")
    ask(notebook)
    view = notebook.json("model", "model", "show", "specs/ask.json", code=70)
    assert "allow_net: true" in view["choices"][0]["reason"]
    assert "timelab: openai: on another machine: not asked" in notebook.timelab("model", "list").err


def test_what_is_neither_spec_nor_model_is_told(notebook: Notebook) -> None:
    assert notebook.timelab("model", "show", "qwen").code == 64
    notebook.write("specs/run.yaml", "timelab: 1\nkind: command\nargv: [x]\n")
    said = notebook.timelab("model", "show", "specs/run.yaml")
    assert (said.code, said.err) == (64, "timelab: specs/run.yaml asks no model: it is of kind command\n")


def test_pull_needs_a_provider_that_fetches(notebook: Notebook, server: ChatServer) -> None:
    assert notebook.timelab("model", "pull", MODEL).out == f"{MODEL}@sha256:SHA256\n"
    said = notebook.timelab("model", "pull", "openai:large")
    assert said.code == 70 and "hint: openai fetches no models; " in said.err
    said = notebook.timelab("model", "pull", "gone:x")
    assert said.code == 64 and "hint: one of: ollama, llamacpp, openai, builtin, then" in said.err
    said = notebook.timelab("model", "pull", "ollama:tiny")
    assert said.code == 70 and "no server answers" in said.err and "hint: ollama serve" in said.err
