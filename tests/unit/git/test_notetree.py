"""timelab/git/notetree.py: the shapes that git gives a tree of notes, read and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from timelab.git.notes import NOTES, add_lines, join_lines, read_note, remove_lines, targets
from timelab.git.notetree import NoteTree
from timelab.git.refs import store_lock
from timelab.git.repo import Repo, discover
from timelab.git.trees import FILE, FOLDER, TreeEntry, blob_oid, list_tree, write_blob, write_entries, write_object
from timelab.names import Oid

Git = Callable[..., str]


def _targets(count: int, start: int = 0) -> list[Oid]:
    return [blob_oid(str(number).encode()) for number in range(start, start + count)]


def _add(found: Repo, wanted: list[Oid]) -> None:
    with store_lock(found):
        add_lines(found, [(target, b"note of " + target.encode()) for target in wanted])


def _shape(repo: Path, git: Git) -> set[int]:
    return {path.count("/") for path in git("ls-tree", "-r", "--name-only", NOTES, cwd=repo).splitlines()}


def _git_writes_one(repo: Path, git: Git) -> None:
    (repo / "late").write_text("late")
    git("notes", "--ref", "timelab", "add", "-m", "late", git("hash-object", "-w", "late", cwd=repo), cwd=repo)


@pytest.mark.parametrize(("count", "depths"), [(10, {0}), (300, {1}), (10_000, {1})])
def test_git_reads_every_note_and_would_choose_the_same_shape(
    count: int, depths: set[int], repo: Path, git: Git
) -> None:
    found = discover(repo)
    wanted = _targets(count)
    _add(found, wanted[:-1])
    _add(found, wanted[-1:])
    assert _shape(repo, git) == depths
    listed = dict(line.split()[::-1] for line in git("notes", "--ref", "timelab", "list", cwd=repo).splitlines())
    assert sorted(listed) == sorted(wanted) == targets(found)
    assert git("notes", "--ref", "timelab", "show", wanted[7], cwd=repo) == f"note of {wanted[7]}"
    before = set(git("ls-tree", "-r", NOTES, cwd=repo).splitlines())
    _git_writes_one(repo, git)
    after = set(git("ls-tree", "-r", NOTES, cwd=repo).splitlines())
    assert before <= after, "git moved none of ours when it wrote one more"
    git("fsck", "--strict", cwd=repo)


def test_one_by_one_gives_the_same_tree_as_all_at_once(repo: Path, tmp_path: Path, git: Git) -> None:
    git("init", "-q", "--bare", str(tmp_path / "other"), cwd=tmp_path)
    one, other = discover(repo), discover(tmp_path / "other")
    wanted = _targets(160)
    for target in wanted:
        _add(one, [target])
    _add(other, wanted)
    assert git("rev-parse", f"{NOTES}^{{tree}}", cwd=repo) == git(
        "rev-parse", f"{NOTES}^{{tree}}", cwd=other.common_dir
    )


def _place(found: Repo, places: dict[str, bytes]) -> Oid:
    """Writes a tree with files at exactly these paths."""
    nested: dict[bytes, dict[bytes, TreeEntry]] = {}
    root: dict[bytes, TreeEntry] = {}
    for path, data in places.items():
        folder, _, name = path.rpartition("/")
        entry = TreeEntry(FILE, write_blob(found, data))
        (nested.setdefault(folder.encode(), {}) if folder else root)[name.encode()] = entry
    for folder, entries in nested.items():
        root[folder] = TreeEntry(FOLDER, write_entries(found, entries))
    return write_entries(found, root)


def _point(repo: Path, git: Git, tree: Oid) -> None:
    git("update-ref", NOTES, git("commit-tree", "-m", "by hand", tree, cwd=repo), cwd=repo)


def test_a_note_that_stands_at_two_places_is_read_whole_and_written_to_one(repo: Path, git: Git) -> None:
    found = discover(repo)
    target, other = _targets(2)
    flat, fanned = str(target), f"{target[:2]}/{target[2:]}"
    _point(repo, git, _place(found, {flat: b"a\nb\n", fanned: b"b\nc\n", other: b"x\n", "README": b"not a note"}))
    assert join_lines([read_note(found, target) or b""]) == b"a\nb\nc\n"
    assert targets(found) == sorted([target, other])
    with store_lock(found):
        add_lines(found, [(target, b"d")])
    assert git("notes", "--ref", "timelab", "show", target, cwd=repo) == "a\nb\nc\nd"
    assert sorted(git("ls-tree", "-r", "--name-only", NOTES, cwd=repo).splitlines()) == sorted(
        [fanned, other, "README"]
    )
    with store_lock(found):
        remove_lines(found, [(target, line) for line in (b"a", b"b", b"c", b"d")])
    assert sorted(git("ls-tree", "-r", "--name-only", NOTES, cwd=repo).splitlines()) == sorted([other, "README"])


def test_a_flat_tree_that_libgit2_wrote_converges_and_loses_nothing(repo: Path, git: Git) -> None:
    found = discover(repo)
    wanted = _targets(400)
    twice = {f"{target[:2]}/{target[2:]}": b"fanned\n" for target in wanted[:20]}
    _point(repo, git, _place(found, {**{str(target): b"flat\n" for target in wanted}, **twice}))
    _add(found, _targets(1, 1000))
    lone = [target for target in wanted[20:] if not any(target[:2] == other[:2] for other in wanted[:20])]
    assert _shape(repo, git) == {1}
    assert git("notes", "--ref", "timelab", "show", lone[0], cwd=repo) == "flat"
    for target in wanted[:20]:
        assert join_lines([read_note(found, target) or b""]) == b"fanned\nflat\n"
    assert targets(found) == sorted([*wanted, *_targets(1, 1000)])


def test_deeper_fan_outs_of_others_are_read_and_kept(repo: Path, git: Git) -> None:
    found = discover(repo)
    target = _targets(1)[0]
    inner = write_entries(found, {target[4:].encode(): TreeEntry(FILE, write_blob(found, b"deep\n"))})
    middle = write_entries(found, {target[2:4].encode(): TreeEntry(FOLDER, inner)})
    _point(repo, git, write_object(found, 2, b"40000 %s\0%s" % (target[:2].encode(), bytes.fromhex(middle))))
    assert read_note(found, target) == b"deep\n"
    with store_lock(found):
        add_lines(found, [(target, b"er")])
    assert git("ls-tree", "-r", "--name-only", NOTES, cwd=repo) == f"{target[:2]}/{target[2:4]}/{target[4:]}"
    assert git("notes", "--ref", "timelab", "show", target, cwd=repo) == "deep\ner"


def test_a_change_taken_back_leaves_the_same_tree(repo: Path) -> None:
    found = discover(repo)
    first = NoteTree(found, None)
    for target in _targets(30):
        first.write(target, b"x\n")
    tree = first.save()
    again = NoteTree(found, tree)
    again.write(_targets(1)[0], b"x\n")
    assert not again.changed
    again.write(_targets(1)[0], b"y\n")
    again.write(_targets(1)[0], b"x\n")
    assert again.save() == tree
    assert len(list_tree(found, tree)) == 30
