"""`timelab verify`: do the records agree with themselves, with git, and with their copies?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, repo_path

if TYPE_CHECKING:
    from timelab.git.repo import Repo
    from timelab.views import Finding, Step, VerifyReport

MOST_SHOWN = 20


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN | RANGE | PATH]...")
@click.option("--quiet", is_flag=True, help="Print only what is wrong.")
@json_option
def command(names: tuple[str, ...], quiet: bool, as_json: bool) -> int:
    """Check records in numbered steps, on the bytes as they lie there; all of them, or those that are named.

    A name is a run, a commit, a range of commits (`A..B`), a spec's path, or a run folder. Works offline and in a bare
    clone. A commit that is not here is `unknown`, a run folder that is not here `absent`; neither is a fault.

    \b
    Exit code: 0 all is well, 65 something is wrong or nothing was checked.
    """
    from timelab.cli import render
    from timelab.cli.progress import Progress
    from timelab.errors import VerificationError
    from timelab.verify import verify

    repo = current_repo()
    progress = Progress()
    try:
        report = verify(
            repo,
            [_as_named(repo, name) for name in names] or None,
            progress=lambda done, total: progress("verify", done, total),
        )
    finally:
        progress.clear()
    if as_json:
        render.emit_json(report)
    else:
        _print(report, quiet)
    return 0 if report.ok else VerificationError.exit_code


def _as_named(repo: Repo, name: str) -> str:
    """Returns a path as typed as the reader wants it: a run folder (or a file in one) or a spec, from the root."""
    from timelab.plan import is_spec_path
    from timelab.store.layout import RUN_FOLDER

    path = repo_path(repo, name)
    if path is None:
        return name
    folder = RUN_FOLDER.match(path)
    if folder is not None:
        return folder.group()
    return path if is_spec_path(path) else name


def _print(report: VerifyReport, quiet: bool) -> None:
    from timelab.cli import render

    if not quiet:
        render.lines(render.table([_row(step) for step in report.steps]))
        for warning in report.warnings[:MOST_SHOWN]:
            _say("warning", warning)
        if len(report.warnings) > MOST_SHOWN:
            render.out(f"… and {len(report.warnings) - MOST_SHOWN} more warnings: --json lists all")
    for finding in report.findings[:MOST_SHOWN]:
        _say("wrong", finding)
    if len(report.findings) > MOST_SHOWN:
        render.out(f"… and {len(report.findings) - MOST_SHOWN} more findings: --json lists all")
    if report.ok and quiet:
        return
    signed = "" if report.is_signed else ", unsigned"
    what = f"{render.many(report.runs, 'run')} in {render.many(report.chains, 'chain')}{signed}"
    verdict = "all is well" if report.ok else f"{render.many(len(report.findings), 'finding')}"
    render.talk(f"timelab: {what}: {verdict}")


def _row(step: Step) -> tuple[str, ...]:
    from timelab.cli import render

    counts = [(step.wrong, "wrong"), (step.unknown, "unknown"), (step.absent, "absent")]
    told = ", ".join(f"{number} {name}" for number, name in counts if number and (name != step.result or number > 1))
    result = render.word(step.result)
    unit = {"entries": "entry"}.get(step.unit, step.unit[:-1]) if step.checked == 1 else step.unit
    return (f"{step.number:>2}", step.name, f"{step.checked:>6} {unit}", result + (f" ({told})" if told else ""))


def _say(label: str, finding: Finding) -> None:
    from timelab.cli import render

    run = f"run {render.short(finding.run_id)}, " if finding.run_id else ""
    colour = render.word(label)
    render.out(f"{colour}: step {finding.step}: {run}{render.plain(finding.place)}: {render.plain(finding.what)}")
    if finding.heal:
        render.out(f"  heal: {render.plain(finding.heal)}")
