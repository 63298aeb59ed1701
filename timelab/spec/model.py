"""What a spec may say: the fields of version 1, one class for each kind of task.

The schema in `schemas/spec.schema.json` is generated from here. A field may be added until 0.1.0; afterwards a change
needs a new version and a migration (design 2, requirement A31).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from timelab.names import RepoPath, RunName

SPEC_VERSION = 1
MAX_TEXT = 200_000

Text: TypeAlias = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
ShortText: TypeAlias = Annotated[str, StringConstraints(max_length=2_000)]
Glob: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=1_024)]
Argument: TypeAlias = Annotated[str, StringConstraints(max_length=32_768, pattern=r"^[^\x00]*$")]
EnvName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
ProfileName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
# provider:name, with an optional tag inside the name and an optional pin of the weights, `@sha256:…` (A39, A182).
ModelName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*:[^\s\x00-\x1f]{1,330}$")]
Tag: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$")]


class _Strict(BaseModel):
    """Refuses unknown keys and coerces nothing."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Limits(_Strict):
    """Bounds of one command; absent ones take the defaults that `docs/reference` lists."""

    cpu_s: Annotated[int, Field(gt=0, le=604_800)] | None = None
    memory_bytes: Annotated[int, Field(ge=16 << 20)] | None = None
    output_bytes: Annotated[int, Field(gt=0)] | None = None
    processes: Annotated[int, Field(gt=0, le=32_768)] | None = None


class ModelParams(_Strict):
    """Sampling parameters; an absent one takes the default of `executors/llm.py` and is recorded (A34–A38, X9)."""

    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    max_tokens: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    stop: (
        Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=256)], ...], Field(max_length=16)]
        | None
    ) = None
    num_ctx: Annotated[int, Field(gt=0, le=100_000_000)] | None = None


class Message(_Strict):
    """Is one turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class SpecBase(_Strict):
    """Holds what every kind of task has."""

    timelab: Literal[1]
    name: RunName | None = None
    description: ShortText | None = None
    profile: ProfileName | None = None
    allow_net: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=2_592_000)] = 3600.0
    inputs: Annotated[tuple[Glob, ...], Field(max_length=1_000)] = ()
    tags: Annotated[tuple[Tag, ...], Field(max_length=64)] = ()
    env: Annotated[tuple[EnvName, ...], Field(max_length=64)] = ()


def _needs(name: str, kind: str) -> dict[str, Any]:
    """Returns the JSON Schema for "this field is given": null is the same as absent."""
    return {"required": [name], "properties": {name: {"type": kind}}}


class CommandSpec(SpecBase):
    """Runs a program on the files of the commit, in the pinned shell and the sandbox."""

    # What the validator below asks, for those who have the schema only.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={
            "oneOf": [_needs("argv", "array"), _needs("script", "string")],
            "if": {"required": ["args"], "properties": {"args": {"minItems": 1}}},
            "then": _needs("script", "string"),
        }
    )

    kind: Literal["command"]
    argv: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=4_096)] | None = None
    script: RepoPath | None = None
    args: Annotated[tuple[Argument, ...], Field(max_length=4_096)] = ()
    outputs: Annotated[tuple[Glob, ...], Field(max_length=1_000)] = ()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _one_program(self) -> CommandSpec:
        if (self.argv is None) == (self.script is None):
            raise ValueError("needs either 'argv' or 'script'")
        if self.args and self.script is None:
            raise ValueError("'args' go with 'script'; write them into 'argv'")
        return self


class LlmSpec(SpecBase):
    """Asks a model: one prompt, or one for each case of a JSONL or CSV file."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={
            "oneOf": [_needs("prompt", "string"), _needs("prompt_file", "string"), _needs("messages", "array")]
        }
    )

    kind: Literal["llm"]
    model: ModelName
    params: ModelParams = ModelParams()
    system: Text | None = None
    prompt: Text | None = None
    prompt_file: RepoPath | None = None
    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=1_000)] | None = None
    cases: RepoPath | None = None
    response_schema: dict[str, Any] | RepoPath | None = None
    determinism: Literal["exact", "same-text", "none"] | None = None
    fallback: Annotated[tuple[ModelName, ...], Field(max_length=16)] = ()

    @model_validator(mode="after")
    def _one_prompt(self) -> LlmSpec:
        given = [self.prompt is not None, self.prompt_file is not None, self.messages is not None]
        if sum(given) != 1:
            raise ValueError("needs exactly one of 'prompt', 'prompt_file' and 'messages'")
        return self


Spec: TypeAlias = Annotated[CommandSpec | LlmSpec, Field(discriminator="kind")]
KINDS: tuple[str, ...] = ("command", "llm")
EXECUTES_USER_CODE: frozenset[str] = frozenset({"command"})
"""Kinds that need the pinned shell and the sandbox; the others run in timelab's own environment (design 5)."""
