"""K4: each provider passes the one suite."""

from __future__ import annotations

from dataclasses import replace

import pytest

from timelab.canonical import canonical_bytes
from timelab.errors import ProviderError
from timelab.names import RunId
from timelab.providers.base import Provider
from timelab.providers.builtin import BuiltinProvider
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

    def make(self) -> Provider:
        asked = replace(self.request(), model="ollama:small")
        line = {"request_sha256": asked.digest(), "model": asked.model, "output": "The sea is wide.", "finish": "stop"}

        def find(name: str) -> Recording:
            if name != "ab12":
                raise ProviderError(f"there is no run {name}")
            return Recording(RunId("ab12" * 16), None, asked.params, canonical_bytes(line) + b"\n")

        return RecordedProvider(find)


class TestFakeProvider(ProviderContract):
    model = "fake:echo"
    has_schema = False

    def make(self) -> Provider:
        return FakeProvider()


def test_a_suite_that_names_no_provider_fails() -> None:
    """A plugin's tests must not pass because nothing was asked."""

    class Nothing(ProviderContract):
        model = "nobody:small"

    with pytest.raises(TypeError, match="make"):
        Nothing()  # type: ignore[abstract]
