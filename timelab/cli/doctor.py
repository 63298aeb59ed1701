"""`timelab doctor`: find what is wrong with set-up and records; `--repair` heals it from the chains."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option

if TYPE_CHECKING:
    from timelab.git.repo import Repo
    from timelab.views import Check


@click.command()
@click.option("--repair", is_flag=True, help="Finish or set aside what was cut off, restore folders, rebuild the rest.")
@json_option
def command(repair: bool, as_json: bool) -> int:
    """Look at hooks, notes, queue and every record, and say what to do about what is wrong.

    \b
    Exit code: 0 when all is well (or was repaired), 65 when a record is wrong.
    """
    from timelab.cli import render
    from timelab.store.rebuild import reindex, restore_folders
    from timelab.store.recover import heal

    repo = current_repo()
    if repair:
        healed = heal(repo)
        for run_id in healed.finished:
            render.talk(f"timelab: finished the record of run {run_id[:8]}")
        for left in healed.abandoned:
            render.talk(f"timelab: run {left.run_id[:8]} was cut off before its record; its files are in {left.path}")
        restored = restore_folders(repo)
        for folder in restored.folders:
            render.talk(f"timelab: restored {render.plain(folder)}")
        for place in restored.moved:
            render.talk(f"timelab: what stood there before is now in {render.plain(str(place))}")
        for refused in restored.refused:
            render.talk(f"timelab: not restored: {render.plain(refused)}")
        reindex(repo)
    checks = list(_checks(repo))
    if as_json:
        render.emit_json(checks)
    else:
        rows = [(render.word(check.state), check.what, render.plain(check.detail)) for check in checks]
        render.lines(render.table(rows))
        for check in checks:
            if check.heal and check.state != "passed":
                render.talk(f"hint: {check.heal}")
    return 65 if any(check.state == "wrong" for check in checks) else 0


def _checks(repo: Repo) -> Iterator[Check]:
    yield from _set_up(repo)
    yield from _records(repo)


def _set_up(repo: Repo) -> Iterator[Check]:
    from timelab.git import hooks
    from timelab.git.config import get_config
    from timelab.git.program import MIN_GIT, version
    from timelab.views import Check

    found = version()
    is_new = found >= MIN_GIT
    words = ".".join(map(str, found))
    yield Check("git", "passed" if is_new else "wrong", words, None if is_new else "install a newer git")
    if repo.root is not None:
        state = hooks.state(repo)
        detail = "installed" if state.is_whole else "missing or not ours: commits do not run specs here"
        yield Check(
            "hooks", "passed" if state.is_whole else "unknown", detail, None if state.is_whole else "timelab init"
        )
    shown = get_config(repo, "core.notesRef") == "refs/notes/timelab"
    detail = "`git notes show` prints records" if shown else "records show with `git notes --ref timelab show`"
    yield Check("notes", "passed", detail, None)
    yield from _remotes(repo)
    yield from _secrets(repo)


def _remotes(repo: Repo) -> Iterator[Check]:
    from timelab.views import Check

    for remote in repo.git(["remote"]).stdout.decode("utf-8", "replace").split():
        specs = repo.git(["config", "--get-all", f"remote.{remote}.fetch"], check=False).stdout
        if b":refs/timelab/remotes/" in specs:
            detail = f"a plain git fetch from {remote} can drop records that were fetched before"
            yield Check("remote", "wrong", detail, "timelab init")
        else:
            yield Check("remote", "passed", f"timelab sync brings the records of {remote}", None)


def _secrets(repo: Repo) -> Iterator[Check]:
    """Looks at `secrets/`: outside of git, and for nobody else (A185, A186)."""
    from timelab.views import Check

    folder = repo.root / "secrets" if repo.root is not None else None
    if folder is None or not folder.is_dir():
        return
    open_to = stat.S_IMODE(folder.stat().st_mode) & 0o077
    yield Check(
        "secrets",
        "wrong" if open_to else "passed",
        f"secrets/ is {stat.S_IMODE(folder.stat().st_mode):04o}",
        "chmod 700 secrets" if open_to else None,
    )
    ignored = repo.git(["check-ignore", "-q", "secrets/x"], check=False).code == 0
    yield Check(
        "secrets", "passed" if ignored else "wrong", "ignored by git" if ignored else "not ignored by git",
        None if ignored else "echo /secrets/ >> .gitignore",
    )  # fmt: skip


def _records(repo: Repo) -> Iterator[Check]:
    from timelab import queue
    from timelab.store.layout import quarantine_folder
    from timelab.store.standing import set_aside, unfinished
    from timelab.verify import NOTHING_CHECKED, verify
    from timelab.views import Check

    left = unfinished(repo)
    were = "run was" if len(left) == 1 else "runs were"
    detail = f"{len(left)} {were} cut off" if left else "nothing half done"
    yield Check("journal", "wrong" if left else "passed", detail, "timelab doctor --repair" if left else None)
    for run_id in set_aside(repo):
        # No command takes it away: what it left is for the user to look at.
        detail = f"run {run_id[:8]} was cut off and left no record"
        yield Check("quarantine", "unknown", detail, f"rm -r {shlex.quote(str(quarantine_folder(repo) / run_id))}")
    jobs = queue.entries(repo)
    waiting = [entry for entry in jobs if entry.state == "queued"]
    yield Check("queue", "passed", f"{len(waiting)} queued, {len(jobs) - len(waiting)} running", None)
    report = verify(repo)
    if [finding.what for finding in report.findings] == [NOTHING_CHECKED]:
        # For verify that is a failure; a notebook may be empty.
        yield Check("records", "passed", "no runs yet", None)
        return
    for finding in report.findings:
        yield Check("records", "wrong", f"{finding.place}: {finding.what}", finding.heal)
    if not report.findings:
        yield Check("records", "passed", f"{report.runs} run{'' if report.runs == 1 else 's'} verified", None)
