from __future__ import annotations

import json
import os
import shutil
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from tests.helpers import START, Lab, fill, make_files
from timelab.clock import timestamp
from timelab.errors import DataError, NotFound, PathError, StoreError, UsageError
from timelab.git import chain, notes
from timelab.git.refs import read_ref
from timelab.git.repo import commit_state, discover
from timelab.names import Oid, RepoPath
from timelab.plan import make_plan
from timelab.spec.model import CommandSpec
from timelab.store import writer
from timelab.store.index import open_index
from timelab.store.liveness import is_alive
from timelab.store.reader import runs, runs_of_commit


def make_echo_plan(lab: Lab):  # type: ignore[no-untyped-def]
    spec = CommandSpec(timelab=1, kind="command", argv=("cat", "data/ü x.txt"), inputs=("data/ü x.txt",))
    sha = lab.commit_file("data/ü x.txt", "hello\n")
    state = commit_state(lab.repo, sha)
    return make_plan(
        spec, b"bytes of the spec", RepoPath("specs/echo.yaml"), lab.spec_blob, state,
        profile="default", params=None, seed_drawn=False, start=START,
    )  # fmt: skip


def test_staging_holds_inputs_and_a_trace_before_the_run_starts(lab: Lab) -> None:
    """A40, A75, A86."""
    plan = make_echo_plan(lab)
    staging = writer.open_staging(lab.repo, plan)
    assert (staging.path / "input/spec.yaml").read_bytes() == b"bytes of the spec"
    assert (staging.path / "input/files/data/ü x.txt").read_bytes() == b"hello\n"
    assert sorted(path.name for path in staging.path.iterdir()) == ["input", "logs", "output", "running.json"]
    running = json.loads((staging.path / "running.json").read_bytes())
    assert (running["status"], running["pid"], running["spec_path"]) == ("running", os.getpid(), "specs/echo.yaml")
    with pytest.raises(StoreError) as caught:
        writer.open_staging(lab.repo, plan)
    assert caught.value.slug == "run-exists"
    assert (list(staging.path.parent.iterdir()), is_alive(staging.path)) == ([staging.path], True)


@pytest.mark.parametrize("lost", ["all", "spec only"])
def test_a_run_whose_staging_folder_was_taken_away_is_not_recorded(lab: Lab, lost: str) -> None:
    """What a task wrote after that is not the run; without its spec nothing of it could be checked."""
    manifest, staging = lab.stage(0)
    shutil.rmtree(staging / "input")
    if lost == "all":
        shutil.rmtree(staging)
    with pytest.raises(StoreError, match="taken away while it ran") as caught:
        writer.commit(lab.repo, manifest, staging)
    assert caught.value.slug == "staging-lost"
    assert read_ref(lab.repo, chain.RUNS + chain.writer_id(lab.repo)) is None


def test_a_run_that_cannot_be_recorded_is_given_up(lab: Lab) -> None:
    """The folder is no living run's from then on, so that the next command tidies up."""
    staging = writer.open_staging(lab.repo, make_echo_plan(lab))
    with pytest.raises(StoreError, match=r"run\.json"):
        writer.commit(lab.repo, lab.make(0)[0], staging.path, reached=stop)
    assert not is_alive(staging.path)


def stop(step: str) -> None:
    raise StoreError(step)


def test_collect_lists_files_by_path_with_digest_and_type(tmp_path: Path) -> None:
    """A5, A69, A70."""
    fill(tmp_path, {"output/b.json": b"{}", "output/ä ö/a.bin": b"\0", "input/spec.yaml": b"x", "running.json": b"{}"})
    found = writer.collect(tmp_path)
    assert [(item.path, item.media_type, item.size_bytes) for item in found] == [
        ("input/spec.yaml", "application/yaml", 1),
        ("output/b.json", "application/json", 2),
        ("output/ä ö/a.bin", "application/octet-stream", 1),
    ]


