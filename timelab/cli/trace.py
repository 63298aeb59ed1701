"""`timelab trace`: which run, commit and spec made a file (A16)."""

from __future__ import annotations

import click

from timelab.cli.options import current_repo, json_option, start_directory
from timelab.errors import NotFound, UsageError


@click.command()
@click.argument("artifact", metavar="FILE | SHA256")
@json_option
def command(artifact: str, as_json: bool) -> int:
    """Trace a file back to the runs that made it, their spec, commit and inputs.

    The file is found by its bytes, so a copy with another name anywhere is traced too.
    """
    from timelab.cli import render
    from timelab.store.reader import runs_with_file
    from timelab.views import Origin

    repo = current_repo()
    digest = _digest(artifact)
    origins = []
    for stored in runs_with_file(repo, digest):
        manifest = stored.manifest()
        for item in manifest.artifacts:
            if item.sha256 == digest:
                role = item.path.partition("/")[0]
                origins.append(
                    Origin(
                        artifact=item.path,
                        role="made" if role == "output" else role,
                        run_id=manifest.run_id,
                        status=manifest.status.value,
                        timestamp_start=manifest.timestamp_start,
                        spec_path=manifest.spec.path,
                        spec_blob=manifest.spec.blob,
                        git_sha=manifest.git_sha,
                        flake_lock_sha256=manifest.flake_lock_sha256,
                        shell_fingerprint=manifest.shell.fingerprint,
                        model=manifest.model.name if manifest.model else None,
                        inputs=tuple(each.path for each in manifest.inputs),
                    )
                )
    if not origins:
        raise NotFound(f"no run has a file with these bytes (sha256 {digest[:12]}…)", hint="timelab sync, then again")
    origins.sort(key=lambda each: (each.role != "made", each.timestamp_start, each.run_id))
    if as_json:
        render.emit_json(origins)
        return 0
    for origin in origins:
        made = f"{origin.role} by run {render.bold(render.short(origin.run_id))}"
        render.out(f"{render.plain(origin.artifact)}  {made}  {origin.timestamp_start}")
        render.out(f"  spec    {render.plain(origin.spec_path)}  blob {origin.spec_blob[:12]}")
        render.out(f"  commit  {origin.git_sha or 'none'}")
        if origin.model:
            render.out(f"  model   {render.plain(origin.model)}")
        for path in origin.inputs:
            render.out(f"  input   {render.plain(path)}")
    return 0


def _digest(artifact: str) -> str:
    from timelab.canonical import sha256_file

    path = start_directory() / artifact
    if path.is_file():
        return sha256_file(path)
    if path.is_dir():
        raise UsageError(f"{artifact or '.'} is a folder", hint="name a file in it")
    text = artifact.removeprefix("sha256:").lower()
    if len(text) == 64 and all(sign in "0123456789abcdef" for sign in text):
        return text
    raise UsageError(f"no such file, and no sha256: {artifact}")
