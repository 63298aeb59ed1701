"""`timelab status`: what is queued, running, held or broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option

if TYPE_CHECKING:
    from timelab.git.repo import Repo
    from timelab.views import StatusView

LAST_RUNS = 5


@click.command()
@click.option("--all", "whole", is_flag=True, help="Also look through history for spec versions without a record.")
@json_option
def command(whole: bool, as_json: bool) -> int:
    """Say what the queue holds, what waits for consent, and how the last runs ended."""
    from timelab.cli import render

    repo = current_repo()
    view = status_of(repo, whole=whole)
    if as_json:
        render.emit_json(view)
        return 0
    print_status(view)
    if view.is_deaf:
        render.talk("hint: commits run nothing here yet: timelab init")
    return 0


def status_of(repo: Repo, *, whole: bool = False) -> StatusView:
    """Returns the state of queue, consent and last runs; `whole` reconciles history too, which reads every spec."""
    from timelab import queue
    from timelab.git import hooks
    from timelab.store.index import open_index
    from timelab.store.standing import set_aside, unfinished
    from timelab.views import JobView, LastRun, StatusView, WaitingView

    jobs = tuple(
        JobView(
            state=entry.state,
            commit=entry.job.commit,
            hook=entry.job.hook,
            attempts=entry.job.attempts,
            pid=entry.pid,
        )
        for entry in queue.entries(repo)
    )
    waiting = {(held.spec_path, held.commit): held.reason for held in queue.held(repo)}
    if whole:
        waiting.update(_without_record(repo))
    with open_index(repo) as index:
        last = tuple(
            LastRun(row.run_id, row.timestamp_start, row.status, row.name, row.error_slug)
            for row in index.select(limit=LAST_RUNS)
        )
    return StatusView(
        jobs=jobs,
        waiting=tuple(WaitingView(path, commit, reason) for (path, commit), reason in waiting.items()),
        unfinished=tuple(unfinished(repo)),
        is_deaf=repo.root is not None and not hooks.state(repo).is_whole,
        set_aside=tuple(set_aside(repo)),
        last=last,
    )


def _without_record(repo: Repo) -> dict[tuple[str, str], str]:
    from timelab.cli.services import services_for
    from timelab.pending import earlier_run, hold_reason, pending, unknown_files
    from timelab.store.index import open_index
    from timelab.trust import open_allow_list

    services = services_for(repo)
    allowed = open_allow_list(repo)
    found: dict[tuple[str, str], str] = {}
    with open_index(repo) as index:
        for candidate in pending(repo, services):
            if earlier_run(repo, index, candidate) is None:
                unknown = unknown_files(allowed, candidate)
                reason = hold_reason(candidate, unknown) if unknown else "has no record: timelab run --pending"
                found[(candidate.path, candidate.commit)] = reason
    return found


def print_status(view: StatusView) -> None:
    """Prints the state for people."""
    from timelab.cli import render

    if not view.jobs and not view.waiting and not view.unfinished:
        render.out("nothing queued, nothing running, nothing held")
    for job in view.jobs:
        worker = f"  worker {job.pid}" if job.pid else ""
        tries = f"  attempt {job.attempts}" if job.attempts > 1 else ""
        render.out(f"{render.word(job.state)}  {render.short(job.commit)}  {job.hook}{worker}{tries}")
    for each in view.waiting:
        place = f"{render.short(each.commit)}  {render.plain(each.path)}"
        render.out(f"{render.word('held')}  {place}  {render.plain(each.reason)}")
    for name in view.unfinished:
        render.out(f"{render.word('wrong')}  {name}  a run was cut off: timelab doctor --repair")
    for name in view.set_aside:
        render.out(f"{render.word('unknown')}  {name}  a run was cut off and left no record: timelab doctor")
    if view.last:
        render.out()
        render.out(render.dim("last runs"))
    rows = []
    for row in view.last:
        error = f"{row.error_slug}" if row.error_slug else ""
        stamp = render.when(row.timestamp_start)
        rows.append((f"  {render.short(row.run_id)}", stamp, render.word(row.status), render.plain(row.name), error))
    render.lines(render.table(rows))
