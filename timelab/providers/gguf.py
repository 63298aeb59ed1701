"""What a GGUF file says of itself, read from its header without an engine.

Source: the format's specification, docs/gguf.md of ggml: little-endian, versions 2 and 3; version 1 is of spring 2023.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from timelab.errors import ProviderError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_KEYS, _MAX_TEXT_BYTES, _MAX_ITEMS = 65_536, 16 << 20, 16_000_000
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip
"""`enum llama_ftype` of llama.h, the types that people have."""


def read_header(path: Path) -> dict[str, Any]:
    """Returns the numbers and texts of the header by their keys; lists (the vocabulary) are left out.

    Raises:
        ProviderError: that is no GGUF file, or one that lies about its sizes.
    """
    try:
        with path.open("rb") as file:
            return _Header(file).read()
    except (struct.error, EOFError, ValueError, OverflowError) as error:
        raise ProviderError(f"{path.name}: not a GGUF file, or a damaged one") from error
    except OSError as error:
        raise ProviderError(f"{path.name}: {error.strerror or 'cannot be read'}") from error


def quantization(header: dict[str, Any]) -> str | None:
    """Returns the name of the type that most weights have."""
    number = header.get("general.file_type")
    return None if number is None else _FILE_TYPES.get(number, f"type {number}")


class _Header:
    """Reads one header from its beginning."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self) -> dict[str, Any]:
        if self._file.read(4) != b"GGUF" or self._one("I") not in (2, 3):
            raise ValueError("another format")
        self._one("Q")
        count = self._one("Q")
        if count > _MAX_KEYS:
            raise ValueError("too many keys")
        found = {}
        for _ in range(count):
            key, kind = self._text().decode("utf-8", "replace"), self._one("I")
            if kind == _ARRAY:
                self._skip_array()
            elif kind == _STRING:
                found[key] = self._text().decode("utf-8", "replace")
            else:
                found[key] = self._one(self._code(kind))
        return found

    def _code(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise ValueError("unknown type")
        return _SCALARS[kind]

    def _one(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._file.read(struct.calcsize(f"<{code}")))[0]

    def _text(self) -> bytes:
        size = self._one("Q")
        if size > _MAX_TEXT_BYTES:
            raise ValueError("too long a text")
        text = self._file.read(size)
        if len(text) != size:
            raise EOFError
        return text

    def _skip_array(self) -> None:
        kind, count = self._one("I"), self._one("Q")
        if count > _MAX_ITEMS:
            raise ValueError("too long a list")
        if kind == _STRING:
            for _ in range(count):
                self._text()
        else:
            self._file.seek(count * struct.calcsize(f"<{self._code(kind)}"), 1)
