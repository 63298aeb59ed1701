"""Reading the header of a GGUF file, honest or not."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timelab.errors import ProviderError
from timelab.providers.gguf import quantization, read_header


def header(*entries: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(entries)) + b"".join(entries)


def entry(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


def test_header_of_a_real_file_is_read_past_its_vocabulary(tiny_models: Callable[[str], Path]) -> None:
    found = read_header(tiny_models("mid"))
    assert found["general.architecture"] == "llama" and found["llama.context_length"] == 2048
    # It stands behind the vocabulary.
    assert "<|im_start|>" in found["tokenizer.chat_template"]
    assert quantization(found) == "Q8_0" and "tokenizer.ggml.tokens" not in found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGML" + b"\0" * 40,
        header(version=1),
        header(version=4),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60),
        header(entry("k", 99, b"")),
        header(entry("k", 8, struct.pack("<Q", 1 << 62))),
        header(entry("k", 9, struct.pack("<IQ", 8, 1 << 62))),
        header(entry("k", 9, struct.pack("<IQ", 9, 1))),
        header(entry("k", 4, b"\0")),
    ],
)
def test_file_that_lies_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(ProviderError, match=r"m\.gguf: not a GGUF file"):
        read_header(path)


def test_file_that_is_absent_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="No such file"):
        read_header(tmp_path / "m.gguf")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "m.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + data)
    with contextlib.suppress(ProviderError):
        read_header(path)


def test_type_without_a_name_is_shown_by_its_number() -> None:
    assert quantization({"general.file_type": 99}) == "type 99"
    assert quantization({}) is None
