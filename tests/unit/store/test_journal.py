from __future__ import annotations

import pytest

from tests.helpers import Lab
from timelab.errors import StoreError
from timelab.store import journal
from timelab.store.journal import Intent
from timelab.store.layout import journal_folder


def test_an_intent_is_read_back_and_withdrawn(lab: Lab) -> None:
    intent = Intent(
        name="forget-x",
        op="forget",
        root=str(lab.root),
        git_dir="/g",
        run_id="a" * 64,
        old="b" * 40,
        targets=("c" * 40,),
    )
    journal.announce(lab.repo, intent)
    assert journal.announced(lab.repo) == [intent]
    assert journal.is_announced(lab.repo, "forget-x")
    journal.withdraw(lab.repo, intent)
    assert journal.announced(lab.repo) == []


def test_an_announcement_is_never_overwritten(lab: Lab) -> None:
    journal.announce(lab.repo, Intent(name="a", op="run", root=None, git_dir="/g", tree="1" * 40))
    with pytest.raises(StoreError) as caught:
        journal.announce(lab.repo, Intent(name="a", op="run", root=None, git_dir="/g", tree="2" * 40))
    assert caught.value.slug == "run-exists"
    assert [intent.tree for intent in journal.announced(lab.repo)] == ["1" * 40]


def test_what_cannot_be_read_was_never_announced(lab: Lab) -> None:
    journal_folder(lab.repo).mkdir(parents=True)
    (journal_folder(lab.repo) / "bad").write_text("{")
    (journal_folder(lab.repo) / "foreign").write_text('{"targets": [], "colour": 1}')
    assert journal.announced(lab.repo) == []
    assert list(journal_folder(lab.repo).iterdir()) == []
