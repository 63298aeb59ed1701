"""Which commits may bring a spec: all that do, and few others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import parse
from tests.helpers import Lab, make_lab
from timelab.git.history import changes
from timelab.git.repo import discover
from timelab.git.sieve import Sieve
from timelab.names import Oid

SPEC = "timelab: 1\nkind: command\nscript: tools/run.sh\ninputs: ['data/*.csv', more/]\nargs: [word.txt]\n"


@pytest.fixture
def lab(repo: Path) -> Lab:
    lab = make_lab(repo)
    lab.commit_file("specs/b.yaml", SPEC)
    return lab


def passed(lab: Lab, *commits: str) -> list[bool]:
    found = changes(lab.repo, [Oid(each) for each in commits])
    sieve = Sieve(lab.repo, parse, ("*.task.yaml",))
    return [sieve.may_bring(Oid(each), found.get(Oid(each), {})) for each in commits]


def test_a_commit_passes_when_it_changes_a_spec_or_what_a_spec_names(lab: Lab) -> None:
    """Design 3: the trigger is the closure; a new file that a pattern fits is part of it."""
    names = {
        "notes.txt": False,
        "specs/c.yaml": True,
        "tools/run.sh": True,
        "tools/other.sh": False,
        "data/new.csv": True,
        "data/deep/new.csv": False,
        "more/in/it.txt": True,
        "morel.txt": False,
        "word.txt": True,
        "one.task.yaml": True,
    }
    commits = [lab.commit_file(name, SPEC.replace("argv", name) if "yaml" in name else f"{name}\n") for name in names]
    assert passed(lab, *commits) == list(names.values())
    # Each by itself, so that no parent is known: the tree is listed then.
    assert [passed(lab, commit)[0] for commit in commits] == list(names.values())


def test_a_spec_s_newest_words_count_and_a_broken_one_has_none(lab: Lab) -> None:
    lab.commit_file("specs/b.yaml", SPEC.replace("tools/run.sh", "tools/new.sh"))
    first = lab.git("rev-parse", "HEAD")
    commits = [first, lab.commit_file("tools/run.sh"), lab.commit_file("tools/new.sh")]
    commits += [lab.commit_file("specs/b.yaml", "timelab: 1\nkind: [\n"), lab.commit_file("tools/new.sh", "again")]
    assert passed(lab, *commits) == [True, False, True, True, False]


def test_a_merge_is_judged_by_what_it_brings_to_its_first_parent(lab: Lab) -> None:
    lab.git("switch", "-q", "-c", "side")
    side = lab.commit_file("specs/side.yaml", SPEC.replace("tools/run.sh", "side.sh"))
    lab.git("switch", "-q", "main")
    main = lab.commit_file("notes.txt")
    lab.git("merge", "-q", "--no-edit", "side")
    merge = lab.git("rev-parse", "HEAD")
    after = lab.commit_file("side.sh")
    assert passed(lab, side, main, merge, after) == [True, False, True, True]


def test_a_commit_that_changes_nothing_brings_nothing(lab: Lab) -> None:
    lab.git("commit", "-q", "--allow-empty", "-m", "nothing")
    assert passed(lab, lab.git("rev-parse", "HEAD")) == [False]


def test_where_a_shallow_clone_ends_all_specs_are_brought(lab: Lab, tmp_path: Path) -> None:
    lab.commit_file("notes.txt")
    lab.git("clone", "-q", "--depth", "1", f"file://{lab.root}", str(tmp_path / "shallow"))
    head = Oid(lab.git("rev-parse", "HEAD"))
    clone = discover(tmp_path / "shallow")
    assert Sieve(clone, parse).may_bring(head, changes(clone, [head])[head])
