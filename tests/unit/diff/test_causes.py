from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import make_files, make_manifest
from timelab.canonical import sha256_bytes
from timelab.diff import causes_of, changes
from timelab.manifest import Environment, Manifest, ModelRecord, SandboxRecord, ShellRecord
from timelab.names import Digest, Oid

SPEC = b"""\
timelab: 1
kind: llm
model: builtin:extractive@1
params: {temperature: 0.2}
prompt: Summarise.
"""


def run(
    spec: bytes = SPEC, *, inputs: dict[str, bytes] | None = None, **fields: Any
) -> tuple[Manifest, dict[str, bytes]]:
    files = {**make_files(spec=spec), **{f"input/files/{name}": data for name, data in (inputs or {}).items()}}
    base: dict[str, Any] = {"model": model()} | fields
    manifest = make_manifest(files=files)
    return manifest.model_copy(update=base), files


def model(name: str = "builtin:extractive@1", digest: str = "a", **more: Any) -> ModelRecord:
    fields: dict[str, Any] = {
        "name": name,
        "hash": Digest("sha256:" + digest * 64),
        "params": {"temperature": 0.2, "seed": 7},
        "requested": name,
        "degraded": False,
        **more,
    }
    return ModelRecord(**fields)


def told(before: tuple[Manifest, Any], after: tuple[Manifest, Any]) -> tuple[str, ...]:
    return causes_of(changes(before[0], after[0], before[1].get, after[1].get))


def shell(**more: Any) -> ShellRecord:
    fields: dict[str, Any] = {
        "kind": "uv",
        "profile": "default",
        "pinned": True,
        "lock_sha256": sha256_bytes(b"lock"),
        "fingerprint": sha256_bytes(b"print"),
        **more,
    }
    return ShellRecord(**fields)


CODE = Oid("c" * 40)
CASES: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ("nothing", {}, {}, ()),
    ("prompt", {}, {"spec": SPEC.replace(b"Summarise", b"Shorten")}, ("spec",)),
    ("comment", {}, {"spec": b"# why\n" + SPEC + b"\n"}, ()),
    ("order of keys", {}, {"spec": b"\n".join(reversed(SPEC.splitlines()))}, ()),
    ("description", {}, {"spec": SPEC + b"description: new words\n"}, ()),
    ("broken spec", {}, {"spec": b": ["}, ("spec",)),
    ("code", {"code_tree": CODE}, {"code_tree": Oid("d" * 40)}, ("code",)),
    ("input", {"inputs": {"a.csv": b"1"}}, {"inputs": {"a.csv": b"2"}}, ("inputs",)),
    (
        "script",
        {"spec": b"kind: command\nscript: a.py\n", "inputs": {"a.py": b"1"}},
        {"spec": b"kind: command\nscript: a.py\n", "inputs": {"a.py": b"2"}},
        ("code",),
    ),
    ("one more input", {}, {"inputs": {"a.csv": b"2"}}, ("inputs",)),
    ("lock", {"shell": shell()}, {"shell": shell(lock_sha256=sha256_bytes(b"x"))}, ("shell",)),
    ("fingerprint", {"shell": shell()}, {"shell": shell(fingerprint=sha256_bytes(b"x"))}, ("shell",)),
    ("name of the profile", {"shell": shell()}, {"shell": shell(profile="other")}, ()),
    ("weights", {}, {"model": model(digest="b")}, ("model",)),
    (
        "model in the spec",
        {},
        {"spec": SPEC.replace(b"extractive@1", b"other@1"), "model": model("builtin:other@1", "b")},
        ("model",),
    ),
    (
        "temperature in the spec",
        {},
        {"spec": SPEC.replace(b"0.2", b"0.7"), "model": model(params={"temperature": 0.7, "seed": 7})},
        ("params",),
    ),
    ("drawn seed", {}, {"model": model(params={"temperature": 0.2, "seed": 8})}, ("params",)),
    ("engine build", {}, {"model": model(details={"engine": "b2"})}, ("engine",)),
    ("options by the engine's own choice", {}, {"model": model(details={"options": "num_ctx 8"})}, ("engine",)),
    (
        "options that follow the parameters",
        {},
        {"model": model(params={"seed": 8}, details={"options": "seed 8", "probe": "same"})},
        ("params",),
    ),
    ("timelab itself", {}, {"timelab_version": "9.9"}, ("engine",)),
    (
        "sandbox",
        {},
        {"sandbox": SandboxRecord(kind="landlock", network="none", enforced=True, as_root=False)},
        ("host",),
    ),
    ("system", {}, {"env": Environment(system="aarch64-linux", apps=("timelab@0.1.0",), tools={})}, ("host",)),
    ("commit of an llm run", {}, {"git_sha": Oid("9" * 40)}, ()),
    ("commit of a command", {"code_tree": CODE}, {"code_tree": CODE, "git_sha": Oid("9" * 40)}, ("commit",)),
    (
        "commit and more",
        {"code_tree": CODE},
        {"code_tree": CODE, "git_sha": Oid("9" * 40), "timelab_version": "2"},
        ("engine",),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "causes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_right_cause_is_named(before: dict[str, Any], after: dict[str, Any], causes: tuple[str, ...]) -> None:
    """A12, A14, A15: one thing changed at a time, and that one named."""
    assert told(run(**before), run(**after)) == causes


def test_causes_stand_in_the_order_in_which_people_look() -> None:
    after = run(
        SPEC.replace(b"Summarise", b"Shorten"), inputs={"a": b"1"}, model=model(digest="b"), timelab_version="2"
    )
    assert told(run(), after) == ("spec", "inputs", "model", "engine")


def test_a_run_does_not_differ_from_itself() -> None:
    """K7."""
    manifest, files = run()
    assert changes(manifest, manifest, files.get, files.get) == ()


def test_without_an_answer_what_was_asked_for_is_compared() -> None:
    after = run(SPEC.replace(b"extractive@1", b"other@1").replace(b"0.2", b"0.9"), model=None)
    assert told(run(model=None), after) == ("model", "params")


def test_both_sides_are_shown_as_short_text() -> None:
    before, after = run(), run(SPEC.replace(b"Summarise.", b'"' + b"z" * 500 + b'"'))
    (change,) = (c for c in changes(before[0], after[0], before[1].get, after[1].get) if c.cause == "spec")
    assert (change.what, change.before) == ("prompt", "Summarise.")
    assert change.after is not None and len(change.after) == 200


def test_another_kind_of_shell_says_all() -> None:
    """A run that got into no shell measured none of its tools: a line for each would hide the one that counts."""
    tools = Environment(system="x86_64-linux", apps=(), tools={"bash": "5.2"})
    before = run(shell=shell(), env=tools)
    after = run(shell=shell(kind="self"), env=tools.model_copy(update={"tools": {"python": "3.11"}}))
    found = changes(before[0], after[0], before[1].get, after[1].get)
    assert [(change.cause, change.what) for change in found] == [("shell", "shell")]
