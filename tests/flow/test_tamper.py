"""One byte flipped, wherever records stand: `verify` ends with 65 and names the place."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.records import (
    TrueLab,
    flip,
    loose_path,
    make_true_lab,
    moved,
    object_file,
    own_ref,
    replaced,
    rewritten_entry,
    rewritten_note,
)
from timelab.git import chain, trees
from timelab.git.notes import NOTES, read_note
from timelab.git.refs import swap_ref
from timelab.names import Oid
from timelab.store.reader import StoredRun
from timelab.verify import verify
from timelab.views import VerifyReport

SAMPLE = 12
KINDS = {trees.COMMIT: b"commit", trees.TREE: b"tree", trees.BLOB: b"blob"}


@pytest.fixture
def made(repo: Path) -> tuple[TrueLab, StoredRun]:
    """Returns a lab with three true runs; the second is the one that is damaged."""
    true = make_true_lab(repo)
    runs = [true.record(number) for number in range(3)]
    assert verify(true.lab.repo).ok
    return true, runs[1]


def places(report: VerifyReport) -> str:
    assert not report.ok
    return "\n".join(f"{finding.step} {finding.place}: {finding.what}" for finding in report.findings)


def positions(size: int, every: bool) -> Iterable[int]:
    if every:
        return range(size)
    return sorted({0, size - 1, *random.Random(7).choices(range(size), k=SAMPLE)})


each_or_some = pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "all"]
)
FILES = ("run.json", "output/answer.json", "logs/stdout.txt", "input/spec.yaml", "input/files/data/in.csv")


@each_or_some
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_a_run_folder_is_named(made: tuple[TrueLab, StoredRun], name: str, every: bool) -> None:
    """A5, design 7: the folder is compared with the chain, and the byte is told."""
    true, run = made
    assert run.folder is not None
    path = run.folder / name
    data = path.read_bytes()
    for at in positions(len(data), every):
        with replaced(path, flip(data, at)):
            assert f"{run.folder.relative_to(true.root)}/{name} byte {at}: " in places(verify(true.lab.repo))
    assert verify(true.lab.repo).ok


@each_or_some
def test_a_flipped_byte_in_a_note_is_named(made: tuple[TrueLab, StoredRun], every: bool) -> None:
    """A48, A49: the notes ref is sound in itself, and still the line is not the chain's."""
    true, _ = made
    for target in (true.lab.git_sha, true.lab.spec_blob):
        note = read_note(true.lab.repo, target)
        assert note is not None
        for at in positions(len(note), every):
            with moved(true.lab, NOTES, rewritten_note(true.lab, target, flip(note, at))):
                assert f"note on {target[:12]}" in places(verify(true.lab.repo))
    assert verify(true.lab.repo).ok


def objects_of(true: TrueLab, run: StoredRun) -> Iterator[tuple[str, str]]:
    """Yields (object, what must be said of it) for all that the run's record is made of."""
    entry = f"chain entry {run.entry[:12]}"
    tree = chain.read_entry(true.lab.repo, run.entry, ref=run.ref).tree
    yield run.entry, f"{entry} commit"
    yield tree, f"{entry} tree"
    for name, item in trees.read_tree(true.lab.repo, tree).items():
        if item.mode == trees.FOLDER:
            yield item.oid, f"{entry} {name.decode()}/"
    for path, item in trees.list_tree(true.lab.repo, tree).items():
        yield item.oid, f"{entry} {path}"
    yield true.lab.spec_blob, f"commit {true.lab.git_sha[:12]} {true.lab.spec_path}"


@each_or_some
def test_a_flipped_byte_in_any_object_of_a_record_is_named(made: tuple[TrueLab, StoredRun], every: bool) -> None:
    """Design 7: chain commit, trees, run.json, artifacts and the spec's blob, as they lie in the object database."""
    true, run = made
    for oid, place in objects_of(true, run):
        kind, data = trees.read_object(true.lab.repo, oid)
        for at in positions(len(data), every):
            with replaced(loose_path(true.lab, oid), object_file(KINDS[kind], flip(data, at))):
                assert place in places(verify(true.lab.repo))
    assert verify(true.lab.repo).ok


