"""timelab/git/chain.py: entries in a row, each a run folder, by nobody in particular."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from timelab.errors import DataError, PathError, StoreError
from timelab.git.chain import (
    KEEP,
    REMOTES,
    RUNS,
    append_files,
    append_many,
    append_tree,
    keep,
    read_file,
    tips,
    walk,
    writer_id,
)
from timelab.git.notes import add_lines
from timelab.git.refs import list_refs, read_ref, store_lock
from timelab.git.repo import Repo, commit_state, discover, resolve
from timelab.git.trees import list_tree, write_folder
from timelab.names import Oid

Git = Callable[..., str]
WHEN = datetime(2026, 11, 20, 10, 23, 45, 999999, tzinfo=UTC)

APPEND = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from timelab.git.chain import append_files, append_many, writer_id
from timelab.git.notes import add_lines
from timelab.git.refs import store_lock
from timelab.git.repo import discover
repo, name = discover(Path(sys.argv[1])), sys.argv[2]
when = datetime(2026, 11, 20, tzinfo=UTC)
for number in range(25):
    with store_lock(repo):
        append_files(repo, {"run.json": f"{name}-{number}".encode()}, message="one", when=when)
with store_lock(repo):
    append_many(repo, [({"run.json": f"{name}-{number}".encode()}, "many", when) for number in range(25, 40)])
"""


def _entries(found: Repo) -> list[str]:
    ref = RUNS + writer_id(found)
    tip = read_ref(found, ref)
    assert tip is not None
    return [(read_file(found, entry, "run.json") or b"").decode() for entry in walk(found, tip, ref=ref)]


def test_a_folder_becomes_an_entry_and_touches_nothing_of_the_user_s(repo: Path, tmp_path: Path, git: Git) -> None:
    """A48: the chain holds the run folder whole, run.json at its root."""
    (tmp_path / "run" / "output").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_bytes(b"{}\n")
    (tmp_path / "run" / "output" / "a").write_bytes(b"1\r\n")
    (repo / "staged").write_text("x")
    git("add", "staged", cwd=repo)
    before = [git(*words, cwd=repo) for words in (["rev-parse", "HEAD"], ["status", "--porcelain"], ["branch", "-a"])]
    index = (repo / ".git" / "index").read_bytes()
    found = discover(repo)
    with store_lock(found):
        oid = append_tree(found, write_folder(found, tmp_path / "run"), message="run abc", when=WHEN)
    ref = RUNS + writer_id(found)
    assert git("rev-parse", ref, cwd=repo) == oid
    person = f"timelab|{writer_id(found)}@timelab.invalid|2026-11-20T10:23:45+00:00"
    assert git("log", "--format=%an|%ae|%aI%n%cn|%ce|%cI%n%s", ref, cwd=repo).splitlines() == [
        person,
        person,
        "run abc",
    ]
    entry = next(walk(found, oid, ref=ref))
    assert (entry.kind, entry.parent, entry.ref) == ("run", None, ref)
    assert list(list_tree(found, entry.tree)) == ["output/a", "run.json"]
    assert read_file(found, entry, "output/a") == b"1\r\n"
    assert read_file(found, entry, "output/b") is None
    after = [git(*words, cwd=repo) for words in (["rev-parse", "HEAD"], ["status", "--porcelain"], ["branch", "-a"])]
    assert (after, (repo / ".git" / "index").read_bytes()) == (before, index)
    git("fsck", "--strict", cwd=repo)


def test_many_entries_go_in_as_if_one_by_one(repo: Path, git: Git) -> None:
    found = discover(repo)
    odd = 'output/a "quoted" ü'
    batch = [({"run.json": b"%d" % number, odd: b"\0"}, f"run {number}", WHEN) for number in range(150)]
    with store_lock(found):
        assert append_many(found, []) == []
        many = append_many(found, batch)
    git("update-ref", "-d", RUNS + writer_id(found), cwd=repo)
    with store_lock(found):
        single = [append_files(found, dict(data), message=text, when=when) for data, text, when in batch[:3]]
        assert many[:3] == single, "the very same commits"
        more = append_many(found, batch[3:])
    assert many[3:] == more
    assert _entries(found) == [str(number) for number in reversed(range(150))]
    assert list_refs(found, "refs/timelab/import") == {}
    git("fsck", "--strict", cwd=repo)


def test_a_batch_left_over_from_a_killed_process_is_not_continued(repo: Path, git: Git) -> None:
    found = discover(repo)
    git("update-ref", "refs/timelab/import", "HEAD", cwd=repo)
    with store_lock(found):
        append_many(found, [({"run.json": b"1"}, "m", WHEN)])
    assert _entries(found) == ["1"]
    assert list_refs(found, "refs/timelab/import") == {}


def test_a_batch_with_a_bad_path_changes_nothing(repo: Path) -> None:
    found = discover(repo)
    with store_lock(found), pytest.raises(PathError):
        append_many(found, [({"run.json": b"1"}, "m", WHEN), ({"../x": b"1"}, "m", WHEN)])
    assert tips(found) == {}


