"""`timelab router`: who answers, who is left alone, and how to bring one back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chatserver import closed_port
from tests.cli.notebook import Notebook
from timelab.clock import FixedClock, SystemClock
from timelab.git.repo import discover
from timelab.providers.state import ProviderState, Ticket


@pytest.fixture
def notebook(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setenv("OLLAMA_HOST", closed_port().removesuffix("/v1"))
    return Notebook(repo)


def fail(notebook: Notebook, provider: str, times: int) -> None:
    state = ProviderState(discover(notebook.root).timelab_dir, SystemClock())
    for _ in range(times):
        ticket = state.admit(provider, lease_s=1)
        assert isinstance(ticket, Ticket)
        state.failed(ticket, "connection refused")


def test_status_shows_every_provider_in_the_order_in_which_they_are_tried(notebook: Notebook) -> None:
    """B55: metrics per provider."""
    state = ProviderState(discover(notebook.root).timelab_dir, FixedClock(datetime(2026, 11, 20, tzinfo=UTC)))
    ticket = state.admit("builtin", lease_s=1)
    assert isinstance(ticket, Ticket)
    state.answered(ticket, latency_ms=250, tokens=(10, 100))
    state.flush()
    said = notebook.timelab("router", "status")
    assert said.code == 0, said.err
    rows = [line.split("  ") for line in said.out.splitlines()]
    assert [row[0] for row in rows] == ["PROVIDER", "ollama", "llamacpp", "openai", "builtin"]
    assert rows[4] == ["builtin", "closed", "1 of 1", "TOOK", "400 tok/s", "answers"]
    assert "no server answers" in rows[1][-1] and rows[3][-1] == "on another machine: not asked"


def test_an_open_breaker_says_why_for_how_long_and_what_closes_it(notebook: Notebook) -> None:
    """B54."""
    fail(notebook, "ollama", 5)
    said = notebook.timelab("router", "status")
    assert "timelab: ollama: 5 failures in a row: connection refused" in said.err
    assert "hint: timelab router reset ollama" in said.err
    (view,) = [each for each in notebook.json("router", "router", "status")["providers"] if each["name"] == "ollama"]
    assert (view["state"], view["failures_in_a_row"], view["failures"]) == ("open", 5, 5) and 0 < view["wait_s"] <= 30
    after = notebook.json("router", "router", "reset", "ollama")["providers"][0]
    assert (after["state"], after["failures_in_a_row"], after["failures"]) == ("closed", 0, 5)


def test_reset_of_an_unknown_provider_names_those_there_are(notebook: Notebook) -> None:
    said = notebook.timelab("router", "reset", "olama")
    assert (said.code, said.err) == (
        64,
        "timelab: no provider is named olama\nhint: one of: ollama, llamacpp, openai, builtin\n",
    )


def test_outside_of_a_repository_nothing_is_remembered(tmp_path: Path, notebook: Notebook) -> None:
    said = notebook.timelab("router", "status", "--json", cwd=tmp_path)
    assert said.code == 0 and {each["attempts"] for each in json.loads(said.raw)["providers"]} == {0}
