"""Who answers when a provider is down: real processes, a real server, real commits (B49–B56)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chatserver import ChatServer, chat_server, closed_port
from tests.cli.notebook import TIMELAB, Notebook
from tests.engines import OllamaServer, is_idle, until
from tests.lab import make_lab

KEY = "planted-Zq7_kRt2-value"


def spec(**more: object) -> str:
    return json.dumps({"timelab": 1, "kind": "llm", "model": "openai:tiny", "prompt": "Say it.", **more})


@pytest.fixture
def notebook(repo: Path) -> Notebook:
    return Notebook(repo)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ChatServer]:
    with chat_server(tmp_path / "server") as running:
        yield running


def configure(hermetic: Path, url: str, *, pause_s: float = 3_600, concurrency: int = 1) -> None:
    path = hermetic / ".config/timelab/config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'circuit_breaker_pause_s = {pause_s}\n[[cascade_providers]]\nname = "near"\nkind = "openai"\n'
        f'base_url = "{url}"\napi_key_env = "NEAR_KEY"\nconcurrency = {concurrency}\n'
    )


def timelab(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Calls timelab in a process of its own, with a key in its environment."""
    env = {**os.environ, "NEAR_KEY": KEY}
    return subprocess.run([TIMELAB, *args], cwd=root, env=env, capture_output=True, text=True, check=False)


def last(root: Path) -> dict[str, object]:
    document = json.loads((root / "latest/run.json").read_bytes())
    assert isinstance(document, dict)
    return document


def state(root: Path) -> dict[str, object]:
    found = json.loads(timelab(root, "router", "status", "--json").stdout)["providers"]
    return next(each for each in found if each["name"] == "near")


@pytest.mark.slow
def test_five_failures_open_the_breaker_for_every_process_and_a_probe_closes_it(
    notebook: Notebook, server: ChatServer, hermetic: Path
) -> None:
    """B49, B50, B54, B55: each run is a process; they share what they learn."""
    configure(hermetic, server.url)
    notebook.commit({"specs/ask.json": spec()})
    server.be("ill")
    for _ in range(5):
        done = timelab(notebook.root, "run", "specs/ask.json")
        assert done.returncode == 70 and "the engine is loading" in done.stderr, done.stderr
    asked = len(server.log())
    done = timelab(notebook.root, "run", "specs/ask.json")
    assert done.returncode == 70 and "left alone after 5 failures in a row" in done.stderr
    assert len(server.log()) == asked
    assert [each["outcome"] for each in last(notebook.root)["providers"]] == ["skipped"]  # type: ignore[attr-defined]
    assert (state(notebook.root)["state"], state(notebook.root)["failures_in_a_row"]) == ("open", 5)

    server.be("echo")
    configure(hermetic, server.url, pause_s=0.001)
    assert state(notebook.root)["state"] == "half-open"
    done = timelab(notebook.root, "run", "specs/ask.json")
    assert done.returncode == 0, done.stderr
    found = state(notebook.root)
    assert (found["state"], found["failures_in_a_row"], found["answered"], found["skipped"]) == ("closed", 0, 1, 1)
    assert found["failures"] == 5 and isinstance(found["mean_latency_ms"], int) and found["tokens_per_s"]


@pytest.mark.slow
def test_a_commit_falls_back_only_where_its_spec_allows_it_and_says_so(tmp_path: Path, hermetic: Path) -> None:
    """A65, B49, B50, X26: the first provider is a port at which nothing listens."""
    configure(hermetic, closed_port())
    lab = make_lab(tmp_path / "lab")
    loose = spec(fallback=["builtin:extractive@1"], prompt="Summarise: The sea is wide.")
    lab.commit({"specs/loose.json": loose, "specs/strict.json": spec()})

    notes = {record["name"]: record for record in lab.note()}
    assert (notes["strict"]["status"], notes["strict"]["model"]) == ("failed", None)
    assert notes["strict"]["error"]["slug"] == "provider"
    assert "no server answers at" in notes["strict"]["error"]["message"]
    model = notes["loose"]["model"]
    assert (model["name"], model["requested"], model["degraded"]) == ("builtin:extractive@1", "openai:tiny", True)
    tried = [(each["provider"], each["outcome"]) for each in notes["loose"]["providers"]]
    assert tried == [("near", "failed"), ("builtin", "answered")]

    rows = {row["name"]: row for row in lab.log()}
    assert json.loads((lab.folder(rows["loose"]) / "run.json").read_bytes()) == notes["loose"]
    shown = lab.timelab("show", rows["loose"]["run_id"]).out
    assert "builtin:extractive@1  instead of openai:tiny" in shown
    events = (lab.folder(rows["loose"]) / "logs/events.jsonl").read_text().splitlines()
    told = [(each["event"], each["data"]) for each in map(json.loads, events)]
    assert [data["provider"] for event, data in told if event == "provider.skipped"] == ["near"]
    assert [data["model"] for event, data in told if event == "fallback"] == ["builtin:extractive@1"]
    assert lab.timelab("run", "specs/strict.json", code=70).err.count("no server answers at") == 1