def test_six_processes_append_at_once_and_none_is_lost(repo: Path, git: Git) -> None:
    children = [subprocess.Popen([sys.executable, "-c", APPEND, str(repo), str(name)]) for name in range(6)]
    assert [child.wait(timeout=120) for child in children] == [0] * 6
    found = discover(repo)
    assert sorted(_entries(found)) == sorted(f"{name}-{number}" for name in range(6) for number in range(40))
    assert len(tips(found)) == 1, "all drew the same writer id"
    git("fsck", "--strict", cwd=repo)


def test_kinds_are_told_by_the_file_at_the_root(repo: Path, git: Git) -> None:
    found = discover(repo)
    with store_lock(found):
        first = append_files(found, {"run.json": b"{}"}, message="a", when=WHEN)
        append_files(found, {"carry.json": b"{}"}, message="b", when=WHEN)
        tip = append_files(found, {"tombstone.json": b"{}"}, message="c", when=WHEN)
    assert [entry.kind for entry in walk(found, tip, ref="r")] == ["tombstone", "carry", "run"]
    assert [entry.kind for entry in walk(found, tip, ref="r", stop=first)] == ["tombstone", "carry"]
    with pytest.raises(DataError, match="is not an entry of a run chain") as caught:
        list(walk(found, resolve(found, "HEAD"), ref="r"))
    assert caught.value.slug == "not-an-entry"


def test_the_writer_is_drawn_once_and_shared_by_linked_work_trees(repo: Path, tmp_path: Path, git: Git) -> None:
    git("worktree", "add", "-q", str(tmp_path / "linked"), cwd=repo)
    assert writer_id(discover(repo)) == writer_id(discover(tmp_path / "linked"))
    (repo / ".git" / "timelab" / "writer").write_text("Not One\n")
    with pytest.raises(StoreError, match="holds no writer id"):
        writer_id(discover(repo))


def test_a_kept_commit_survives_gc(repo: Path, git: Git) -> None:
    found = discover(repo)
    tree = git("rev-parse", "HEAD^{tree}", cwd=repo)
    lost, kept = (Oid(git("commit-tree", "-m", text, tree, cwd=repo)) for text in ("lost", "kept"))
    keep(found, kept)
    keep(found, kept)
    git("gc", "-q", "--prune=now", cwd=repo)
    assert list_refs(found, KEEP) == {KEEP + kept: kept}
    assert git("cat-file", "-t", kept, cwd=repo) == "commit"
    assert git("cat-file", "-t", lost, cwd=repo, check=False) == ""


def test_tips_are_ours_tracked_ones_and_those_among_branches(repo: Path, git: Git) -> None:
    names = [
        f"{RUNS}aaaa",
        f"{REMOTES}origin/runs/bbbb",
        f"{REMOTES}team/lab/runs/cccc",
        "refs/heads/timelab/runs/dddd",
        "refs/remotes/origin/timelab/runs/eeee",
    ]
    for name in [*names, f"{REMOTES}origin/notes", "refs/heads/runs/x"]:
        git("update-ref", name, "HEAD", cwd=repo)
    assert sorted(tips(discover(repo))) == sorted(names)


def test_a_repository_without_a_branch_can_hold_a_chain(tmp_path: Path, git: Git) -> None:
    git("init", "-q", "--bare", cwd=tmp_path)
    found = discover(tmp_path)
    with store_lock(found):
        append_files(found, {"run.json": b"1"}, message="m", when=WHEN)
    assert _entries(found) == ["1"]


def test_what_a_hook_leaks_leads_nowhere(repo: Path, tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """G2: with another repository's GIT_DIR, index and identity in the environment, ours is written, by nobody."""
    other = tmp_path / "other"
    git("init", "-q", str(other), cwd=tmp_path)
    before = sorted(str(path) for path in (other / ".git").rglob("*"))
    with monkeypatch.context() as leaked:
        leaked.setenv("GIT_DIR", str(other / ".git"))
        leaked.setenv("GIT_WORK_TREE", str(other))
        leaked.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
        leaked.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git" / "objects"))
        leaked.setenv("GIT_COMMITTER_NAME", "Guest")
        leaked.setenv("GIT_AUTHOR_DATE", "2001-01-01T00:00:00Z")
        found = discover(repo)
        assert commit_state(found, resolve(found, "HEAD")).paths == ("README.md",)
        with store_lock(found):
            append_files(found, {"run.json": b"1"}, message="m", when=WHEN)
            append_many(found, [({"run.json": b"2"}, "m", WHEN)])
            add_lines(found, [(resolve(found, "HEAD"), b"line")])
        assert _entries(found) == ["2", "1"]
    assert sorted(str(path) for path in (other / ".git").rglob("*")) == before
    assert git("notes", "--ref", "timelab", "show", "HEAD", cwd=repo) == "line"
    assert git("log", "--format=%an %ad", RUNS + writer_id(found), cwd=repo).count("Guest") == 0
