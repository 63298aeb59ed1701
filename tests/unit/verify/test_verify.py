from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import start_of
from tests.records import TrueLab, make_true_lab, moved, own_ref, replaced, rewritten_entry
from timelab.canonical import canonical_bytes, sha256_bytes
from timelab.errors import NotFound
from timelab.git import chain
from timelab.git.notes import NOTES, add_lines, remove_lines
from timelab.git.raw import RawObjects
from timelab.git.refs import store_lock, swap_ref
from timelab.git.repo import discover
from timelab.git.sync import sync
from timelab.manifest import Manifest, recomputed_run_key
from timelab.names import Oid
from timelab.store import journal, writer
from timelab.store.journal import Intent
from timelab.verify import verify
from timelab.verify.commits import Commits
from timelab.views import VerifyReport


@pytest.fixture
def true(repo: Path) -> TrueLab:
    return make_true_lab(repo)


def results(report: VerifyReport) -> dict[int, str]:
    return {step.number: step.result for step in report.steps}


def said(report: VerifyReport) -> list[tuple[int, str]]:
    return [(finding.step, finding.what) for finding in report.findings]


def test_a_true_record_passes_every_step(true: TrueLab) -> None:
    """Design 7: numbered steps, each with what it counted."""
    true.record(0)
    report = verify(true.lab.repo)
    assert report.ok and report.findings == ()
    assert set(results(report).values()) == {"passed"}
    assert [(step.name, step.checked) for step in report.steps] == [
        ("chain intact", 1),
        ("schema", 1),
        ("run_id and run_key", 1),
        ("spec in commit", 1),
        ("inputs", 1),
        ("lock", 1),
        ("artifacts", 4),
        ("note equals chain", 2),
        ("folder equals chain", 1),
        ("nothing truncated", 1),
    ]
    assert [warning.step for warning in report.warnings] == [6]


def test_nothing_checked_is_a_failure(true: TrueLab) -> None:
    report = verify(true.lab.repo)
    assert not report.ok
    assert "nothing was checked" in report.findings[0].what


def test_a_missing_folder_is_absent_and_no_error(true: TrueLab) -> None:
    run = true.record(0)
    assert run.folder is not None
    run.folder.rename(true.root / "elsewhere")
    report = verify(true.lab.repo)
    assert report.ok
    assert results(report)[9] == "absent"


def test_files_too_many_and_too_few_in_a_folder_are_named(true: TrueLab) -> None:
    run = true.record(0)
    assert run.folder is not None
    (run.folder / "output/extra.txt").write_text("x")
    (run.folder / "logs/stdout.txt").unlink()
    (run.folder / "logs/stdout.txt").symlink_to("/etc/hostname")
    (run.folder / "output/answer.json").unlink()
    (run.folder / "notes.md").write_text("looks odd\n")
    report = verify(true.lab.repo)
    assert [(each.place.rpartition("/")[2], each.what) for each in report.warnings if each.step == 9] == [
        ("notes.md", "is beside the record, which does not hold it")
    ]
    found = {finding.place.rpartition("/")[2]: finding.what for finding in report.findings}
    assert found == {
        "extra.txt": "is not in the record: move it elsewhere",
        "stdout.txt": "is not a regular file",
        "answer.json": "is missing",
    }


def test_a_bare_clone_verifies_offline(true: TrueLab, tmp_path: Path) -> None:
    """Design 7: chains under refs/timelab/runs or under remotes, without a work tree."""
    for number in range(3):
        true.record(number)
    mirror = tmp_path / "mirror.git"
    subprocess.run(["git", "clone", "-q", "--mirror", str(true.root), str(mirror)], check=True)
    report = verify(discover(mirror))
    assert report.ok and report.runs == 3
    assert results(report)[9] == "skipped"


def test_a_clone_with_tracking_chains_only_has_absent_notes(true: TrueLab, tmp_path: Path) -> None:
    true.record(0)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(true.root), str(clone)], check=True)
    fetch = ["git", "fetch", "-q", "origin", "refs/timelab/runs/*:refs/timelab/remotes/origin/runs/*"]
    subprocess.run(fetch, cwd=clone, check=True)
    report = verify(discover(clone))
    assert report.ok and report.runs == 1
    assert results(report)[8] == "absent" and results(report)[9] == "absent"


def test_a_remote_that_lost_entries_is_found_offline(true: TrueLab, tmp_path: Path) -> None:
    """T9, design 7: a chain that was set back elsewhere is no silent matter; ours stays whole."""
    for number in range(2):
        true.record(number)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(true.root), str(clone)], check=True)
    sync(discover(clone), "origin")
    assert verify(discover(clone)).ok
    ref = own_ref(true.lab)
    true.lab.git("update-ref", ref, f"{ref}~1")
    sync(discover(clone), "origin")
    report = verify(discover(clone))
    assert report.runs == 2
    assert said(report) == [(10, "is behind on origin, which had all of it once; ours stays")]


