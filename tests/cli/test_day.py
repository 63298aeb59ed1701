"""`timelab day`: today's folder."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from tests.cli.notebook import Notebook


def test_the_folder_of_today_has_its_rooms_and_is_printed(repo: Path) -> None:
    """A28, A77, A82, A83, A84, A85, A134, A139: by the UTC day."""
    before = datetime.now(UTC).strftime("%Y/%m/%d")
    said = Notebook(repo).timelab("day")
    assert (said.code, said.out, said.err) == (0, "ROOT/YYYY/MM/DD\n", "")
    made = Path(said.raw.removesuffix("\n"))
    assert made.relative_to(repo.resolve()).as_posix() in (before, datetime.now(UTC).strftime("%Y/%m/%d"))
    rooms = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_dir()}
    assert {"ai-team/specs", "ai-team/artifacts", "analyzer/inputs", "analyzer/outputs", "knowledge/graph"} <= rooms
    assert (made / "knowledge/notes.md").read_text().startswith("# 2")


def test_a_second_call_changes_nothing(notebook: Notebook) -> None:
    made = Path(notebook.timelab("day").raw.removesuffix("\n"))
    (made / "knowledge/notes.md").write_text("mine\n")
    (made / "README.md").write_text("# mine\n" + (made / "README.md").read_text())
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    notebook.timelab("day")
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


def test_a_bare_repository_has_none(notebook: Notebook, tmp_path: Path) -> None:
    notebook.git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    said = Notebook(tmp_path / "bare.git").timelab("day")
    assert (said.code, said.err) == (
        64,
        "timelab: a bare repository has no work tree, and so no day folder\nhint: git clone it, and go there\n",
    )


def test_nothing_is_written_through_a_link_on_the_way(notebook: Notebook, tmp_path: Path) -> None:
    """Design 4: a link of the repository, which others may have committed, leads nowhere for us."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    day = Path(notebook.timelab("day").raw.removesuffix("\n"))
    shutil.rmtree(day)
    day.symlink_to(elsewhere)
    said = notebook.timelab("day")
    assert said.code == 70
    assert "something is in the way" in said.err
    assert list(elsewhere.iterdir()) == []