@each_or_some
def test_a_flipped_byte_in_an_objects_file_is_found_or_changes_nothing(
    made: tuple[TrueLab, StoredRun], every: bool
) -> None:
    """Design 7: zlib errors, wrong checksums and bytes behind the end are findings and no tracebacks."""
    true, run = made
    for oid, place in objects_of(true, run):
        path = loose_path(true.lab, oid)
        packed = path.read_bytes()
        for at in positions(len(packed), every):
            damaged = flip(packed, at)
            with replaced(path, damaged):
                report = verify(true.lab.repo)
            if report.ok:
                # Another spelling of the same bytes, such as zlib's word on its own effort.
                assert zlib.decompress(damaged) == zlib.decompress(packed)
            else:
                assert place in places(report)


@each_or_some
@pytest.mark.parametrize("name", FILES)
def test_a_record_written_anew_with_another_byte_is_found(
    made: tuple[TrueLab, StoredRun], name: str, every: bool
) -> None:
    """A41, A46: all objects and the chain are sound, but the record does not hold against itself, note and folder."""
    true, _ = made
    ref = own_ref(true.lab)
    tip = Oid(true.lab.git("rev-parse", ref))
    data = chain.read_file(true.lab.repo, chain.read_entry(true.lab.repo, tip, ref=ref), name)
    assert data is not None
    for at in positions(len(data), every):
        forged = rewritten_entry(true.lab, tip, name, flip(data, at))
        with moved(true.lab, ref, forged):
            assert name == "run.json" or f"chain entry {forged[:12]} {name}" in places(verify(true.lab.repo))
            assert not verify(true.lab.repo).ok


def test_a_chain_set_back_by_one_is_found_by_note_and_folder(made: tuple[TrueLab, StoredRun]) -> None:
    """Design 7: what is left of the lost run is an orphan."""
    true, _ = made
    ref = own_ref(true.lab)
    tip = Oid(true.lab.git("rev-parse", ref))
    parent = chain.read_entry(true.lab.repo, tip, ref=ref).parent
    assert parent is not None
    with moved(true.lab, ref, parent):
        found = places(verify(true.lab.repo))
    assert f"10 note on {true.lab.git_sha[:12]}" in found
    assert f"10 note on {true.lab.spec_blob[:12]}" in found
    assert "is the folder of a run that is in no chain" in found


def test_a_chain_behind_its_tracking_copy_is_found(made: tuple[TrueLab, StoredRun]) -> None:
    """Design 7: also where neither notes nor folders are left to tell."""
    true, _ = made
    ref = own_ref(true.lab)
    tip = Oid(true.lab.git("rev-parse", ref))
    copy = f"{chain.REMOTES}origin/runs/{chain.writer_id(true.lab.repo)}"
    swap_ref(true.lab.repo, copy, tip, None)
    assert verify(true.lab.repo).ok
    forged = rewritten_entry(true.lab, tip, "output/answer.json", b"{}")
    with moved(true.lab, ref, forged):
        assert f"10 {copy} {tip[:12]}" in places(verify(true.lab.repo))


def command_says(true: TrueLab, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    from timelab.cli import cli

    code = cli.main(["-C", str(true.root), "verify", "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)["findings"]
    return code, "\n".join(finding["place"] for finding in found)


@pytest.mark.slow
def test_first_last_and_twenty_bytes_of_each_file_of_ten_runs_through_the_command(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Design 7: `timelab verify` ends with 65 and prints the place."""
    true = make_true_lab(repo)
    runs = [true.record(number) for number in range(10)]
    assert command_says(true, capsys) == (0, "")
    chance = random.Random(20)
    for run in runs:
        assert run.folder is not None
        for path in sorted(path for path in run.folder.rglob("*") if path.is_file()):
            data = path.read_bytes()
            for at in {0, len(data) - 1, *chance.choices(range(len(data)), k=20)}:
                with replaced(path, flip(data, at)):
                    code, said = command_says(true, capsys)
                assert code == 65
                assert f"{path.relative_to(true.root)} byte {at}" in said
    assert command_says(true, capsys) == (0, "")
