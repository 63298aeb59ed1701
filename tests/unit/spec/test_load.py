"""A spec's mistakes are told with place, reason and a hint; K6: messages are fixed to the letter."""

from __future__ import annotations

import json

import pytest

from timelab.errors import SpecError
from timelab.spec.load import is_ours, load_spec
from timelab.spec.model import CommandSpec, LlmSpec

COMMAND = b"timelab: 1\nkind: command\nargv: [echo, hi]\n"
LLM = b"timelab: 1\nkind: llm\nmodel: builtin:extractive@1\nprompt: hi\n"


def wrong(data: bytes | str, path: str = "specs/a.yaml") -> list[tuple[str, str | None]]:
    with pytest.raises(SpecError) as caught:
        load_spec(data if isinstance(data, bytes) else data.encode(), path)
    error = caught.value
    assert error.exit_code == 65
    assert error.message == str(error.problems[0])
    assert error.hint == error.problems[0].hint
    return [(str(problem), problem.hint) for problem in error.problems]


def test_three_formats_give_the_same_spec() -> None:
    yaml = b"timelab: 1\nkind: command\nargv: [echo, '5']\ntimeout_s: 60\nlimits: {cpu_s: 5}\n"
    toml = b'timelab = 1\nkind = "command"\nargv = ["echo", "5"]\ntimeout_s = 60\n[limits]\ncpu_s = 5\n'
    as_json = json.dumps(
        {"timelab": 1, "kind": "command", "argv": ["echo", "5"], "timeout_s": 60, "limits": {"cpu_s": 5}}
    ).encode()
    specs = [
        load_spec(data, f"specs/a.{end}").spec for data, end in ((yaml, "yaml"), (toml, "toml"), (as_json, "json"))
    ]
    assert specs[0] == specs[1] == specs[2]
    assert isinstance(specs[0], CommandSpec)


def test_the_bytes_are_kept() -> None:
    loaded = load_spec(COMMAND, "specs/a.yml")
    assert (loaded.raw, loaded.path) == (COMMAND, "specs/a.yml")


def test_a_spec_carries_model_parameters_and_network() -> None:
    """A33–A39: allow_net and the sampling parameters; absent allow_net means offline."""
    data = LLM + b"allow_net: true\nparams: {temperature: 0.5, top_p: 1, seed: 7, max_tokens: 9, stop: [END]}\n"
    spec = load_spec(data, "specs/a.yaml").spec
    assert isinstance(spec, LlmSpec)
    assert spec.allow_net
    assert spec.params.model_dump(exclude_none=True) == {
        "temperature": 0.5,
        "top_p": 1.0,
        "seed": 7,
        "max_tokens": 9,
        "stop": ("END",),
    }
    assert not load_spec(LLM, "specs/a.yaml").spec.allow_net


def test_every_mistake_is_told_in_the_order_of_the_file() -> None:
    """A32: the first is the message, all are reachable."""
    assert wrong("timelab: 1\nkind: command\nargv: [echo, 5]\ntimout_s: 60\ntimeout_s: -1\n") == [
        ("specs/a.yaml:3:14: /argv/1: must be a string, not the number 5", "put it in quotes"),
        ("specs/a.yaml:4:1: /timout_s: unknown key", "did you mean 'timeout_s'?"),
        ("specs/a.yaml:5:12: /timeout_s: must be > 0, not the number -1", None),
    ]


