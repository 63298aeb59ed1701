"""`timelab watch`: follow queue and runs until they are done."""

from __future__ import annotations

import time

import click

from timelab.cli.options import current_repo

LOOK_EVERY_S = 0.2


@click.command()
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), default=None, help="Give up after so many seconds."
)
def command(timeout_s: float | None) -> int:
    """Print each run as it ends, and return when nothing is queued or running any more.

    \b
    Exit code: 0 if every run that ended meanwhile is ok, else 70; also 70 when the time is up.
    """
    from timelab import queue
    from timelab.cli import render
    from timelab.cli.run import print_complaint
    from timelab.store.index import open_index
    from timelab.store.standing import running

    repo = current_repo()
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with open_index(repo) as index:
        seen = {row.run_id for row in index.select(limit=1_000)}
    code, restarted, has_waited = 0, False, False
    while True:
        entries, staged = queue.entries(repo), running(repo)
        with open_index(repo) as index:
            fresh = [row for row in reversed(index.select(limit=1_000)) if row.run_id not in seen]
        for row in fresh:
            seen.add(row.run_id)
            code = max(code, 0 if row.status == "ok" else 70)
            reason = f"  {row.error_slug}" if row.error_slug else ""
            render.out(f"{render.short(row.run_id)}  {render.word(row.status)}  {render.plain(row.name)}{reason}")
            if repo.root is not None:
                folder = repo.root / row.artifacts_path
                if row.status != "ok":
                    print_complaint(folder)
                render.out(f"  {render.plain(str(folder))}")
        if not entries and not staged:
            if not has_waited and not fresh:
                render.talk("timelab: nothing queued, nothing running")
            return code
        has_waited = True
        if not restarted and entries and not staged and all(entry.state == "queued" for entry in entries):
            restarted = True
            _start_worker(repo)
        if deadline is not None and time.monotonic() > deadline:
            jobs, runs = render.many(len(entries), "job"), render.many(len(staged), "run")
            render.talk(f"timelab: still {jobs} in the queue, {runs} under way")
            return 70
        time.sleep(LOOK_EVERY_S)


def _start_worker(repo: object) -> None:
    """Starts a worker if the hook's own was lost: a machine that went down, a process that was killed."""
    import sys

    from timelab.git.repo import Repo
    from timelab.process import base_env, spawn_detached

    assert isinstance(repo, Repo)
    command = [sys.executable, "-m", "timelab", "-C", str(repo.root or repo.common_dir), "work"]
    spawn_detached(command, cwd=repo.root or repo.common_dir, env=base_env())
