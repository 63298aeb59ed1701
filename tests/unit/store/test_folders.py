from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import fill
from timelab.errors import StoreError
from timelab.store import folders

RUN = "2026/11/20/ai-team/artifacts/102300-echo-aaaaaaaa"
FILES = {"run.json": b"{}\n", "output/a.txt": b"a"}


def put(root: Path, staging: Path | None, run_json: bytes = b"{}\n") -> bool:
    return folders.place(root, RUN, staging=staging, export=lambda to: fill(to, FILES) and None, run_json=run_json)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.mark.parametrize("from_staging", [True, False])
def test_a_folder_is_put_at_its_place(root: Path, tmp_path: Path, from_staging: bool) -> None:
    staging = fill(tmp_path / "staging", {**FILES, "running.json": b"{}"}) if from_staging else None
    assert put(root, staging)
    assert {path: data for path, (_, data) in folders.read_files(root / RUN).items()} == FILES
    assert put(root, None) is False


def test_another_file_system_gets_a_copy(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = fill(tmp_path / "staging", FILES)
    real = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self == staging:
            raise OSError(18, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    fill(root / RUN.rpartition("/")[0] / ".102300-echo-aaaaaaaa.tmp", {"half": b""})
    assert put(root, staging)
    assert sorted(folders.read_files(root / RUN)) == ["output/a.txt", "run.json"]
    assert [path.name for path in (root / RUN).parent.iterdir()] == ["102300-echo-aaaaaaaa"]


@pytest.mark.parametrize("what", ["file", "folder", "link", "empty"])
def test_what_stands_there_is_never_overwritten(root: Path, what: str) -> None:
    target = root / RUN
    target.parent.mkdir(parents=True)
    if what == "file":
        target.write_text("mine")
    elif what == "link":
        target.symlink_to(root)
    else:
        target.mkdir()
        if what == "folder":
            (target / "run.json").write_text("mine")
    before = sorted(path.as_posix() for path in root.rglob("*"))
    with pytest.raises(StoreError) as caught:
        put(root, None)
    assert caught.value.slug == "folder-refused"
    assert sorted(path.as_posix() for path in root.rglob("*")) == before


@pytest.mark.parametrize("goal", ["outside", "root/.git", "root/years"])
@pytest.mark.parametrize("link", ["2026", "2026/11/20", "2026/11/20/ai-team/artifacts"])
def test_a_link_on_the_way_is_refused_wherever_it_leads(root: Path, tmp_path: Path, link: str, goal: str) -> None:
    (tmp_path / goal).mkdir()
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    (root / link).symlink_to(tmp_path / goal)
    with pytest.raises(StoreError, match=f"{link} is a link"):
        put(root, None)
    assert list((tmp_path / goal).iterdir()) == []
    assert not folders.is_inside(root, f"{link}/x")


def test_nothing_is_removed_through_a_link(root: Path) -> None:
    put(root, None)
    (root / "2026").rename(root / "elsewhere")
    (root / "2026").symlink_to("elsewhere")
    folders.remove_untracked(root, RUN, frozenset())
    assert len(folders.read_files(root / "elsewhere")) == 2


def test_only_untracked_files_are_removed(root: Path) -> None:
    put(root, None)
    folders.remove_untracked(root, RUN, frozenset({f"{RUN}/output/a.txt"}))
    assert sorted(folders.read_files(root / RUN)) == ["output/a.txt"]
    folders.remove_untracked(root, RUN, frozenset())
    assert not (root / RUN).exists()


def test_modes_become_those_that_git_keeps(tmp_path: Path) -> None:
    folder = fill(tmp_path / "f", {"a": b"", "d/b": b""})
    (folder / "a").chmod(0o600)
    (folder / "d/b").chmod(0o4711)
    (folder / "d").chmod(0o700)
    folders.normalise(folder)
    modes = {name: (folder / name).stat().st_mode & 0o7777 for name in ("a", "d", "d/b")}
    assert modes == {"a": 0o644, "d": 0o755, "d/b": 0o755}


def test_moving_away_never_overwrites(tmp_path: Path) -> None:
    room = tmp_path / "room"
    for text in ("one", "two"):
        (tmp_path / "x").write_text(text)
        folders.move_away(tmp_path / "x", room)
    assert sorted(path.read_text() for path in room.iterdir()) == ["one", "two"]
