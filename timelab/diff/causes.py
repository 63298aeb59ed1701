"""Two manifests → ordered differences by cause: what could make one run come out unlike the other (design 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from timelab.spec.document import SourceFault
from timelab.spec.source import parse

if TYPE_CHECKING:
    from timelab.manifest import Manifest

Reader = Callable[[str], bytes | None]
"""Returns a file of a run by its path in the run folder, or None."""

Cause = Literal["spec", "code", "inputs", "shell", "model", "params", "engine", "host", "commit", "label"]

CAUSES: tuple[Cause, ...] = ("spec", "code", "inputs", "shell", "model", "params", "engine", "host", "commit")
"""What can change a result, in the order in which a person looks (design 7).

`commit` is the weakest: equal code at another commit, whose date the task sees as SOURCE_DATE_EPOCH. It is named only
when nothing else is left. `label`, which is not here, is what no result depends on: names, tags, comments.
"""

NONDETERMINISM = "nondeterminism"
"""What is left when no cause changed."""

_LABELS = frozenset({"timelab", "name", "description", "tags", "fallback", "inputs", "model", "params", "profile"})
"""Keys of a spec that are no cause by themselves; what they lead to is compared where the manifest records it."""

_SHOWN_CHARS = 200


@dataclass(frozen=True)
class Change:
    """Is one difference: where it stands and both sides as short text, None where a side has nothing there."""

    cause: Cause
    what: str
    before: str | None
    after: str | None


def changes(before: Manifest, after: Manifest, read_before: Reader, read_after: Reader) -> tuple[Change, ...]:
    """Returns what differs between two runs, in the order of `CAUSES`, labels last; empty for a run and itself."""
    specs = (_spec_of(before, read_before), _spec_of(after, read_after))
    found = [
        *_spec(before, after, specs),
        *_pairs("code", [("code", before.code_tree, after.code_tree)]),
        *_inputs(before, after, specs),
        *_shell(before, after),
        *_model(before, after, specs),
        *_params(before, after, specs),
        *_engine(before, after),
        *_host(before, after),
        *_commit(before, after),
    ]
    order = {cause: number for number, cause in enumerate((*CAUSES, "label"))}
    return tuple(sorted(found, key=lambda change: order[change.cause]))


def causes_of(found: Iterable[Change]) -> tuple[str, ...]:
    """Returns the causes that changed, in order; `commit` only when it is the only one, and never `label`."""
    present = {change.cause for change in found}
    named = tuple(cause for cause in CAUSES if cause in present)
    return named if named == ("commit",) else tuple(cause for cause in named if cause != "commit")


def spec_name(manifest: Manifest) -> str:
    """Returns where the spec's bytes stand in the run folder: `input/spec.<ext>` (X5)."""
    return "input/spec." + manifest.spec.path.rpartition(".")[2].lower()


def _pairs(cause: Cause, pairs: Iterable[tuple[str, Any, Any]]) -> Iterator[Change]:
    for what, before, after in pairs:
        if before != after:
            yield Change(cause, what, _shown(before), _shown(after))


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    is_list = isinstance(value, (tuple, list))
    text = "[" + ", ".join(str(item) for item in value) + "]" if is_list else str(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def _spec_of(manifest: Manifest, read: Reader) -> dict[str, Any] | None:
    """Returns the spec as plain values, or None when its bytes are gone or say nothing."""
    data = read(spec_name(manifest))
    try:
        value = parse(data, manifest.spec.path).value if data is not None else None
    except SourceFault:
        return None
    return value if isinstance(value, dict) else None


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted path, value) of everything in nested mappings; lists are values, for their order has meaning."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _spec(
    before: Manifest, after: Manifest, specs: tuple[dict[str, Any] | None, dict[str, Any] | None]
) -> Iterator[Change]:
    yield from _pairs("label", [("name", before.name, after.name), ("spec path", before.spec.path, after.spec.path)])
    yield from _pairs("spec", [("kind", before.task.kind, after.task.kind)])
    if before.spec.sha256 == after.spec.sha256:
        return
    if specs[0] is None or specs[1] is None:
        yield Change("spec", "spec", before.spec.sha256, after.spec.sha256)
        return
    old, new = (dict(leaves(spec)) for spec in specs if spec is not None)
    for key in sorted({*old, *new}):
        top = key.partition(".")[0]
        if top in ("kind", "name", "model", "params"):
            continue
        cause: Cause = "label" if top in _LABELS else "spec"
        yield from _pairs(cause, [(key, old.get(key), new.get(key))])


