"""Many writers at once: none lost, none twice, every note line there, and the projections equal the chains."""

from __future__ import annotations

import csv
import multiprocessing
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import Lab, fill, make_lab, projections
from timelab.git import notes
from timelab.git.repo import Repo
from timelab.manifest import Manifest
from timelab.names import Oid
from timelab.store import writer
from timelab.store.index import open_index
from timelab.store.layout import index_path
from timelab.store.reader import runs
from timelab.store.recover import Report, heal, reindex

WRITERS = 8
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Version:
    """Is a commit and the spec's blob there."""

    commit: Oid
    blob: Oid


@pytest.fixture
def lab(repo: Path) -> Lab:
    return make_lab(repo)


def make(lab: Lab, commits: list[Version], number: int) -> tuple[Manifest, dict[str, bytes]]:
    version = commits[number % len(commits)]
    return lab.make(number, git_sha=version.commit, spec_blob=version.blob)


def write_runs(lab: Lab, commits: list[Version], numbers: range, batch: int) -> None:
    """Is one writer: records its runs one by one, or `batch` at a time."""
    repo = Repo(lab.repo.git_dir, lab.repo.common_dir, lab.repo.root)
    own = Lab(repo, lab.git_sha, lab.spec_blob)
    made = [make(own, commits, number) for number in numbers]
    for start in range(0, len(made), batch):
        piece = made[start : start + batch]
        if batch > 1:
            writer.commit_many(repo, piece)
            continue
        for manifest, files in piece:
            staging = fill(repo.timelab_dir / "staging" / manifest.run_id, files)
            run = writer.commit(repo, manifest, staging)
            assert run.run_id == manifest.run_id


def run_writers(lab: Lab, commits: list[Version], each: int, batches: list[int], timeout_s: float) -> None:
    children = [
        FORK.Process(
            target=write_runs, args=(lab, commits, range(n, WRITERS * each, WRITERS), batches[n % len(batches)])
        )
        for n in range(WRITERS)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout_s)
    assert [child.exitcode for child in children] == [0] * WRITERS


def assert_all_there(lab: Lab, commits: list[Version], total: int) -> None:
    wanted = {make(lab, commits, number)[0].run_id for number in range(total)}
    found = list(runs(lab.repo))
    assert Counter(run.run_id for run in found) == Counter(dict.fromkeys(wanted, 1))
    assert lab.git("rev-list", "--count", found[0].ref) == str(total)
    for run in found:
        assert run.folder is not None
        assert (run.folder / "run.json").read_bytes() == run.manifest_bytes
    wanted_lines = Counter(run.manifest_bytes for run in found)
    assert Counter(line for version in commits for line in lines_of(lab, version.commit)) == wanted_lines
    assert Counter(line for version in commits for line in lines_of(lab, version.blob)) == wanted_lines
    sheets = [path.read_text(encoding="utf-8").splitlines() for path in lab.root.glob("*/*/*/runs.csv")]
    listed = [row[0] for sheet in sheets for row in csv.reader(sheet[1:])]
    assert Counter(listed) == Counter(dict.fromkeys(wanted, 1))
    assert heal(lab.repo) == Report()
    before = projections(lab)
    reindex(lab.repo)
    assert projections(lab) == before


def lines_of(lab: Lab, target: Oid) -> list[bytes]:
    return (notes.read_note(lab.repo, target) or b"").splitlines(keepends=True)


def make_commits(lab: Lab, count: int) -> list[Version]:
    """Commits versions of the spec, each of which is run many times."""
    found: list[Version] = []
    for number in range(count):
        commit = lab.commit_file(lab.spec_path, f"timelab: 1\nkind: command\nargv: [echo, v{number}]\n")
        found.append(Version(commit, Oid(lab.git("rev-parse", f"HEAD:{lab.spec_path}"))))
    return found


@pytest.mark.parametrize("batches", [[1], [5], [1, 5]], ids=["one by one", "batches", "both"])
def test_eight_writers_lose_nothing(lab: Lab, batches: list[int]) -> None:
    """G4, T9, K8."""
    commits = make_commits(lab, 3)
    run_writers(lab, commits, 10, batches, 120)
    assert_all_there(lab, commits, WRITERS * 10)


def test_readers_of_a_missing_index_all_see_every_run(lab: Lab) -> None:
    for number in range(5):
        lab.record(number)
    index_path(lab.repo).unlink()
    children = [FORK.Process(target=read_all, args=(lab,)) for _ in range(WRITERS)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * WRITERS


def read_all(lab: Lab) -> None:
    with open_index(lab.repo) as index:
        assert index.count() == 5


@pytest.mark.slow
def test_ten_thousand_runs_over_fifty_commits(lab: Lab) -> None:
    """Design 8: records lost by 8 writers with 10,000 records: 0."""
    commits = make_commits(lab, 50)
    run_writers(lab, commits, 10_000 // WRITERS, [1], 3_600)
    assert_all_there(lab, commits, 10_000)
