"""The commands that read, in a repository whose configuration names programs: they start none."""

from __future__ import annotations

from pathlib import Path

from tests.cli.notebook import HELLO, Notebook
from tests.unit.git.test_program import plant, sign


def test_reading_starts_no_program_that_the_repository_names(notebook: Notebook, tmp_path: Path) -> None:
    """Design 4: `.git/config` of an unpacked repository is a stranger's, and a signature makes git call its gpg."""
    notebook.commit({"specs/hello.yaml": HELLO + "# once more\n"})
    sign(notebook.root)
    assert notebook.timelab("run", "specs/hello.yaml").code == 0
    artifact = str(next(notebook.root.glob("20*/**/output/hello.txt")).relative_to(notebook.root))
    marker = plant(notebook.root, tmp_path)
    notebook.write("specs/bad.yaml", "changed")
    last = notebook.runs()[0]["run_id"]
    for words in (
        ["log"],
        ["log", "specs/hello.yaml"],
        ["show", last],
        ["show", "HEAD"],
        ["verify"],
        ["verify", "HEAD~1..HEAD"],
        ["diff", last, notebook.runs()[1]["run_id"]],
        ["status"],
        ["status", "--all"],
        ["trace", artifact],
    ):
        said = notebook.timelab(*words)
        assert said.code == 0 or (words[0], said.code) == ("diff", 65), (words, said)
        assert not marker.exists(), (words, marker.read_text())