def _inputs(
    before: Manifest, after: Manifest, specs: tuple[dict[str, Any] | None, dict[str, Any] | None]
) -> Iterator[Change]:
    old, new = ({item.path: item.sha256 for item in manifest.inputs} for manifest in (before, after))
    programs = {path for spec in specs for path in _programs(spec or {})}
    for path in sorted({*old, *new}):
        # What a spec runs is an input by its digest, and code to whoever asks why.
        cause: Cause = "code" if path in programs else "inputs"
        yield from _pairs(cause, [(path, old.get(path), new.get(path))])


def _programs(spec: dict[str, Any]) -> list[Any]:
    argv = spec.get("argv")
    named = [spec.get("script"), argv[0] if isinstance(argv, list) and argv else None]
    return [name.removeprefix("./") for name in named if isinstance(name, str)]


def _shell(before: Manifest, after: Manifest) -> Iterator[Change]:
    old, new = before.shell, after.shell
    told = [
        ("shell", old.kind, new.kind),
        ("lock", old.lock_sha256, new.lock_sha256),
        ("fingerprint", old.fingerprint, new.fingerprint),
    ]
    same = all(left == right for _, left, right in told)
    # A profile of another name with the same lock and fingerprint is the same shell.
    yield from _pairs("label" if same else "shell", [("profile", old.profile, new.profile)])
    yield from _pairs("shell", told)
    if old.kind != new.kind:
        # Of another kind of shell everything is another version, and a run that got into no shell measured none.
        return
    tools = sorted({*before.env.tools, *after.env.tools})
    versions = [(name, before.env.tools.get(name), after.env.tools.get(name)) for name in tools]
    # The same shell that measures another version stands on another host.
    cause: Cause = "host" if same else "shell"
    yield from _pairs(cause, [*versions, ("apps", before.env.apps, after.env.apps)])
    yield from _pairs(
        cause, [("flake.lock", before.flake_lock_sha256, after.flake_lock_sha256)] if old.kind == "nix" else []
    )


def _model(
    before: Manifest, after: Manifest, specs: tuple[dict[str, Any] | None, dict[str, Any] | None]
) -> Iterator[Change]:
    if before.model is not None and after.model is not None:
        yield from _pairs(
            "model",
            [("model", before.model.name, after.model.name), ("weights", before.model.hash, after.model.hash)],
        )
        asked = [("requested", before.model.requested, after.model.requested)]
        yield from _pairs("label", asked) if before.model.name == after.model.name else ()
    else:
        # One of them never came to an answer: what was asked for is all there is to compare.
        yield from _pairs("model", [("model", *_asked_model(before, after, specs))])


def _asked_model(
    before: Manifest, after: Manifest, specs: tuple[dict[str, Any] | None, dict[str, Any] | None]
) -> tuple[Any, Any]:
    names = []
    for manifest, spec in zip((before, after), specs, strict=True):
        names.append(manifest.model.requested if manifest.model else (spec or {}).get("model"))
    return names[0], names[1]


def _params(
    before: Manifest, after: Manifest, specs: tuple[dict[str, Any] | None, dict[str, Any] | None]
) -> Iterator[Change]:
    if before.model is not None and after.model is not None:
        old, new = before.model.params, after.model.params
    else:
        old, new = ((spec or {}).get("params") or {} for spec in specs)
        if not isinstance(old, dict) or not isinstance(new, dict):
            return
    yield from _pairs("params", ((key, old.get(key), new.get(key)) for key in sorted({*old, *new})))


def _engine(before: Manifest, after: Manifest) -> Iterator[Change]:
    old = before.model.details if before.model else {}
    new = after.model.details if after.model else {}
    if before.model and after.model and before.model.name == after.model.name:
        # The engine's own words for the parameters change with them, and what was asked of it with the spec.
        told = {"probe", "options"} if before.model.params != after.model.params else {"probe"}
        yield from _pairs("engine", ((key, old.get(key), new.get(key)) for key in sorted({*old, *new} - told)))
    yield from _pairs("engine", [("timelab", before.timelab_version, after.timelab_version)])


def _host(before: Manifest, after: Manifest) -> Iterator[Change]:
    old, new = before.sandbox, after.sandbox
    yield from _pairs(
        "host",
        [
            ("system", before.env.system, after.env.system),
            ("sandbox", old.kind, new.kind),
            ("network", old.network, new.network),
            ("sandbox enforced", old.enforced, new.enforced),
            ("as root", old.as_root, new.as_root),
        ],
    )


def _commit(before: Manifest, after: Manifest) -> Iterator[Change]:
    # Only a task that executes the user's code is told the commit's date.
    cause: Cause = "commit" if before.code_tree or after.code_tree else "label"
    yield from _pairs(cause, [("commit", before.git_sha, after.git_sha)])
