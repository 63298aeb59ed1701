"""`timelab check`: validates specs without running them; with `--staged`, what is about to be committed."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, repo_path, settings_of, start_directory
from timelab.errors import NotARepository, SpecError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from timelab.check import CheckReport, Judges, Tree
    from timelab.errors import Problem
    from timelab.git.repo import Repo
    from timelab.spec.document import Pointer
    from timelab.spec.model import LlmSpec

_MAX_REMARKS = 10


@click.command(name="check")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--staged", is_flag=True, help="Look at what is about to be committed, as the pre-commit hook does.")
@json_option
def command(paths: tuple[str, ...], staged: bool, as_json: bool) -> None:
    """Validate specs, and the files they name, without running anything.

    Without a PATH every spec of the work tree is checked. A PATH that is a folder stands for the specs in it; one that
    is a file is taken as a spec whatever its place. One line for each problem; exit code 65 if there is any.
    """
    if staged and paths:
        raise UsageError("--staged takes no PATH")
    report = _check_staged(current_repo()) if staged else _check_paths(paths)
    if as_json:
        from timelab.cli.render import emit_json

        emit_json(report)
    else:
        _print(report)
    if report.problems:
        click.get_current_context().exit(SpecError.exit_code)


def _print(report: CheckReport) -> None:
    from timelab.cli.render import plain

    for problem in report.problems:
        click.echo(plain(f"{problem} ({problem.hint})" if problem.hint else str(problem)))
    for remark in report.remarks[:_MAX_REMARKS]:
        click.echo(plain(f"{remark} ({remark.hint})" if remark.hint else str(remark)), err=True)
    if len(report.remarks) > _MAX_REMARKS:
        click.echo(f"and {len(report.remarks) - _MAX_REMARKS} more like this", err=True)
    noun = "spec" if report.checked == 1 else "specs"
    if report.problems:
        click.echo(f"timelab: {len(report.problems)} wrong in {report.checked} {noun}", err=True)
    elif report.checked:
        click.echo(f"timelab: {report.checked} {noun} fine", err=True)


def judges() -> Judges:
    """Returns what those know who do the work: which prompts a run would refuse, and which providers there are."""
    from timelab.check import Judges

    return Judges(_prompts, _has_provider)


def _prompts(
    spec: LlmSpec, read: Callable[[str], bytes | None], locate: Callable[[Pointer, str, str | None], Problem]
) -> list[Problem]:
    from timelab.executors.prompts import prompt_problems

    return prompt_problems(spec, read, locate)


def _has_provider(name: str) -> bool:
    # Its engine is the only one that comes as an extra.
    return name != "llamacpp" or importlib.util.find_spec("xllamacpp") is not None


def _check_staged(repo: Repo) -> CheckReport:
    from timelab.check import CheckReport, Tree, check_secrets, check_specs, check_staged_paths
    from timelab.git.listing import Index
    from timelab.spec.paths import is_spec_path

    # The index of the commit being made is not the usual one with `git commit -a`: our stub hands it on by the first
    # name; under the pre-commit framework it is git's own.
    given = os.environ.get("TIMELAB_INDEX_FILE") or os.environ.get("GIT_INDEX_FILE")
    index = Index(repo, start_directory() / given if given else None)
    if not index.changed:
        return CheckReport(0, ())
    every = index.paths if any(path.endswith("flake.lock") for path in index.changed) else ()
    problems = check_staged_paths(index.changed, every)
    for path in index.changed:
        if path.rpartition("/")[2].startswith(".env.") and not any(problem.path == path for problem in problems):
            problems += check_secrets(index.read(path) or b"", path)
    patterns = settings_of(repo).spec_patterns
    specs = [path for path in index.changed if is_spec_path(path, patterns)]
    if not specs:
        return CheckReport(0, problems)
    report = check_specs(specs, Tree(index.paths, index.is_file, index.read), judges(), scan=True)
    return CheckReport(report.checked, (*problems, *report.problems), report.remarks)


def _check_paths(paths: tuple[str, ...]) -> CheckReport:
    from timelab.check import Tree
    from timelab.git.listing import WorkTree

    try:
        repo = current_repo()
    except NotARepository:
        if not paths:
            raise
        repo = None
    if repo is None or repo.root is None:
        if not paths:
            raise NotARepository("this repository has no work tree", hint="timelab check FILE…")
        return _sum([_check_file(path, path, None) for path in paths])
    files = WorkTree(repo.root, repo)
    tree = Tree(files.paths, files.is_file, files.read)
    if not paths:
        return _check_folder(repo, tree, "")
    reports: list[CheckReport] = []
    for path in paths:
        inside = repo_path(repo, path)
        if (start_directory() / path).is_dir() and inside is not None:
            reports.append(_check_folder(repo, tree, "" if inside == "." else f"{inside}/"))
        else:
            reports.append(_check_file(path, inside or path, tree if inside else None))
    return _sum(reports)


def _check_folder(repo: Repo, tree: Tree, folder: str) -> CheckReport:
    from timelab.check import CheckReport, check_specs, check_staged_paths
    from timelab.spec.paths import is_spec_path

    patterns = settings_of(repo).spec_patterns
    report = check_specs(
        [path for path in tree.paths if path.startswith(folder) and is_spec_path(path, patterns)], tree, judges()
    )
    locks = [path for path in tree.paths if path.startswith(folder) and path.endswith("/flake.lock")]
    return CheckReport(report.checked, (*check_staged_paths(locks, tree.paths), *report.problems), report.remarks)


def _check_file(given: str, name: str, tree: Tree | None) -> CheckReport:
    from timelab.check import CheckReport, check_spec, not_a_file

    full = start_directory() / given
    if full.is_symlink() or (full.exists() and not full.is_file()):
        return CheckReport(1, (not_a_file(name),))
    try:
        data = full.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise UsageError(f"no such file: {ascii(given)[1:-1][:200]}") from error
    return check_spec(data, name, tree, judges(), given_by_hand=True)


def _sum(reports: list[CheckReport]) -> CheckReport:
    from timelab.check import CheckReport

    problems = tuple(problem for report in reports for problem in report.problems)
    remarks = tuple(remark for report in reports for remark in report.remarks)
    return CheckReport(sum(report.checked for report in reports), problems, remarks)
