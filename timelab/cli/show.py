"""`timelab show`: print one run, for people or as its exact record."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, repo_path

if TYPE_CHECKING:
    from timelab.git.repo import Repo
    from timelab.manifest import Manifest
    from timelab.store.reader import StoredRun

PREVIEW_LINES = 12
PREVIEW_BYTES = 4_000


@click.command()
@click.argument("run", required=False, default="last", metavar="[RUN | COMMIT | SPEC | last]")
@click.option("--path", "only_path", is_flag=True, help="Print only the absolute path of the run's folder.")
@json_option
def command(run: str, only_path: bool, as_json: bool) -> int:
    """Print the run that RUN names: where it came from, what it made, and where that lies.

    RUN is the beginning of a run id, a commit, a spec's path, or `last`. --json prints the manifest itself.
    """
    from timelab.cli import render
    from timelab.store.reader import find_all

    repo = current_repo()
    found = find_all(repo, _as_named(repo, run))
    if as_json:
        for stored in found:
            click.echo(stored.manifest_bytes.decode(), nl=False)
        return 0
    for number, stored in enumerate(found):
        if only_path:
            render.out(render.path(str(stored.folder or "")))
            continue
        if number:
            render.out()
        _print(repo, stored)
    return 0


def _as_named(repo: Repo, name: str) -> str:
    """Returns a path as the reader wants it, from the repository's root; other names stay as they are."""
    from timelab.plan import is_spec_path

    path = repo_path(repo, name)
    return path if path is not None and is_spec_path(path) else name


def _print(repo: Repo, stored: StoredRun) -> None:
    from timelab.cli import render

    manifest = stored.manifest()
    title = f"{render.short(manifest.run_id)}  {render.plain(manifest.name)}  {render.word(manifest.status.value)}"
    render.out(render.bold("run ") + title)
    rows = [(f"  {label}", render.plain(value)) for label, value in _facts(manifest) if value]
    render.lines(render.table(rows))
    if manifest.error is not None:
        render.out(f"  error      {manifest.error.slug}: {render.plain(manifest.error.message)}")
    render.out()
    files = [(f"  {render.plain(a.path)}", render.size(a.size_bytes), a.sha256[:12]) for a in manifest.artifacts]
    render.lines(render.table(files))
    if stored.folder is not None:
        there = "" if stored.folder.is_dir() else "  (absent: timelab doctor --repair restores it)"
        render.out(f"\n  {render.plain(str(stored.folder))}{there}")
    if manifest.status.value == "ok":
        _preview(repo, stored, manifest)
    else:
        _last_words(repo, stored)


def _last_words(repo: Repo, stored: StoredRun) -> None:
    """Shows the end of what a failed task said: why it failed is what people look for then."""
    from timelab.cli import render
    from timelab.store.reader import artifact_bytes

    for path in ("logs/stderr.txt", "logs/log.txt"):
        lines = (artifact_bytes(repo, stored, path) or b"")[-PREVIEW_BYTES:].decode("utf-8", "replace").splitlines()
        if lines:
            render.out("\n" + render.dim(f"  ── the end of {path}"))
            for line in lines[-PREVIEW_LINES:]:
                render.out(f"  {render.plain(line)}")
            return


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    from timelab.cli import render

    commit = manifest.git_sha[:12] if manifest.git_sha else "none yet"
    dirty = "  with uncommitted files" if manifest.dirty else ""
    describe = manifest.git_describe if manifest.git_describe and not manifest.git_describe.startswith(commit) else ""
    took = render.duration(manifest.timestamp_start, manifest.timestamp_end)
    shell = manifest.shell
    sandbox = manifest.sandbox
    model = manifest.model
    usage = manifest.usage
    facts = [
        ("id", manifest.run_id),
        ("started", f"{manifest.timestamp_start}  took {took}"),
        ("spec", f"{manifest.spec.path}  blob {manifest.spec.blob[:12]}"),
        ("commit", f"{commit}{dirty}  {describe}".rstrip()),
        ("command", _command_line(manifest)),
        ("exit code", "" if manifest.exit_code is None else str(manifest.exit_code)),
        ("shell", _shell(shell.kind, shell.profile, shell.pinned) + f"  {shell.fingerprint[:12]}"),
        ("sandbox", _sandbox(sandbox.kind, sandbox.network, sandbox.enforced)),
    ]
    if model is not None:
        degraded = f"  instead of {model.requested}" if model.degraded else ""
        params = " ".join(f"{key}={value}" for key, value in model.params.items() if value not in (None, [], ()))
        facts += [("model", f"{model.name}{degraded}"), ("weights", model.hash or "unknown"), ("params", params)]
        facts.append(("tokens", f"{_count(usage.tokens_in)} in, {_count(usage.tokens_out)} out"))
    facts += [
        ("replays", "held to " + manifest.determinism.level if manifest.status.value == "ok" else ""),
        ("replay of", manifest.replay_of or ""),
        ("inputs", "  ".join(item.path for item in manifest.inputs)),
        ("tools", "  ".join(f"{name} {version}" for name, version in sorted(manifest.env.tools.items()))),
        ("system", manifest.env.system),
    ]
    return facts


def _command_line(manifest: Manifest) -> str:
    import shlex

    return shlex.join(manifest.cmd)


def _shell(kind: str, profile: str, pinned: bool) -> str:
    if kind == "self":
        return "timelab's own"
    return f"{kind} {profile}{'' if pinned else ', not pinned'}"


def _sandbox(kind: str, network: str, enforced: bool) -> str:
    if kind == "not-needed":
        return "not needed: this kind runs no code of yours"
    return f"{kind}, network {network}, {'enforced' if enforced else 'NOT enforced'}"


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)


def _preview(repo: Repo, stored: StoredRun, manifest: Manifest) -> None:
    """Shows the beginning of the first small text output, or a model's answers: what most people look for."""
    from timelab.cli import render
    from timelab.store.reader import artifact_bytes

    for artifact in manifest.artifacts:
        if not artifact.path.startswith("output/") or not artifact.media_type.startswith(("text/", "application/json")):
            continue
        data = artifact_bytes(repo, stored, artifact.path) or b""
        lines = data[:PREVIEW_BYTES].decode("utf-8", "replace").splitlines()
        if manifest.task.kind == "llm" and artifact.path == "output/output.jsonl":
            lines = [_answer(line) for line in data.decode("utf-8", "replace").splitlines()[: PREVIEW_LINES + 1]]
        width = shutil.get_terminal_size((100, 24)).columns - 4
        render.out("\n" + render.dim(f"  ── {render.plain(artifact.path)}"))
        for line in lines[:PREVIEW_LINES]:
            shown = render.plain(line)
            render.out("  " + (shown if len(shown) <= width else shown[: width - 1] + "…"))
        if len(data) > PREVIEW_BYTES or len(lines) > PREVIEW_LINES:
            render.out(render.dim("  …"))
        return


def _answer(line: str) -> str:
    """Returns one case of a model's output in short: its number and what was answered."""
    try:
        answer = json.loads(line)
        return f"{answer['case']:>3}  {' '.join(str(answer['output']).split())}"
    except (ValueError, KeyError, TypeError):
        return line
