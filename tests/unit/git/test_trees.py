"""timelab/git/trees.py: objects in and out, the same as git's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from timelab.errors import DataError, PathError
from timelab.git.repo import discover, resolve
from timelab.git.trees import (
    EXECUTABLE,
    FILE,
    LINK,
    SUBMODULE,
    blob_oid,
    code_tree,
    decode,
    entry_at,
    is_text,
    list_tree,
    read_blob,
    walk_tree,
    write_blob,
    write_folder,
    write_tree,
)

Git = Callable[..., str]

WRITE = """
import sys
from pathlib import Path
from timelab.git.repo import discover
from timelab.git.trees import write_folder
print(write_folder(discover(Path(sys.argv[1])), Path(sys.argv[2])))
"""


def _fill(folder: Path) -> None:
    for path, data in {"b.txt": b"1", "b/x": b"2", "b-c": b"3", "deep/er/ä": b"a\r\n", "run": b"#!"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "run").chmod(0o755)
    (folder / "empty" / "below").mkdir(parents=True)


def test_blobs_are_git_s_own(repo: Path, git: Git) -> None:
    found = discover(repo)
    oid = write_blob(found, b"a\r\n\0b")
    assert oid == blob_oid(b"a\r\n\0b")
    assert git("cat-file", "-s", oid, cwd=repo) == "5"
    assert read_blob(found, oid) == b"a\r\n\0b"


def test_a_folder_becomes_the_tree_that_git_would_write(repo: Path, tmp_path: Path, git: Git) -> None:
    _fill(tmp_path / "folder")
    found = discover(repo)
    tree = write_folder(found, tmp_path / "folder")
    git("init", "-q", cwd=tmp_path / "folder")
    git("add", "-A", cwd=tmp_path / "folder")
    assert tree == git("write-tree", cwd=tmp_path / "folder")
    assert git("status", "--porcelain", cwd=repo) == "", "neither index nor work tree changed"
    assert list_tree(found, tree)["run"].mode == EXECUTABLE


def test_files_by_path_become_the_same_tree_as_a_folder(repo: Path, tmp_path: Path) -> None:
    files = {"run.json": b"{}\n", "output/a": b"1", "output.txt": b"2", "output/b/c": b"3"}
    for path, data in files.items():
        (tmp_path / "f" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / path).write_bytes(data)
    found = discover(repo)
    tree = write_tree(found, files)
    assert tree == write_folder(found, tmp_path / "f")
    assert {path: read_blob(found, entry.oid) for path, entry in list_tree(found, tree).items()} == files
    assert entry_at(found, tree, "output/b/c") == (FILE, blob_oid(b"3"))
    assert entry_at(found, tree, "output/b/c/d") is None
    assert entry_at(found, tree, "output/x") is None


def test_an_empty_folder_is_the_empty_tree(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    assert write_folder(discover(repo), tmp_path / "void") == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@pytest.mark.parametrize(
    "files", [{"a": b"", "a/b": b""}, {"a/b": b"", "a": b""}, {"../x": b""}, {".git/config": b""}, {"": b""}]
)
def test_paths_that_cannot_travel_are_refused(files: dict[str, bytes], repo: Path) -> None:
    with pytest.raises(PathError):
        write_tree(discover(repo), files)


@pytest.mark.parametrize("name", ["link", "pipe", os.fsdecode(b"not-\xff-utf8"), "new\nline"])
def test_a_folder_with_anything_but_plain_files_is_refused(name: str, repo: Path, tmp_path: Path) -> None:
    path = tmp_path / "folder" / name
    path.parent.mkdir()
    if name == "link":
        path.symlink_to("/etc/passwd")
    elif name == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"")
    with pytest.raises(PathError):
        write_folder(discover(repo), tmp_path / "folder")


def test_a_large_file_keeps_its_bytes_whatever_git_would_convert(repo: Path, tmp_path: Path, git: Git) -> None:
    git("config", "core.autocrlf", "true", cwd=repo)
    folder = repo / "big"
    folder.mkdir()
    data = b"line\r\n" * (6 << 20)
    (folder / "file.txt").write_bytes(data)
    found = discover(repo)
    assert list_tree(found, write_folder(found, folder))["file.txt"].oid == blob_oid(data)


def test_four_processes_write_the_same_folder_at_once(repo: Path, tmp_path: Path, git: Git) -> None:
    _fill(tmp_path / "folder")
    command = [sys.executable, "-c", WRITE, str(repo), str(tmp_path / "folder")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {child.communicate(timeout=60)[0].strip() for child in children}
    assert len(answers) == 1
    git("fsck", "--strict", cwd=repo)
    assert git("cat-file", "-t", answers.pop(), cwd=repo) == "tree"


def test_a_tree_of_the_user_s_may_hold_anything(repo: Path, git: Git) -> None:
    (repo / os.fsdecode(b"\xff")).write_bytes(b"x")
    (repo / "line\nbreak").write_bytes(b"x")
    (repo / "link").symlink_to("README.md")
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module", cwd=repo)
    git("add", os.fsdecode(b"\xff"), "line\nbreak", "link", cwd=repo)
    git("commit", "-q", "-m", "odd", cwd=repo)
    found = discover(repo)
    entries = list_tree(found, git("rev-parse", "HEAD^{tree}", cwd=repo))
    assert list(entries) == ["README.md", "line\nbreak", "link", "module", "\udcff"]
    assert (entries["link"].mode, entries["module"].mode) == (LINK, SUBMODULE)
    assert [is_text(path) for path in entries] == [True, True, True, True, False]
    assert decode(b"\xff") == "\udcff"


def test_a_missing_and_a_damaged_object_are_told_apart(repo: Path) -> None:
    found = discover(repo)
    with pytest.raises(DataError, match="is not in this repository") as missing:
        read_blob(found, "1" * 40)
    oid = write_blob(found, b"whole")
    path = repo / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read") as damaged:
        read_blob(discover(repo), oid)
    commit = resolve(found, "HEAD")
    with pytest.raises(DataError, match="is not a blob"):
        read_blob(found, commit)
    with pytest.raises(DataError, match="is not a tree"):
        list(walk_tree(found, commit))
    assert (missing.value.slug, damaged.value.slug) == ("object-missing", "object-damaged")


def test_objects_that_another_process_packs_are_still_found(repo: Path, git: Git) -> None:
    found = discover(repo)
    oid = write_blob(found, b"kept")
    git("update-ref", "refs/timelab/x", oid, cwd=repo)
    assert read_blob(found, oid) == b"kept"
    git("gc", "-q", "--prune=now", cwd=repo)
    assert read_blob(found, oid) == b"kept"
    late = git("hash-object", "-w", "README.md", cwd=repo)
    assert read_blob(found, late)


def test_a_code_tree_is_the_tree_without_what_is_dropped(repo: Path, git: Git) -> None:
    for path in ("src/a.py", "src/b.py", "specs/x.yaml", "2026/11/20/ai-team/run/run.json", "docs/specs/y.yaml"):
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text(path)
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "all", cwd=repo)
    found = discover(repo)
    whole = git("rev-parse", "HEAD^{tree}", cwd=repo)
    asked: list[str] = []

    def drop(path: str) -> bool:
        asked.append(path)
        return path.startswith("2026/") or path.endswith(".yaml")

    code = code_tree(found, whole, drop)
    git("rm", "-q", "-r", "specs", "2026", "docs", cwd=repo)
    assert code == git("write-tree", cwd=repo)
    assert "2026/" in asked
    assert not any(path.startswith("2026/1") for path in asked), "a dropped folder is not read"
    assert code_tree(found, whole, lambda path: False) == whole
    assert code_tree(found, whole, lambda path: True) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
