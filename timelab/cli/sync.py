"""`timelab sync`: exchange records with a remote."""

from __future__ import annotations

import click

from timelab.cli.options import current_repo, json_option, settings_of


@click.command()
@click.argument("remote", required=False, default=None)
@click.option("--include-amended", is_flag=True, help="Also push runs whose commit was amended away.")
@json_option
def command(remote: str | None, include_amended: bool, as_json: bool) -> int:
    """Fetch records from REMOTE (origin), form the union, push ours. Nothing is ever forced."""
    from timelab.cli import render
    from timelab.errors import UsageError
    from timelab.git.sync import sync
    from timelab.store.rebuild import refresh
    from timelab.store.recover import heal

    repo = current_repo()
    known = repo.git(["remote"]).stdout.decode("utf-8", "replace").split()
    if not known:
        raise UsageError("this repository has no remote", hint="git remote add origin URL")
    name = remote or ("origin" if "origin" in known else known[0])
    heal(repo)
    report = sync(repo, name, prefix=settings_of(repo).sync_prefix, include_amended=include_amended)
    refresh(repo)
    if as_json:
        render.emit_json(report)
        return 0
    render.talk(f"timelab: {render.plain(name)}: {render.many(report.fetched, 'run')} fetched, {report.pushed} pushed")
    if report.parted is not None:
        render.talk(f"timelab: this clone is a copy; from now on it writes as {report.parted[1]}")
    if report.lagging:
        many = render.many(len(report.lagging), "chain")
        which = ", ".join(f"{lag.writer[:8]} {lag.state}" for lag in report.lagging)
        render.talk(f"timelab: {render.plain(name)} lost entries of {many} ({render.plain(which)}); ours stay")
        render.talk("hint: timelab sync in the clone that wrote them gives them back")
    for kept in report.withheld:
        render.talk(f"timelab: run {kept.run_id[:8]} stays here: its commit {kept.commit[:8]} is on no branch")
    if report.withheld:
        render.talk("hint: timelab sync --include-amended, or timelab forget RUN")
    return 0
