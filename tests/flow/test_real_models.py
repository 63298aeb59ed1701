"""Specs on real engines, from the command line: what stands in the record, and what a replay says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.notebook import TIMELAB, Notebook
from tests.engines import OllamaServer
from timelab.canonical import sha256_file

WRONG = "sha256:" + "0" * 64
Timelab = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def notebook(repo: Path) -> Notebook:
    return Notebook(repo)


@pytest.fixture
def timelab(notebook: Notebook, hermetic: Path, ollama_server: OllamaServer) -> Timelab:
    """Calls timelab in a repository whose user has the server and one thread for each engine."""
    path = hermetic / ".config/timelab/config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("ollama", "llamacpp")
    path.write_text("".join(f'[[cascade_providers]]\nname = "{name}"\noptions = {{threads = 1}}\n' for name in names))
    env = {**os.environ, "OLLAMA_HOST": ollama_server.host}

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TIMELAB, *args], cwd=notebook.root, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    return call


def write(notebook: Notebook, model: str, **more: Any) -> None:
    body = {"timelab": 1, "kind": "llm", "model": model, "prompt": "Which draft is better?", **more}
    path = notebook.root / "specs/ask.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(body))


def record(notebook: Notebook) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((notebook.root / "latest/run.json").read_bytes())
    return found


def answers(notebook: Notebook) -> list[str]:
    lines = (notebook.root / "latest/output/output.jsonl").read_text().splitlines()
    return [json.loads(line)["output"] for line in lines]


@pytest.mark.parametrize("model", ["ollama:reply", "llamacpp:models/reply.gguf"])
def test_record_names_the_weights_that_answered(
    notebook: Notebook, timelab: Timelab, tiny_models: Callable[[str], Path], model: str
) -> None:
    """A65, A66, A157: the digest of the very file, on either engine."""
    (notebook.root / "models").mkdir()
    (notebook.root / "models/reply.gguf").symlink_to(tiny_models("reply"))
    digest = f"sha256:{sha256_file(tiny_models('reply'))}"
    write(notebook, f"{model}@{digest}")
    done = timelab("run", "specs/ask.json")
    assert done.returncode == 0, done.stderr
    found = record(notebook)["model"]
    assert (found["name"], found["hash"], found["degraded"]) == (model, digest, False)
    assert found["details"]["engine_version"]
    assert answers(notebook) == ["Hello from a tiny model."]


@pytest.mark.parametrize("model", ["ollama:reply", "llamacpp:reply.gguf"])
def test_other_weights_than_the_pinned_ones_end_with_65(
    notebook: Notebook, timelab: Timelab, tiny_models: Callable[[str], Path], model: str
) -> None:
    """A182."""
    (notebook.root / "reply.gguf").symlink_to(tiny_models("reply"))
    write(notebook, f"{model}@{WRONG}", fallback=["builtin:extractive@1"])
    done = timelab("run", "specs/ask.json")
    assert done.returncode == 65, done.stderr
    assert WRONG in done.stderr


def test_model_that_is_absent_ends_with_the_command_that_brings_it(notebook: Notebook, timelab: Timelab) -> None:
    write(notebook, "ollama:qwen2.5:7b")
    done = timelab("run", "specs/ask.json")
    assert done.returncode == 70
    assert "ollama has no model qwen2.5:7b" in done.stderr and "ollama pull qwen2.5:7b" in done.stderr


@pytest.mark.parametrize("model", ["ollama:near", "llamacpp:near.gguf"])
def test_exact_run_is_replayed_to_the_byte(
    notebook: Notebook, timelab: Timelab, tiny_models: Callable[[str], Path], model: str
) -> None:
    """A15: a model of near-ties, above temperature 0."""
    (notebook.root / "near.gguf").symlink_to(tiny_models("near"))
    write(
        notebook, model, determinism="exact", params={"temperature": 1.0, "seed": 7, "max_tokens": 48, "num_ctx": 512}
    )
    spec = (notebook.root / "specs/ask.json").read_bytes()
    notebook.commit({".gitignore": "*.gguf\n", "specs/ask.json": spec})
    done = timelab("run", "specs/ask.json")
    assert done.returncode == 0, done.stderr
    assert record(notebook)["determinism"]["level"] == "exact"
    replayed = timelab("replay", "last")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "identical" in replayed.stdout
