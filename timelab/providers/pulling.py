"""Fetching a model: asks an Ollama server to pull one, and tells how far it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from timelab.errors import ModelAbsent, ProviderError, ProviderUnavailable
from timelab.providers import http

_PORT = 11434
_LIMIT_S = 86_400.0
_SILENCE_S = 300.0
_ABSENT = ("file does not exist", "not found", "manifest unknown")


def pull_from_ollama(address: str, model: str, progress: Callable[[str, int, int], None]) -> None:
    """Lets the server at `address` fetch a model; `progress(what, done, total)` is told how far it is, in bytes.

    Raises:
        ModelAbsent: the registry has no such model.
        ProviderUnavailable: no server answers, or the registry cannot be reached.
        UsageError: that is no address.
    """
    place = http.parse_place(address, port=_PORT)
    with (
        http.failures("ollama", place, start="ollama serve", timeout_s=_SILENCE_S),
        http.make_client(place, _SILENCE_S) as client,
        http.posted(client, "/api/pull", {"model": model, "stream": True}, _LIMIT_S) as response,
    ):
        if response.status_code != 200:
            raise http.status_error("ollama", response.status_code, http.said_by(response.read()))
        is_done = False
        for line in http.lines_of(response):
            part = _parsed(line)
            if "error" in part:
                raise _error(model, http.said_by(str(part["error"])))
            is_done = part.get("status") == "success"
            total, done = part.get("total"), part.get("completed")
            if isinstance(total, int) and isinstance(done, int):
                progress(f"pull {model}", done, total)
    if not is_done:
        raise ProviderUnavailable(f"ollama: the pull of {model} broke off", hint="again: what is there already is kept")


def _error(model: str, said: str) -> ProviderError:
    if any(words in said for words in _ABSENT):
        return ModelAbsent(f"ollama: the registry has no model {model}", hint="https://ollama.com/library lists them")
    return ProviderUnavailable(f"ollama: cannot pull {model}: {said}", hint="is this machine on the network?")


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ProviderError("ollama: the server sent what is not JSON") from error
    return found if isinstance(found, dict) else {}
