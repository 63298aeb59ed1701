"""K4: each provider passes the one suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines import OllamaServer
from timelab.canonical import canonical_bytes
from timelab.errors import ModelAbsent
from timelab.names import RunId
from timelab.providers.base import Provider
from timelab.providers.builtin import BuiltinProvider
from timelab.providers.llamacpp import LlamaCppProvider
from timelab.providers.ollama import OllamaProvider
from timelab.providers.openai_compat import OpenAICompatProvider
from timelab.providers.recorded import RecordedProvider, Recording
from timelab.testing.contracts import ProviderContract
from timelab.testing.providers import FakeProvider


class TestBuiltinProvider(ProviderContract):
    model = "builtin:extractive@1"

    def make(self) -> Provider:
        return BuiltinProvider()


class TestRecordedProvider(ProviderContract):
    model = "recorded:ab12"
    has_schema = False
    has_list = False

    def make(self) -> Provider:
        asked = replace(self.request(), model="ollama:small")
        line = {"request_sha256": asked.digest(), "model": asked.model, "output": "The sea is wide.", "finish": "stop"}

        def find(name: str) -> Recording:
            if name != "ab12":
                raise ModelAbsent(f"there is no run {name}", hint="timelab sync fetches those of others")
            return Recording(RunId("ab12" * 16), None, asked.params, canonical_bytes(line) + b"\n")

        return RecordedProvider(find)


class TestFakeProvider(ProviderContract):
    model = "fake:echo"
    has_schema = False

    def make(self) -> Provider:
        return FakeProvider()


class TestOllamaProvider(ProviderContract):
    model = "ollama:random:latest"

    @pytest.fixture(autouse=True)
    def server(self, ollama_server: OllamaServer) -> None:
        self.host = ollama_server.host

    def make(self) -> Provider:
        return OllamaProvider(self.host, threads=1)


class TestOpenAICompatProvider(ProviderContract):
    model = "openai:random:latest"

    @pytest.fixture(autouse=True)
    def server(self, ollama_server: OllamaServer) -> None:
        self.host = ollama_server.host

    def make(self) -> Provider:
        return OpenAICompatProvider(f"http://{self.host}/v1")


class TestLlamaCppProvider(ProviderContract):
    model = "llamacpp:random.gguf"

    @pytest.fixture(autouse=True)
    def folder(self, tiny_models: Callable[[str], Path]) -> None:
        self.root = tiny_models("random").parent

    def make(self) -> Provider:
        return LlamaCppProvider(self.root, threads=1)


def test_a_suite_that_names_no_provider_fails() -> None:
    """A plugin's tests must not pass because nothing was asked."""

    class Nothing(ProviderContract):
        model = "nobody:small"

    with pytest.raises(TypeError, match="make"):
        Nothing()  # type: ignore[abstract]