@pytest.mark.parametrize("name", ["a\nb", "a\u202eb", "con", "back\\slash"])
def test_collect_refuses_names_that_cannot_travel(tmp_path: Path, name: str) -> None:
    fill(tmp_path, {f"output/{name}": b""})
    with pytest.raises(PathError) as caught:
        writer.collect(tmp_path)
    assert caught.value.slug == "output-name"


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "socket"])
def test_collect_refuses_what_is_no_regular_file(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "output"
    output.mkdir()
    if kind == "link":
        (output / "x").symlink_to("/etc/passwd")
    elif kind == "folder link":
        (output / "x").symlink_to("/etc")
    elif kind == "pipe":
        os.mkfifo(output / "x")
    else:
        monkeypatch.chdir(output)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("x")
    with pytest.raises(DataError) as caught:
        writer.collect(tmp_path)
    assert caught.value.slug == "output-kind"


def test_chain_folder_and_note_hold_the_same_bytes(lab: Lab) -> None:
    """A6, A48, A7: run.json equals the note's line and the chain's file, byte for byte."""
    manifest, staging = lab.stage(0)
    run = writer.commit(lab.repo, manifest, staging)
    assert run.folder is not None
    assert (run.folder / "run.json").read_bytes() == manifest.to_bytes()
    assert lab.git("notes", "--ref", "timelab", "show", "HEAD") + "\n" == manifest.to_bytes().decode()
    assert lab.git("notes", "--ref", "timelab", "show", lab.spec_blob) + "\n" == manifest.to_bytes().decode()
    assert lab.git("show", f"{run.entry}:run.json") + "\n" == manifest.to_bytes().decode()
    assert lab.git("ls-tree", "-r", "--name-only", run.entry).splitlines() == sorted([*make_files(0), "run.json"])
    assert not staging.exists()
    assert read_ref(lab.repo, chain.KEEP + lab.git_sha) == lab.git_sha


def test_nothing_stays_behind_after_a_record(lab: Lab) -> None:
    lab.record(0)
    for name in ("journal", "staging"):
        assert list((lab.repo.timelab_dir / name).iterdir()) == []
    assert [path.name for path in lab.repo.timelab_dir.iterdir() if path.name.startswith(".")] == []


def test_running_json_never_enters_the_record(lab: Lab) -> None:
    manifest, staging = lab.stage(0)
    (staging / "running.json").write_text("{}")
    run = writer.commit(lab.repo, manifest, staging)
    assert "running.json" not in lab.git("ls-tree", "-r", "--name-only", run.entry)
    assert run.folder is not None
    assert not (run.folder / "running.json").exists()


def test_a_run_before_the_first_commit_is_noted_on_its_spec_only(lab: Lab) -> None:
    run = lab.record(0, git_sha=None)
    assert notes.targets(lab.repo) == [lab.spec_blob]
    assert notes.read_note(lab.repo, lab.spec_blob) == run.manifest_bytes


def test_a_bare_repository_records_without_a_folder(lab: Lab, tmp_path: Path) -> None:
    lab.git("clone", "-q", "--bare", str(lab.root), str(tmp_path / "bare.git"))
    bare = Lab(discover(tmp_path / "bare.git"), lab.git_sha, lab.spec_blob)
    run = bare.record(0)
    assert run.folder is None
    assert [item.run_id for item in runs(bare.repo)] == [run.run_id]
    assert list((bare.repo.timelab_dir / "staging").iterdir()) == []


def test_a_run_id_is_never_overwritten(lab: Lab, tmp_path: Path) -> None:
    """A45, T13."""
    first = lab.record(0)
    tip = read_ref(lab.repo, first.ref)
    manifest, _ = lab.make(0, cmd=("something", "else"))
    assert manifest.run_id == first.run_id
    with pytest.raises(StoreError) as caught:
        writer.commit(lab.repo, manifest, fill(tmp_path / "again", make_files(0)))
    assert caught.value.slug == "run-exists"
    with pytest.raises(StoreError):
        writer.commit_many(lab.repo, [lab.make(1), (manifest, make_files(0))])
    assert read_ref(lab.repo, first.ref) == tip
    assert [item.manifest_bytes for item in runs(lab.repo)] == [first.manifest_bytes]


def test_the_same_record_twice_is_one_record(lab: Lab, tmp_path: Path) -> None:
    manifest, staging = lab.stage(0)
    first = writer.commit(lab.repo, manifest, staging)
    again = writer.commit(lab.repo, manifest, fill(tmp_path / "again", make_files(0)))
    assert again == first
    assert lab.git("rev-list", "--count", first.ref) == "1"


def test_a_folder_in_the_way_costs_the_folder_and_not_the_record(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    (lab.root / "2026").write_text("a file of the user's")
    run = lab.record(0)
    assert [item.run_id for item in runs(lab.repo)] == [run.run_id]
    assert (lab.root / "2026").read_text() == "a file of the user's"
    assert "no folder for run" in caplog.text


def test_odd_names_of_files_and_specs_are_recorded(lab: Lab) -> None:
    files = {**make_files(0), "output/ä \"q\" 'z' 日本 $(x) -n.txt": b"odd"}
    run = lab.record(0, files=files, spec_path='specs/a "b" ü;x.yaml')
    assert run.folder is not None
    assert (run.folder / "output/ä \"q\" 'z' 日本 $(x) -n.txt").read_bytes() == b"odd"
    assert [row.run_id for row in open_index(lab.repo).select(spec_path='specs/a "b" ü;x.yaml')] == [run.run_id]


def test_many_runs_are_recorded_in_one_step(lab: Lab) -> None:
    staged = [lab.stage(number) for number in range(3)]
    given = [lab.make(number) for number in range(3, 6)]
    found = writer.commit_many(lab.repo, [*staged, *given])
    assert [run.run_id for run in found] == [manifest.run_id for manifest, _ in (*staged, *given)]
    for run in found:
        assert run.folder is not None
        assert (run.folder / "run.json").read_bytes() == run.manifest_bytes
        assert (run.folder / "output/answer.json").is_file()
    assert lab.git("rev-list", "--count", "refs/notes/timelab") == "1"
    assert (notes.read_note(lab.repo, lab.git_sha) or b"").count(b"\n") == 6
    assert writer.commit_many(lab.repo, []) == []


def test_records_are_carried_to_a_rewritten_commit_once(lab: Lab) -> None:
    """G6: a chain entry of its own, and the line on the new commit."""
    first, second = lab.record(0), lab.record(1)
    new = lab.commit_file("more.txt")
    when = START + timedelta(days=1)
    assert writer.carry(lab.repo, lab.git_sha, new, when=when) == 2
    assert writer.carry(lab.repo, lab.git_sha, new, when=when) == 2
    assert notes.read_note(lab.repo, new) == first.manifest_bytes + second.manifest_bytes
    assert lab.git("rev-list", "--count", first.ref) == "4"
    with open_index(lab.repo) as index:
        carried = index.carries(target=new)
    assert {(item.run_id, item.carried_from, item.tree_equal) for item in carried} == {
        (first.run_id, lab.git_sha, False),
        (second.run_id, lab.git_sha, False),
    }
    body = json.loads(lab.git("show", f"{carried[0].entry}:carry.json"))
    assert sorted(body) == ["carried_from", "run_id", "to", "tree_equal"]
    assert {run.run_id for run in runs_of_commit(lab.repo, new)} == {first.run_id, second.run_id}
    assert read_ref(lab.repo, chain.KEEP + new) == new


def test_carrying_to_an_equal_tree_says_so_and_from_nothing_does_nothing(lab: Lab) -> None:
    lab.record(0)
    lab.git("commit", "-q", "--amend", "-m", "other words")
    new = Oid(lab.git("rev-parse", "HEAD"))
    assert writer.carry(lab.repo, lab.git_sha, new) == 1
    assert open_index(lab.repo).carries(target=new)[0].tree_equal
    other = lab.commit_file("x")
    assert writer.carry(lab.repo, other, new) == 0
    assert writer.carry(lab.repo, new, new) == 0


def test_a_forgotten_run_is_gone_everywhere_but_for_its_tombstone(lab: Lab) -> None:
    kept, gone, later = lab.record(0), lab.record(1), lab.record(2)
    new = lab.commit_file("more.txt")
    writer.carry(lab.repo, lab.git_sha, new)
    writer.forget(lab.repo, gone, when=START)
    left = {kept.run_id, later.run_id}
    assert {run.run_id for run in runs(lab.repo)} == left
    with open_index(lab.repo) as index:
        assert {item.run_id for item in index.carries()} == left
        (tombstone,) = index.entries("tombstone")
    tombstone_bytes = lab.git("show", f"{tombstone}:tombstone.json")
    assert json.loads(tombstone_bytes) == {
        "run_id": gone.run_id,
        "forgotten_at": timestamp(START),
    }
    for target in (lab.git_sha, lab.spec_blob, new):
        assert gone.run_id.encode() not in (notes.read_note(lab.repo, target) or b"")
        assert kept.run_id.encode() in (notes.read_note(lab.repo, target) or b"")
    assert gone.folder is not None
    assert not gone.folder.exists()
    assert gone.run_id not in (lab.root / "2026/11/20/runs.csv").read_text()
    assert lab.git("fsck", "--strict", "--no-dangling") == ""
    assert gone.run_id not in lab.git("log", "--all", "-p", "--format=%H", "--", ".").replace(tombstone_bytes, "")
    with pytest.raises(NotFound):
        writer.forget(lab.repo, gone)


def test_forgetting_the_only_run_leaves_no_projection_of_it(lab: Lab) -> None:
    run = lab.record(0)
    writer.forget(lab.repo, run.run_id)
    assert list(runs(lab.repo)) == []
    assert not (lab.root / "2026/11/20/runs.csv").exists()
    assert not (lab.root / "latest").is_symlink()
    assert notes.targets(lab.repo) == []
    assert read_ref(lab.repo, chain.KEEP + lab.git_sha) is None


def test_forgetting_leaves_tracked_files(lab: Lab) -> None:
    run = lab.record(0)
    assert run.folder is not None
    lab.git("add", str(run.folder / "output"))
    lab.git("commit", "-q", "-m", "mine")
    writer.forget(lab.repo, run)
    assert sorted(path.name for path in run.folder.rglob("*")) == ["answer.json", "output"]
    assert lab.git("status", "--porcelain", "--untracked-files=no") == ""


def test_what_is_pushed_cannot_be_forgotten(lab: Lab) -> None:
    run = lab.record(0)
    later = lab.record(1)
    name = run.ref.rpartition("/")[2]
    lab.git("update-ref", f"refs/timelab/remotes/origin/runs/{name}", run.entry)
    with pytest.raises(UsageError, match="pushed already"):
        writer.forget(lab.repo, run)
    writer.forget(lab.repo, later)
    assert [item.run_id for item in runs(lab.repo)] == [run.run_id]


def test_what_another_clone_recorded_cannot_be_forgotten(lab: Lab) -> None:
    run = lab.record(0)
    lab.git("update-ref", "refs/timelab/runs/another-writer", run.entry)
    (lab.repo.timelab_dir / "writer").write_text("this-writer\n")
    with pytest.raises(UsageError, match="another clone"):
        writer.forget(lab.repo, run)