@pytest.mark.slow
def test_a_key_in_the_environment_stands_in_nothing_that_is_written_or_said(
    notebook: Notebook, server: ChatServer, hermetic: Path
) -> None:
    """B56: the server repeats the key in its complaint, and then in its answer."""
    configure(hermetic, server.url)
    notebook.commit({"specs/ask.json": spec(), "specs/quote.json": spec(prompt=f"Say {KEY[:12]}")})
    said = []
    for mode, name in (("angry", "ask"), ("ill", "ask"), ("echo", "ask"), ("echo", "quote")):
        server.be(mode)
        done = timelab(notebook.root, "-v", "run", f"specs/{name}.json")
        said.append(done.stdout + done.stderr)
    for args in (["router", "status"], ["router", "status", "--json"], ["model", "list"], ["show", "last"], ["config"]):
        done = timelab(notebook.root, *args)
        said.append(done.stdout + done.stderr)
    notebook.git("gc", "-q")
    objects = notebook.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    for line in objects.splitlines():
        name, kind = line.split()
        if kind != "tree":
            said.append(notebook.git("cat-file", kind, name))
    assert any("cannot use" in text for text in said)
    assert not [text[:200] for text in said if KEY in text]
    files = [path for folder in (notebook.root, hermetic) for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []
    assert "providers.json" in {path.name for path in files}


@pytest.mark.slow
def test_cases_are_asked_at_once_up_to_the_bound_and_written_in_order(
    notebook: Notebook, server: ChatServer, hermetic: Path
) -> None:
    configure(hermetic, server.url, concurrency=3)
    server.be("echo slowly")
    cases = "".join(json.dumps({"n": str(number)}) + "\n" for number in range(12))
    notebook.commit({"specs/ask.json": spec(prompt="{{ n }}", cases="c.jsonl"), "c.jsonl": cases})
    done = timelab(notebook.root, "run", "specs/ask.json")
    assert done.returncode == 0, done.stderr
    lines = (notebook.root / "latest/output/output.jsonl").read_text().splitlines()
    assert [json.loads(line)["output"] for line in lines] == [str(number) for number in range(12)]
    most = max(int(line.split()[1]) for line in server.log() if line.startswith("ask"))
    assert 2 <= most <= 3


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_interrupt_stops_the_engines_work_and_is_recorded(
    notebook: Notebook, server: ChatServer, hermetic: Path, concurrency: int
) -> None:
    configure(hermetic, server.url, concurrency=concurrency)
    server.be("slow")
    cases = '{"n": "a"}\n{"n": "b"}\n{"n": "c"}\n'
    notebook.commit({"specs/ask.json": spec(prompt="{{ n }}", cases="c.jsonl"), "c.jsonl": cases})
    process = subprocess.Popen(
        [TIMELAB, "run", "specs/ask.json"], cwd=notebook.root, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    server.wait_for(f"ask {concurrency}")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    server.wait_for("gone")
    assert last(notebook.root)["status"] == "interrupted"


def test_the_sources_example_says_in_one_line_what_is_missing(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A39, T1: `timelab ai` with `ollama:qwen2.5:7b` where no such server is."""
    monkeypatch.setenv("OLLAMA_HOST", closed_port().removesuffix("/v1"))
    params = {"temperature": 0.2, "top_p": 0.95, "seed": 1234, "max_tokens": 2048}
    notebook.write("specs/ask.json", spec(model="ollama:qwen2.5:7b", params=params))
    said = notebook.timelab("ai", "spec=specs/ask.json")
    assert said.code == 70
    lines = [line for line in said.err.splitlines() if "no server answers" in line]
    assert len(lines) == 1 and lines[0].endswith("ollama serve") and "127.0.0.1" in lines[0]


def use_ollama(hermetic: Path, server: OllamaServer) -> None:
    path = hermetic / ".config/timelab/config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    # More threads than one only wait for each other on a busy machine.
    path.write_text(
        f'[[cascade_providers]]\nname = "ollama"\nbase_url = "http://{server.host}"\noptions = {{threads = 1}}\n'
    )


@pytest.mark.slow
def test_an_exact_answer_of_a_real_engine_is_probed_pinned_and_replayed(
    notebook: Notebook, ollama_server: OllamaServer, hermetic: Path
) -> None:
    """A4, A66, A182: a model with near-ties, by the digest that `timelab model list` prints."""
    use_ollama(hermetic, ollama_server)
    listed = json.loads(timelab(notebook.root, "model", "list", "--json").stdout)["models"]
    weights = next(each["hash"] for each in listed if each["name"] == "ollama:mid:latest")
    params = {"seed": 3, "max_tokens": 40}
    for name, pin in (("right", weights), ("wrong", "sha256:" + "0" * 64)):
        body = spec(model=f"ollama:mid@{pin}", determinism="exact", params=params, fallback=["builtin:extractive@1"])
        notebook.write(f"specs/{name}.json", body)
    notebook.git("add", "-A")
    notebook.git("commit", "-q", "-m", "specs")
    assert timelab(notebook.root, "run", "specs/right.json").returncode == 0
    manifest = last(notebook.root)
    assert manifest["determinism"] == {"level": "exact", "reasons": [], "seed_drawn": False}
    model = manifest["model"]
    assert isinstance(model, dict) and (model["hash"], model["degraded"]) == (weights, False)
    assert "the same text" in model["details"]["probe"] and '"num_predict":40' in model["details"]["options"]
    done = timelab(notebook.root, "replay", "last")
    assert done.returncode == 0 and " identical" in done.stdout and "changed" not in done.stdout, done.stdout

    done = timelab(notebook.root, "run", "specs/wrong.json")
    assert done.returncode == 65 and "the spec pins sha256:0000" in done.stderr
    assert [each["outcome"] for each in last(notebook.root)["providers"]] == ["failed"]  # type: ignore[attr-defined]
    assert timelab(notebook.root, "model", "show", "specs/wrong.json").returncode == 65


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_of_an_answer_gives_way_to_the_fallback(
    notebook: Notebook, ollama_program: Path, tiny_models: Callable[[str], Path], hermetic: Path, tmp_path: Path
) -> None:
    """A65, B50: and the next run, a process of its own, falls back too."""
    server = OllamaServer(ollama_program, tmp_path / "home", tmp_path / "store").start()
    try:
        server.create("endless", tiny_models("endless"))
        use_ollama(hermetic, server)
        params = {"seed": 3, "max_tokens": 100_000, "num_ctx": 131_072}
        body = spec(model="ollama:endless", params=params, fallback=["builtin:extractive@1"])
        notebook.commit({"specs/ask.json": body})
        process = subprocess.Popen([TIMELAB, "run", "specs/ask.json"], cwd=notebook.root, stderr=subprocess.PIPE)
        until(lambda: bool(server.runners()) and "/api/show" in server.log, 60, "nobody asked")
        until(lambda: any(not is_idle(pid, 0.2) for pid in server.runners()), 60, "nobody answers")
    finally:
        server.stop()
    process.communicate(timeout=120)
    assert process.returncode == 0
    for _ in range(2):
        manifest = last(notebook.root)
        assert isinstance(manifest["model"], dict) and manifest["model"]["degraded"]
        outcomes = [(each["provider"], each["outcome"]) for each in manifest["providers"]]  # type: ignore[attr-defined]
        assert outcomes[0] == ("ollama", "failed") and outcomes[-1] == ("builtin", "answered")
        assert timelab(notebook.root, "run", "specs/ask.json").returncode == 0
