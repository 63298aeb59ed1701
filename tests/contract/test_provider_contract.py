"""K4: each provider passes the one suite."""

from __future__ import annotations

from timelab.canonical import canonical_bytes
from timelab.providers.base import Provider
from timelab.providers.builtin import BuiltinProvider
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
