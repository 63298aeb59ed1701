from __future__ import annotations

import pytest

from tests.helpers import Lab, make_files
from timelab.canonical import sha256_bytes
from timelab.errors import NotFound, StoreError, UsageError
from timelab.store import reader


def test_runs_are_found_by_every_name_that_people_have(lab: Lab) -> None:
    first = lab.record(0)
    last = lab.record(1)
    assert reader.find(lab.repo, "last") == last
    assert reader.find(lab.repo, first.run_id) == first
    assert reader.find(lab.repo, first.run_id[:8].upper()) == first
    assert reader.find(lab.repo, "specs/echo.yaml") == last
    assert reader.find(lab.repo, "HEAD") == last
    assert reader.find(lab.repo, "commit:" + lab.git_sha[:7]) == last
    assert first.folder is not None
    assert reader.find(lab.repo, first.folder.relative_to(lab.root).as_posix() + "/") == first
    assert [run.run_id for run in reader.find_all(lab.repo, "HEAD")] == [last.run_id, first.run_id]
    assert reader.find(lab.repo, "last").manifest().run_id == last.run_id


def test_nothing_found_says_what_to_do(lab: Lab) -> None:
    with pytest.raises(NotFound) as caught:
        reader.find(lab.repo, "last")
    assert caught.value.hint is not None
    run = lab.record(0)
    lab.commit_file("other")
    for name in ("abcdef012345", run.run_id[:3], "no/such.yaml", "HEAD", "commit:HEAD", "commit:zz", "", "-x", "a\0b"):
        with pytest.raises(NotFound):
            reader.find(lab.repo, name)


def test_an_ambiguous_name_lists_its_candidates(lab: Lab) -> None:
    one, two = lab.record(0, spec_path="specs/a.yaml"), lab.record(1, spec_path="specs/b.yaml")
    with pytest.raises(UsageError) as caught:
        reader.find(lab.repo, "HEAD")
    assert caught.value.hint is not None
    assert one.run_id[:12] in caught.value.hint
    assert two.run_id[:12] in caught.value.hint
    prefixes: dict[str, int] = {}
    number = 2
    while not any(count > 1 for count in prefixes.values()):
        prefix = lab.make(number)[0].run_id[:4]
        prefixes[prefix] = prefixes.get(prefix, 0) + 1
        number += 1
    shared = next(prefix for prefix, count in prefixes.items() if count > 1)
    lab.git("update-ref", "-d", one.ref)
    for candidate in range(2, number):
        if lab.make(candidate)[0].run_id.startswith(shared):
            lab.record(candidate)
    with pytest.raises(UsageError, match="several run ids"):
        reader.find(lab.repo, shared)


def test_files_and_lists_come_from_the_chain(lab: Lab) -> None:
    run = lab.record(0)
    assert reader.artifact_bytes(lab.repo, run, "output/answer.json") == b'{"answer": 0}'
    assert reader.artifact_bytes(lab.repo, run, "output/nothing") is None
    assert reader.artifact_bytes(lab.repo, run, "a\nb") is None
    assert [item.run_id for item in reader.runs_of_commit(lab.repo, lab.git_sha)] == [run.run_id]


def test_a_run_whose_bytes_are_lost_is_an_error_and_not_silence(lab: Lab) -> None:
    run = lab.record(0)
    oid = lab.git("rev-parse", f"{run.entry}:run.json")
    (lab.repo.common_dir / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        list(reader.runs(lab.repo))


def test_only_the_runs_that_hold_a_file_are_read_for_it(lab: Lab) -> None:
    """A16: another run whose bytes are lost does not matter then."""
    lost, first, again = lab.record(0), lab.record(1), lab.record(2, files=make_files(1))
    oid = lab.git("rev-parse", f"{lost.entry}:run.json")
    (lab.repo.common_dir / "objects" / oid[:2] / oid[2:]).unlink()
    digest = sha256_bytes(make_files(1)["output/answer.json"])
    assert [run.run_id for run in reader.runs_with_file(lab.repo, digest)] == [again.run_id, first.run_id]
    assert reader.runs_with_file(lab.repo, digest[:15] + "0" * 49) == []
