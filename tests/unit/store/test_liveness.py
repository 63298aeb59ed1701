"""Who is alive, told across processes by locks alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.helpers import Lab
from timelab.store.liveness import hold, is_alive, is_lost, making, move, nobody_makes, release

_HOLDER = """
import sys
from pathlib import Path
from timelab.store.liveness import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_is_alive_until_its_holder_lets_go(tmp_path: Path) -> None:
    assert not is_alive(tmp_path)
    (tmp_path / "running.json").write_text("{}")
    assert not is_alive(tmp_path)
    hold(tmp_path)
    assert is_alive(tmp_path)
    release(tmp_path)
    release(tmp_path)
    assert not is_alive(tmp_path)


def test_a_folder_is_alive_until_its_holder_is_killed(tmp_path: Path) -> None:
    """A75: nothing stale is left behind, and nothing that the holder starts keeps the lock."""
    (tmp_path / "running.json").write_text("{}")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_alive(tmp_path)
        assert is_alive(tmp_path)
        holder.kill()
    assert not is_alive(tmp_path)


def test_a_folder_is_held_under_the_name_that_it_gets(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    draft.mkdir()
    (draft / "running.json").write_text("{}")
    hold(draft)
    move(draft, tmp_path / "name")
    assert is_alive(tmp_path / "name")
    assert not is_lost(tmp_path / "name")
    release(tmp_path / "name")
    assert not is_alive(tmp_path / "name")


def test_a_folder_that_was_put_in_the_place_of_ours_is_not_ours(tmp_path: Path) -> None:
    staging = tmp_path / "name"
    for what in ("ours", "theirs"):
        staging.mkdir()
        (staging / "running.json").write_text("{}")
        if what == "ours":
            hold(staging)
            staging.rename(tmp_path / "quarantine")
            assert is_lost(staging)
    assert is_lost(staging)
    release(staging)
    assert not is_lost(staging)


def test_many_make_at_once_and_a_sweep_only_while_nobody_does(lab: Lab) -> None:
    with nobody_makes(lab.repo) as is_quiet:
        assert is_quiet
    with making(lab.repo), making(lab.repo), nobody_makes(lab.repo) as is_quiet:
        assert not is_quiet