def test_a_commit_that_is_not_here_is_unknown(true: TrueLab, tmp_path: Path) -> None:
    true.record(0)
    bare = tmp_path / "records.git"
    subprocess.run(["git", "init", "-q", "--bare", str(bare)], check=True)
    fetch = ["git", "fetch", "-q", str(true.root), "refs/timelab/runs/*:refs/timelab/runs/*", f"{NOTES}:{NOTES}"]
    subprocess.run(fetch, cwd=bare, check=True)
    report = verify(discover(bare))
    assert report.ok
    assert results(report)[4] == "unknown" and results(report)[6] == "unknown"


def forge(true: TrueLab, manifest: Manifest) -> Oid:
    """Returns the chain's tip with another run.json in it."""
    tip = Oid(true.lab.git("rev-parse", own_ref(true.lab)))
    return rewritten_entry(true.lab, tip, "run.json", manifest.to_bytes())


@pytest.mark.parametrize(
    ("fields", "step", "what"),
    [
        ({"run_key": "0" * 64}, 3, "run_key"),
        ({"git_tree": "0" * 40}, 4, "has tree"),
        ({"flake_lock_sha256": "0" * 64}, 6, "has sha256 none"),
        ({"flake_metadata": {"x": 1}}, 6, "flake_metadata"),
        ({"artifacts": ()}, 7, "is not in run.json"),
    ],
)
def test_a_record_that_contradicts_itself_or_its_commit_is_wrong(
    true: TrueLab, fields: dict[str, object], step: int, what: str
) -> None:
    """A44–A46, A57, A73."""
    manifest = true.record(0).manifest().model_copy(update=fields)
    if "run_key" not in fields:
        manifest = manifest.model_copy(update={"run_key": recomputed_run_key(manifest)})
    with moved(true.lab, own_ref(true.lab), forge(true, manifest)):
        found = said(verify(true.lab.repo))
    assert any(number == step and what in text for number, text in found), found


def test_a_uv_lock_that_is_not_in_the_commit_is_wrong(true: TrueLab) -> None:
    manifest = true.record(0).manifest()
    shell = manifest.shell.model_copy(update={"kind": "uv", "lock_sha256": "0" * 64})
    with moved(true.lab, own_ref(true.lab), forge(true, manifest.model_copy(update={"shell": shell}))):
        assert (6, "pins the profile 'default' by no uv.lock with the record's sha256: 000000000000") in said(
            verify(true.lab.repo)
        )


def test_the_lock_of_a_commit_is_the_one_that_pins_the_profile(true: TrueLab) -> None:
    """Design 7, A13: not any uv.lock that the commit holds somewhere."""
    lab = true.lab
    folders, pair = ("", "env/default/", "env/ml/", "pins/a/", "elsewhere/"), ("pyproject.toml", "uv.lock")
    files = {f"{folder}{name}": folder for folder in folders for name in pair}
    files["timelab.toml"] = '[profiles.ml]\nuv = "pins/a"\n[profiles.gone]\nuv = "no/where"\n'
    for path, text in files.items():
        commit = lab.commit_file(path, f"# {text}\n" if text in folders else text)
    lab.git("rm", "-q", "-r", "env")
    lab.git("commit", "-q", "-m", "gone")
    bare = Oid(lab.git("rev-parse", "HEAD").strip())
    commits = Commits(RawObjects(lab.repo))
    found = [commits.uv_lock(commit, profile) for profile in ("default", "ml", "gone", "other")]
    assert found == [sha256_bytes(b"# env/default/\n"), sha256_bytes(b"# pins/a/\n"), None, None]
    assert commits.uv_lock(bare, "default") == sha256_bytes(b"# \n")


def test_json_against_the_schema_is_told_by_its_pointer(true: TrueLab) -> None:
    """A50: the bytes are judged by the generated schema."""
    run = true.record(0)
    tip = Oid(true.lab.git("rev-parse", own_ref(true.lab)))
    raw = json.loads(run.manifest_bytes)
    raw["usage"]["wall_ms"] = -1
    forged = rewritten_entry(true.lab, tip, "run.json", canonical_bytes(raw) + b"\n")
    with moved(true.lab, own_ref(true.lab), forged):
        assert any("/usage/wall_ms" in what for step, what in said(verify(true.lab.repo)) if step == 2)


def test_a_commit_of_somebody_else_on_the_chain_is_wrong(true: TrueLab) -> None:
    true.record(0)
    ref = own_ref(true.lab)
    with moved(true.lab, ref, true.lab.git_sha):
        assert any("holds none, or more than one" in what for _, what in said(verify(true.lab.repo)))


def test_foreign_note_lines_are_kept_and_warned_of(true: TrueLab) -> None:
    true.record(0)
    with store_lock(true.lab.repo):
        add_lines(true.lab.repo, [(true.lab.git_sha, b"looks good to me")])
    report = verify(true.lab.repo)
    assert report.ok
    assert any("1 lines that timelab did not write" in warning.what for warning in report.warnings)


