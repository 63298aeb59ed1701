"""Whatever the bytes, the loader gives a spec or a SpecError; and what it accepts, the schema accepts."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from timelab.errors import SpecError
from timelab.schemas import schema
from timelab.spec.load import is_ours, load_spec
from timelab.spec.model import CommandSpec, LlmSpec
from timelab.spec.paths import glob_matches

FORMATS = ("json", "yaml", "toml")
SEEDS: dict[str, list[bytes]] = {
    "json": [
        b'{"timelab": 1, "kind": "command", "argv": ["a"], "limits": {"cpu_s": 1}}',
        b'{"timelab": 1, "kind": "llm", "model": "a:b", "messages": [{"role": "user", "content": "x"}]}',
    ],
    "yaml": [
        b"timelab: 1\nkind: command\nscript: a.sh\nargs: [x, 'y', \"z\\u263a\"]\n# c\nlimits: {cpu_s: 1}\n",
        b"timelab: 1\nkind: llm\nmodel: a:b\nprompt: |\n  two\n  lines\nparams:\n  stop:\n  - x\n  seed: 0o17\n",
    ],
    "toml": [
        b'timelab = 1\nkind = "command"\nargv = ["a", \'b\']\n[limits]\ncpu_s = 1\n',
        b'timelab = 1\nkind = "llm"\nmodel = "a:b"\n[params]\nseed = 0x1\n'
        b'[[messages]]\nrole = "user"\ncontent = """\nx"""\n',
    ],
}
PIECES = [
    *(bytes([sign]) for sign in b"[]{}:,\"'\\\n\t #|>%=.\x00\xff"),
    *(b"&a", b"*a", b"!!x ", b"<<: ", b"- ", b"? ", b"---", b"\xe2\x80\xa8", b'"""', b"'''", b"\\u", b"\\ud800"),
    *(b"1e999", b"nan", b".inf", b"0x", b"null", b"2026-11-20"),
]


def judge(data: bytes, suffix: str) -> None:
    try:
        loaded = load_spec(data, f"specs/a.{suffix}")
    except SpecError as error:
        assert error.problems
        assert error.message.isprintable()
        assert len(error.message) < 500
        for problem in error.problems:
            assert problem.line >= 0
            assert (problem.hint or "-").isprintable()
    else:
        assert isinstance(loaded.spec, (CommandSpec, LlmSpec))
        assert is_ours(data, f"specs/a.{suffix}")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(FORMATS))
@example(b'"\\UFFFFFFFF"', "yaml")
@example(b"%YAML", "yaml")
def test_any_bytes_give_a_spec_or_a_spec_error(data: bytes, suffix: str) -> None:
    judge(data, suffix)
    assert isinstance(is_ours(data, f"specs/a.{suffix}"), bool)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.sampled_from(FORMATS))
def test_any_text_gives_a_spec_or_a_spec_error(text: str, suffix: str) -> None:
    judge(text.encode("utf-8", "replace"), suffix)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(0, 1), st.randoms(use_true_random=False))
def test_a_mutated_spec_gives_a_spec_or_a_spec_error(suffix: str, which: int, chance: random.Random) -> None:
    data = bytearray(SEEDS[suffix][which])
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                del data[at : at + chance.randint(1, 8)]
            case 1:
                data[at:at] = chance.choice(PIECES)
            case 2:
                data[at:at] = data[at : at + chance.randint(1, 30)] * chance.randint(1, 3)
            case _ if data:
                data[min(at, len(data) - 1)] = chance.randrange(256)
    judge(bytes(data), suffix)


# Without DEL, which YAML allows in quotes and PyYAML nowhere.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x7f"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz_", max_size=6), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.text("abcDEF019._-", min_size=1, max_size=8)
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "name": WORDS,
    "description": st.text("ab \n", max_size=20),
    "profile": WORDS,
    "allow_net": st.booleans(),
    "timeout_s": st.integers(-1, 10) | st.floats(0.5, 3e6),
    "inputs": st.lists(WORDS, max_size=3),
    "tags": st.lists(WORDS, max_size=3),
    "env": st.lists(st.sampled_from(["HOME", "A=b", "x_1"]), max_size=2),
}
COMMAND = {
    **COMMON,
    "argv": st.none() | st.lists(WORDS, max_size=3),
    "script": st.none() | st.sampled_from(["a.sh", "b/c.py"]),
    "args": st.lists(WORDS, max_size=2),
    "limits": st.dictionaries(st.sampled_from(["cpu_s", "processes", "cpu"]), st.integers(0, 5), max_size=2),
}
LLM = {
    **COMMON,
    "model": st.sampled_from(["a:b", "ollama:qwen2.5:7b", "nothing"]),
    "prompt": st.none() | WORDS,
    "prompt_file": st.none() | WORDS.filter(lambda word: not word.startswith(".") and word not in (".", "..")),
    "messages": st.none()
    | st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "usr"]), "content": WORDS}), max_size=2),
    "params": st.dictionaries(
        st.sampled_from(["seed", "top_k", "temperature", "sead"]), st.integers(-1, 3), max_size=2
    ),
    "determinism": st.sampled_from(["exact", "none", "x"]),
}


def documents() -> st.SearchStrategy[dict[str, Any]]:
    def of(kind: str, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
        head = {"timelab": st.just(1), "kind": st.just(kind)}
        return st.fixed_dictionaries(head, optional={**fields, "argvv": VALUES})

    return of("command", COMMAND) | of("llm", LLM)


_VALIDATOR = Draft202012Validator(schema("spec"))


def accepts(value: Any) -> bool:
    try:
        load_spec(json.dumps(value).encode(), "specs/a.json")
    except SpecError:
        return False
    return True


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(documents())
def test_loader_and_schema_agree(value: dict[str, Any]) -> None:
    """A30: both ways, on documents whose paths are good ones (a schema cannot say what a good path is)."""
    assert accepts(value) == _VALIDATOR.is_valid(value)


@settings(max_examples=300, deadline=None)
@given(documents(), st.sampled_from(["argv", "params", "name", "timeout_s", "inputs", "model", "limits"]), VALUES)
def test_the_schema_takes_whatever_the_loader_takes(value: dict[str, Any], field: str, odd: Any) -> None:
    document = {**value, field: odd}
    if accepts(document):
        assert _VALIDATOR.is_valid(document)


@settings(max_examples=300, deadline=None)
@given(documents())
def test_a_spec_comes_back_from_its_own_json(value: dict[str, Any]) -> None:
    """K7: round trip, and JSON is YAML."""
    if not accepts(value):
        return
    spec = load_spec(json.dumps(value).encode(), "specs/a.json").spec
    again = json.dumps(spec.model_dump(mode="json", exclude_none=True)).encode()
    assert load_spec(again, "specs/a.json").spec == spec
    assert load_spec(again, "specs/a.yaml").spec == spec


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_json_text_is_the_same_document_as_yaml(value: Any) -> None:
    from timelab.spec.source import parse

    data = json.dumps({"a": value}).encode()
    assert parse(data, "a.json").value == parse(data, "a.yaml").value == json.loads(data)


@settings(max_examples=500, deadline=None)
@given(st.text("ab*?[]!^-/\\.\n", max_size=12), st.text("ab/-.\n", max_size=12))
def test_any_glob_can_be_asked(pattern: str, path: str) -> None:
    assert glob_matches(pattern, path) in (True, False)
    assert glob_matches(path, path)
