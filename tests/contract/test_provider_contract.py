"""K4: each provider passes the one suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import OllamaServer
from timelab.canonical import canonical_bytes
from timelab.providers.base import Provider
from timelab.providers.builtin import BuiltinProvider
from timelab.providers.llamacpp import LlamaCppProvider
from timelab.providers.ollama import OllamaProvider
from timelab.providers.openai_compat import OpenAICompatProvider
from timelab.providers.recorded import RecordedProvider
from timelab.testing.contracts import ProviderContract
from timelab.testing.providers import FakeProvider


class TestBuiltinProvider(ProviderContract):
    model = "builtin:extractive@1"

    def make(self) -> Provider:
        return BuiltinProvider()


class TestRecordedProvider(ProviderContract):
    model = "ollama:small"
    has_schema = False

    def make(self) -> Provider:
        line = {
            "request_sha256": self.request().digest(),
            "model": self.model,
            "output": "The sea is wide.",
            "finish": "stop",
        }
        return RecordedProvider([canonical_bytes(line) + b"\n"])


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
