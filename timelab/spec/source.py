"""The bytes of a spec file to plain values: limits first, then the reader that the suffix names. No pydantic here."""

from __future__ import annotations

import re

from timelab.spec.document import Document, Lines, SourceFault

MAX_BYTES = 256 * 1024
"""A spec is written and read by people (design 2)."""

SUFFIXES: tuple[str, ...] = (".json", ".yaml", ".yml", ".toml")

_DATED = re.compile(r"(?:.*/)?\d{4}/\d{2}/\d{2}/ai-team/specs/[^/]+", re.DOTALL)
# What a top-level key looks like in a file that cannot be parsed: better to name its mistake than to pass it over.
_KEY_IN_TEXT = re.compile(rb"(?m)^(?:\xef\xbb\xbf)?[\"']?timelab[\"']?[ \t]*[:=]|\"timelab\"\s*:")


def suffix_of(path: str) -> str:
    """Returns the suffix in lower case, with its dot; empty when there is none."""
    name = path.rpartition("/")[2]
    return "." + name.rpartition(".")[2].lower() if "." in name else ""


def parse(data: bytes, path: str) -> Document:
    """Returns the document in `data`; raises `SourceFault`, and nothing else whatever the bytes are."""
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise SourceFault("is not a spec by its suffix", hint=f"name it with one of {', '.join(SUFFIXES)}")
    if len(data) > MAX_BYTES:
        raise SourceFault(
            f"is larger than {MAX_BYTES} bytes", hint="put long texts and data into files that the spec names"
        )
    text = decode(data)
    if suffix == ".json":
        from timelab.spec.json_source import parse_json

        return parse_json(text)
    if suffix == ".toml":
        from timelab.spec.toml_source import parse_toml

        return parse_toml(text)
    from timelab.spec.yaml_source import parse_yaml

    return parse_yaml(text)


def decode(data: bytes) -> str:
    """Returns the text of UTF-8 bytes; a byte order mark at the start is passed over, as editors write it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceFault("is UTF-16", hint="save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        raise SourceFault("is not UTF-8", Lines(before).mark(len(before)), hint="save it as UTF-8") from error
    if "\x00" in text:
        raise SourceFault("holds a NUL character", Lines(text).mark(text.index("\x00")))
    return text


def is_ours(data: bytes, path: str) -> bool:
    """Says whether the file means to be a spec: it has a top-level `timelab` key, or lies in a dated ai-team/specs.

    Never raises. A file that cannot be parsed is ours if it looks so, for its author wants to hear of the mistake.
    """
    if suffix_of(path) not in SUFFIXES:
        return False
    if _DATED.fullmatch(path):
        return True
    if b"timelab" not in data:
        return False
    try:
        value = parse(data, path).value
    except SourceFault:
        return _KEY_IN_TEXT.search(data[:MAX_BYTES]) is not None
    return isinstance(value, dict) and "timelab" in value
