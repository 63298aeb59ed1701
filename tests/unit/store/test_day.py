from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import Lab
from timelab.manifest import Status
from timelab.store import day
from timelab.store.rebuild import write_day

DAY = "2026/11/20"


def readme(lab: Lab) -> Path:
    return lab.root / DAY / "README.md"


def test_readme_counts_the_runs_and_lists_the_newest(lab: Lab) -> None:
    """A78."""
    lab.record(0)
    lab.record(1, status=Status.FAILED)
    text = readme(lab).read_text()
    assert text.startswith("# 2026-11-20\n\n<!-- timelab:begin")
    assert "2 runs: 1 failed, 1 ok." in text
    assert text.index("10:23:01") < text.index("10:23:00")


def test_readme_keeps_what_people_wrote(lab: Lab) -> None:
    """A25, A78: hand-written bytes stay, before, between and after."""
    lab.record(0)
    path = readme(lab)
    path.write_bytes(b"mine\r\n" + path.read_bytes() + b"\xff below")
    lab.record(1)
    data = path.read_bytes()
    assert data.startswith(b"mine\r\n# 2026")
    assert data.endswith(b"\xff below")
    assert b"2 runs" in data
    assert data.count(b"timelab:begin") == 1


def test_readme_without_marks_gets_its_part_at_the_end(lab: Lab) -> None:
    readme(lab).parent.mkdir(parents=True)
    readme(lab).write_text("my day")
    lab.record(0)
    assert readme(lab).read_text().startswith("my day\n\n<!-- timelab:begin")


@pytest.mark.parametrize("text", ["<!-- timelab:begin --> no end", "<!-- timelab:end --> <!-- timelab:begin -->"])
def test_readme_whose_marks_do_not_pair_is_left_alone(lab: Lab, text: str) -> None:
    readme(lab).parent.mkdir(parents=True)
    readme(lab).write_text(text)
    lab.record(0)
    assert readme(lab).read_text() == text


def test_names_cannot_write_markdown_or_html(lab: Lab) -> None:
    lab.record(0, spec_path="a|b](http:x) <img src=x> `c`.yaml")
    text = readme(lab).read_text()
    assert "<img" not in text
    assert "a\\|b\\](http" in text


def test_a_day_with_many_runs_lists_only_the_newest() -> None:
    assert b"and 480 before these" not in day.generated_part({"ok": 1}, [], DAY)
    assert day.generated_part({"ok": 500}, [], DAY).count(b"500 runs") == 1


def test_tracked_files_are_never_rewritten(lab: Lab) -> None:
    lab.record(0)
    for name in (f"{DAY}/README.md", f"{DAY}/runs.csv", "latest"):
        lab.git("add", "-f", "--", name)
    lab.git("commit", "-q", "-m", "mine now")
    lab.record(1)
    assert lab.git("status", "--porcelain", "--untracked-files=no") == ""


def test_derived_files_are_excluded_from_git_once(lab: Lab) -> None:
    lab.record(0)
    lab.record(1)
    listed = lab.git("status", "--porcelain", "-uall")
    assert "runs.csv" not in listed
    assert "README.md" not in listed
    assert "latest" not in listed
    assert "run.json" in listed
    exclude = (lab.repo.common_dir / "info/exclude").read_text()
    assert exclude.splitlines().count("/latest") == 1


def test_latest_is_the_run_that_started_last(lab: Lab) -> None:
    """A88, A89, A164, A114: failed runs too."""
    newest = lab.record(9, status=Status.FAILED)
    lab.record(1)
    assert (lab.root / "latest/run.json").read_bytes() == newest.manifest_bytes
    assert not (lab.root / "latest").readlink().is_absolute()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_latest_of_the_users_own_is_left_alone(lab: Lab, kind: str) -> None:
    path = lab.root / "latest"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("specs")
    lab.record(0)
    assert path.is_symlink() == (kind == "link")
    assert kind != "link" or str(path.readlink()) == "specs"


def test_write_day_makes_a_readme_for_a_day_without_runs(lab: Lab) -> None:
    """A134."""
    write_day(lab.repo, "2026/11/21")
    assert "0 runs" in (lab.root / "2026/11/21/README.md").read_text()
