from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tests.conftest import Git
from timelab.git import trees
from timelab.git.raw import Damaged, Missing, RawObjects
from timelab.git.repo import Repo, discover
from timelab.names import Oid


@pytest.fixture
def here(repo: Path) -> Repo:
    return discover(repo)


def place(repo: Repo, oid: str) -> Path:
    path = repo.common_dir / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    return path


def test_loose_and_packed_objects_read_the_same(here: Repo, git: Git, repo: Path) -> None:
    head = Oid(git("rev-parse", "HEAD", cwd=repo))
    raw = RawObjects(here)
    tree, parents = raw.commit(head)
    assert (tree, parents) == (git("rev-parse", "HEAD^{tree}", cwd=repo), ())
    blob = raw.tree(tree)[b"README.md"].oid
    assert raw.blob(blob) == b"a repository of a user\n"
    git("gc", "-q", "--prune=now", cwd=repo)
    packed = RawObjects(here)
    assert packed.commit(head) == (tree, ())
    assert packed.blob(blob) == b"a repository of a user\n"


def test_what_was_read_before_is_not_believed(here: Repo) -> None:
    """B3: libgit2 keeps small trees and commits in memory."""
    tree = trees.write_tree(here, {"a": b"1"})
    assert trees.read_tree(here, tree)
    place(here, tree).write_bytes(zlib.compress(b"tree 3\0xyz"))
    with pytest.raises(Damaged):
        RawObjects(here).tree(tree)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not zlib",
        zlib.compress(b"blob 1\x002"),
        zlib.compress(b"blob 2\x001"),
        zlib.compress(b"blub 1\x001"),
        zlib.compress(b"tree 1\x001"),
        zlib.compress(b"blob 1\x001") + b"more",
        zlib.compress(b"blob 1\x001")[:-1],
    ],
)
def test_damage_of_every_kind_is_one_error(here: Repo, data: bytes) -> None:
    blob = trees.write_blob(here, b"1")
    assert RawObjects(here).blob(blob) == b"1"
    place(here, blob).write_bytes(data)
    with pytest.raises(Damaged):
        RawObjects(here).blob(blob)


def test_an_object_that_is_not_here_is_missing(here: Repo) -> None:
    with pytest.raises(Missing):
        RawObjects(here).blob("1" * 40)


def test_a_commit_or_tree_that_git_would_not_write_is_damaged(here: Repo) -> None:
    commit = trees.write_object(here, trees.COMMIT, b"no tree here\n")
    tree = trees.write_object(here, trees.TREE, b"100644 a\0short")
    with pytest.raises(Damaged):
        RawObjects(here).commit(commit)
    with pytest.raises(Damaged):
        RawObjects(here).tree(tree)
    with pytest.raises(Damaged):
        RawObjects(here).blob(commit)