def test_a_missing_line_of_our_own_run_is_wrong(true: TrueLab) -> None:
    run = true.record(0)
    with store_lock(true.lab.repo):
        remove_lines(true.lab.repo, [(true.lab.git_sha, run.manifest_bytes)])
    assert said(verify(true.lab.repo)) == [(8, "lacks the run's line")]


def test_a_line_on_the_wrong_commit_is_wrong(true: TrueLab) -> None:
    run = true.record(0)
    with store_lock(true.lab.repo):
        add_lines(true.lab.repo, [(Oid(true.lab.git("rev-parse", "HEAD~2")), run.manifest_bytes)])
    assert said(verify(true.lab.repo)) == [(8, "is no line that the chains put here")]


def test_carried_and_forgotten_records_hold(true: TrueLab) -> None:
    """G6: a carry entry puts the line on the new commit, a tombstone takes the run out of everything."""
    run, other = true.record(0), true.record(1)
    new = true.lab.commit_file("later.txt")
    writer.carry(true.lab.repo, true.lab.git_sha, new)
    report = verify(true.lab.repo)
    assert report.ok and report.steps[7].checked == 6
    writer.forget(true.lab.repo, other)
    report = verify(true.lab.repo)
    assert report.ok, report.findings
    assert report.runs == 1
    assert verify(true.lab.repo, [run.run_id]).ok


def test_a_damaged_carry_entry_is_wrong(true: TrueLab) -> None:
    run = true.record(0)
    body = canonical_bytes({"carried_from": "x", "to": "y", "run_id": run.run_id, "tree_equal": True})
    with store_lock(true.lab.repo):
        files = {"carry.json": body + b"\n"}
        chain.append_files(true.lab.repo, files, message="carry", when=start_of(run.manifest()))
    assert any("not a git object id" in what for _, what in said(verify(true.lab.repo)))


def test_runs_that_are_being_recorded_are_no_findings(true: TrueLab) -> None:
    run = true.record(0)
    with store_lock(true.lab.repo):
        remove_lines(true.lab.repo, [(true.lab.git_sha, run.manifest_bytes)])
    intent = Intent(name=run.run_id, op="run", root=None, git_dir="x", run_id=run.run_id)
    journal.announce(true.lab.repo, intent)
    assert verify(true.lab.repo).ok


def test_named_runs_alone_are_checked(true: TrueLab) -> None:
    """A run, a range, a spec's path and a folder name what is looked at."""
    runs = [true.record(number) for number in range(3)]
    folder = runs[0].folder
    assert folder is not None
    with replaced(folder / "run.json", b"{}"):
        assert not verify(true.lab.repo).ok
        assert not verify(true.lab.repo, [runs[0].run_id[:12]]).ok
        assert not verify(true.lab.repo, [folder.relative_to(true.root).as_posix()]).ok
        assert verify(true.lab.repo, [runs[1].run_id]).ok
        assert verify(true.lab.repo, [true.lab.spec_path]).runs == 1
        assert verify(true.lab.repo, ["HEAD~1..HEAD"]).runs == 3
    with pytest.raises(NotFound):
        verify(true.lab.repo, ["no-such-run"])


def test_a_spec_whose_name_holds_two_dots_is_no_range(true: TrueLab) -> None:
    data, path = true.spec, "specs/a..b.yaml"
    true.lab.commit_file(path, data.decode())
    dotted = TrueLab(replace(true.lab, spec_path=path), true.tree, data)
    true.record(0)
    run = dotted.record(1)
    report = verify(true.lab.repo, [path])
    assert report.runs == 1
    assert {finding.run_id for finding in report.findings} <= {run.run_id}
    with pytest.raises(NotFound, match="no such range"):
        verify(true.lab.repo, ["specs/never..ran.yaml"])


def test_two_versions_of_one_run_in_two_chains_are_wrong(true: TrueLab) -> None:
    run = true.record(0)
    changed = run.manifest().model_copy(update={"timelab_version": "9"})
    forged = forge(true, changed)
    swap_ref(true.lab.repo, f"{chain.REMOTES}origin/runs/somebody", forged, None)
    assert any("is another record of a run" in what for _, what in said(verify(true.lab.repo)))


def test_an_orphan_folder_without_a_readable_record_is_found(true: TrueLab) -> None:
    true.record(0)
    folder = true.root / "2026/11/20/ai-team/artifacts/120000-lost-0badc0de"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("not json")
    assert said(verify(true.lab.repo)) == [(10, "is the folder of a run that is in no chain")]


def test_packed_records_are_read_and_a_damaged_pack_is_a_finding(true: TrueLab) -> None:
    """Design 7: after gc nothing lies loose; zlib errors in a pack are no tracebacks."""
    for number in range(3):
        true.record(number)
    true.lab.git("gc", "-q", "--prune=now")
    assert verify(true.lab.repo).ok
    (pack,) = (true.lab.repo.common_dir / "objects/pack").glob("*.pack")
    data = pack.read_bytes()
    found = 0
    for at in range(20, len(data) - 20, max(1, len(data) // 25)):
        with replaced(pack, data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            found += not verify(true.lab.repo).ok
    assert found > 5