@pytest.mark.parametrize(
    ("line", "told", "hint"),
    [
        (
            "allow_net: no",
            "specs/a.yaml:5:12: /allow_net: must be true or false, not the string 'no'",
            "write true or false, without quotes; YAML 1.2 reads yes, no, on and off as text",
        ),
        (
            "timeout_s: '60'",
            "specs/a.yaml:5:12: /timeout_s: must be a number, not the string '60'",
            "write it without quotes",
        ),
        (
            "tags: one",
            "specs/a.yaml:5:7: /tags: must be a list, not the string 'one'",
            "write tags: [one]",
        ),
        ("seed: 1", "specs/a.yaml:5:1: /seed: unknown key", "'seed' stands under 'params'"),
        ("argv: [a]", "specs/a.yaml:5:1: /argv: unknown key", "'argv' belongs to kind 'command'"),
        (
            "params: {prompt: x}",
            "specs/a.yaml:5:10: /params/prompt: unknown key",
            "'prompt' stands at the top of the spec",
        ),
        (
            "params: {colour: 1}",
            "specs/a.yaml:5:10: /params/colour: unknown key",
            "known here: temperature, top_p, top_k, seed, max_tokens, stop, num_ctx",
        ),
        (
            "params: {stop: [a, '']}",
            "specs/a.yaml:5:20: /params/stop/1: must have at least 1 character, not 0",
            None,
        ),
        ("fallback: []\ncases: ../x", "specs/a.yaml:6:8: /cases: leaves the repository ('..')", None),
        (
            "name: -x",
            "specs/a.yaml:5:7: /name: must be letters, digits, '.', '_' and '-', at most 64, "
            "beginning with a letter or digit, not the string '-x'",
            None,
        ),
        (
            "response_schema: 5",
            "specs/a.yaml:5:18: /response_schema: must be a mapping or a string, not the number 5",
            None,
        ),
        (
            "determinism: exactly",
            "specs/a.yaml:5:14: /determinism: must be 'exact', 'same-text' or 'none', not the string 'exactly'",
            "did you mean 'exact'?",
        ),
        ("prompt_file: a", "specs/a.yaml:1:1: /: needs exactly one of 'prompt', 'prompt_file' and 'messages'", None),
        (
            "response_schema: {type: objct}",
            "specs/a.yaml:5:25: /response_schema/type: not a JSON Schema: "
            "'objct' is not valid under any of the given schemas",
            None,
        ),
        (
            "response_schema: {items: {$ref: 'http://example.invalid/x'}}",
            "specs/a.yaml:5:33: /response_schema/items/$ref: must point into this schema, like '#/$defs/name', "
            "not 'http://example.invalid/x'",
            None,
        ),
    ],
)
def test_a_mistake_is_told_in_words(line: str, told: str, hint: str | None) -> None:
    assert wrong(LLM.decode() + line) == [(told, hint)]


def test_an_empty_list_is_too_short_and_a_list_with_a_wrong_item_is_not() -> None:
    assert wrong("timelab: 1\nkind: command\nargv: []\n")[0][0].endswith("/argv: must have at least 1 item, not 0")
    head = "timelab: 1\nkind: llm\nmodel: a:b\nmessages:\n"
    assert wrong(head + "- role: usr\n  content: x\n") == [
        ("specs/a.yaml:5:9: /messages/0/role: must be 'system', 'user' or 'assistant', not the string 'usr'",
         "did you mean 'user'?")
    ]  # fmt: skip


def test_the_first_two_fields_are_judged_first() -> None:
    start = "begin with 'timelab: 1' and 'kind: command | llm'"
    assert wrong("name: x\n") == [
        ("specs/a.yaml:1:1: /kind: is missing", "one of: command, llm"),
        ("specs/a.yaml:1:1: /timelab: is missing", start),
    ]
    assert wrong("timelab: 2\nkind: comand\n") == [
        ("specs/a.yaml:1:10: /timelab: is spec version 2, this timelab reads 1", "install a newer timelab"),
        ("specs/a.yaml:2:7: /kind: must be one of command, llm, not the string 'comand'", "did you mean 'command'?"),
    ]
    assert wrong("timelab: true\nkind: llm")[0][0] == "specs/a.yaml:1:10: /timelab: must be 1, not true"
    assert wrong("- a")[0] == ("specs/a.yaml:1:1: /: a spec must be a mapping, not a list of 1", start)


def test_a_committed_path_must_stay_inside_and_a_typed_one_need_not() -> None:
    assert wrong(COMMAND, "specs/../a.yaml")[0][0] == ("specs/../a.yaml: the spec's path leaves the repository ('..')")
    assert load_spec(COMMAND, "/tmp/a.yaml", given_by_hand=True).path == "/tmp/a.yaml"


@pytest.mark.parametrize(
    ("data", "path", "ours"),
    [
        (COMMAND, "specs/a.yaml", True),
        (b"a: 1\n", "specs/a.yaml", False),
        (b"a: 1\n", "2026/11/20/ai-team/specs/a.yaml", True),
        (b"inner:\n  timelab: 1\n", "specs/a.yaml", False),
        (b'{"a": "timelab"}', "specs/a.json", False),
        (b'{"timelab": 1}', "specs/a.json", True),
        (b"timelab = 1", "specs/a.toml", True),
        (b"timelab: 1\nkind: [", "specs/a.yaml", True),
        (b"other: [timelab", "specs/a.yaml", False),
        (b"\xff\xfe\x00", "specs/a.yaml", False),
        (b"timelab: 1", "specs/a.txt", False),
        (b"", "specs/a.yaml", False),
    ],
)
def test_a_file_is_ours_by_its_key_or_its_place(data: bytes, path: str, ours: bool) -> None:
    """A29: a file in a dated ai-team/specs is always a spec; a broken one that means to be is ours too."""
    assert is_ours(data, path) is ours
