"""Fetching with a server that speaks as Ollama does: what it says on the way, and each way to fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from timelab.errors import ModelAbsent, ProviderError, ProviderUnavailable, UsageError
from timelab.providers.pulling import pull_from_ollama

SUCCESS = {"status": "success"}


class Registry:
    """Is what the server will say; `asked` is what it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.lines: list[Any] = [SUCCESS]
        self.asked: list[Any] = []


@pytest.fixture
def registry() -> Iterator[tuple[Registry, str]]:
    said = Registry()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            said.asked.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(said.status)
            self.end_headers()
            for line in said.lines:
                self.wfile.write((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield said, f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_says_how_far_it_is_until_it_is_there(registry: tuple[Registry, str]) -> None:
    said, address = registry
    said.lines = [{"status": "pulling manifest"}, {"status": "x", "total": 10, "completed": 4}, SUCCESS]
    told: list[tuple[str, int, int]] = []
    pull_from_ollama(address, "tiny:1b", lambda *each: told.append(each))
    assert told == [("pull tiny:1b", 4, 10)]
    assert said.asked == [("/api/pull", {"model": "tiny:1b", "stream": True})]


@pytest.mark.parametrize(
    ("status", "lines", "error", "what"),
    [
        (200, [{"error": "pull model manifest: file does not exist"}], ModelAbsent, "the registry has no model tiny"),
        (200, [{"error": "dial tcp: no such host"}], ProviderUnavailable, "cannot pull tiny: dial tcp: no such host"),
        (200, [{"status": "pulling"}], ProviderUnavailable, "the pull of tiny broke off"),
        (200, ["{"], ProviderError, "not JSON"),
        (200, ["[]"], ProviderUnavailable, "broke off"),
        (500, [{"error": "disk full"}], ProviderUnavailable, "disk full"),
        (400, [{"error": "invalid model name"}], ProviderError, "invalid model name"),
    ],
)
def test_each_way_to_fail_is_told(
    registry: tuple[Registry, str], status: int, lines: list[Any], error: type[ProviderError], what: str
) -> None:
    said, address = registry
    said.status, said.lines = status, lines
    with pytest.raises(error) as caught:
        pull_from_ollama(address, "tiny", lambda *each: None)
    assert what in caught.value.message


def test_no_server_and_no_address_are_told() -> None:
    with pytest.raises(UsageError):
        pull_from_ollama("http://me:pass@x", "tiny", lambda *each: None)
