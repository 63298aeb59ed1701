"""timelab/git/refs.py: compare-and-swap, whoever else writes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from timelab.errors import GitError, StoreError
from timelab.git.refs import list_refs, read_ref, store_lock, swap_ref
from timelab.git.repo import discover, resolve
from timelab.names import Oid

Git = Callable[..., str]
NAME = "refs/timelab/runs/abcd"

CREATE = """
import sys
from pathlib import Path
from timelab.errors import GitError
from timelab.git.refs import swap_ref
from timelab.git.repo import discover
from timelab.names import Oid
try:
    swap_ref(discover(Path(sys.argv[1])), "refs/timelab/runs/abcd", Oid(sys.argv[2]), None)
except GitError as error:
    assert error.slug == "ref-moved", error
    sys.exit(7)
"""


def _commits(repo: Path, git: Git, count: int) -> list[Oid]:
    tree = git("rev-parse", "HEAD^{tree}", cwd=repo)
    return [Oid(git("commit-tree", "-m", str(number), tree, cwd=repo)) for number in range(count)]


def test_a_ref_is_created_moved_and_deleted_only_from_the_value_named(repo: Path, git: Git) -> None:
    found = discover(repo)
    one, two, three = _commits(repo, git, 3)
    swap_ref(found, NAME, None, None)
    swap_ref(found, NAME, one, None)
    assert read_ref(found, NAME) == one
    swap_ref(found, NAME, two, one)
    assert git("rev-parse", NAME, cwd=repo) == two
    for new, old in ((three, one), (three, None), (None, one), (None, None)):
        with pytest.raises(GitError) as caught:
            swap_ref(found, NAME, new, old)
        assert caught.value.slug == "ref-moved"
    assert read_ref(found, NAME) == two
    swap_ref(found, NAME, None, two)
    assert read_ref(found, NAME) is None
    with pytest.raises(GitError) as caught:
        swap_ref(found, NAME, one, two)
    assert caught.value.slug == "ref-moved"


def test_packed_refs_are_read_and_moved(repo: Path, git: Git) -> None:
    found = discover(repo)
    one, two, three = _commits(repo, git, 3)
    swap_ref(found, NAME, one, None)
    git("pack-refs", "--all", cwd=repo)
    assert not (repo / ".git" / NAME).exists()
    assert read_ref(found, NAME) == one
    swap_ref(found, NAME, two, one)
    git("pack-refs", "--all", cwd=repo)
    git("update-ref", NAME, three, two, cwd=repo)
    assert read_ref(found, NAME) == three
    swap_ref(found, NAME, one, three)
    git("pack-refs", "--all", cwd=repo)
    swap_ref(found, NAME, None, one)
    assert read_ref(found, NAME) is None


def test_refs_are_listed_by_prefix_and_symbolic_ones_followed(repo: Path, git: Git) -> None:
    found = discover(repo)
    head = resolve(found, "HEAD")
    git("update-ref", NAME, head, cwd=repo)
    git("symbolic-ref", "refs/timelab/alias", NAME, cwd=repo)
    assert list_refs(found, "refs/timelab/runs/") == {NAME: head}
    assert list_refs(found, "refs/nothing/") == {}
    assert read_ref(found, "refs/timelab/alias") == head


def test_only_one_of_six_processes_creates_a_ref(repo: Path, git: Git) -> None:
    commits = _commits(repo, git, 6)
    children = [subprocess.Popen([sys.executable, "-c", CREATE, str(repo), oid]) for oid in commits]
    codes = [child.wait(timeout=60) for child in children]
    assert sorted(codes) == [0, 7, 7, 7, 7, 7]
    assert read_ref(discover(repo), NAME) == commits[codes.index(0)]


def test_the_lock_of_a_killed_process_does_not_stop_us_for_ever(repo: Path, git: Git) -> None:
    found = discover(repo)
    one, two = _commits(repo, git, 2)
    swap_ref(found, NAME, one, None)
    lock = repo / ".git" / f"{NAME}.lock"
    lock.write_text("")
    old = time.time() - 60
    os.utime(lock, (old, old))
    swap_ref(found, NAME, two, one)
    assert read_ref(found, NAME) == two


def test_the_lock_of_somebody_else_s_ref_is_left_alone(repo: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timelab.git.refs._BUSY_TRIES", 2)
    found = discover(repo)
    one, two = _commits(repo, git, 2)
    swap_ref(found, "refs/other/x", one, None)
    lock = repo / ".git" / "refs" / "other" / "x.lock"
    lock.write_text("")
    os.utime(lock, (1, 1))
    with pytest.raises(GitError, match="cannot update refs/other/x"):
        swap_ref(found, "refs/other/x", two, one)
    assert lock.exists()


def test_the_store_lock_is_held_by_one(repo: Path) -> None:
    found = discover(repo)
    with store_lock(found), pytest.raises(StoreError, match="was held"), store_lock(found, timeout_s=0.05):
        pass
