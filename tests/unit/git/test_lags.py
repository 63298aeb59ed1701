"""timelab/git/lags.py: which chains a remote lost entries of, kept for those who look without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from timelab.git.chain import REMOTES
from timelab.git.lags import LAGGING, Lag, lags, mark_lags
from timelab.git.refs import list_refs
from timelab.git.repo import discover, resolve

Git = Callable[..., str]


def test_a_lag_is_marked_until_the_remote_has_the_chain_again(repo: Path, git: Git) -> None:
    found = discover(repo)
    base = resolve(found, "HEAD")
    for message in ("theirs", "ours"):
        git("checkout", "-q", "--detach", base, cwd=repo)
        git("commit", "-q", "--allow-empty", "-m", message, cwd=repo)
        git("tag", message, cwd=repo)
    ours, theirs = resolve(found, "ours"), resolve(found, "theirs")
    for remote in ("team/hub", "team"):
        git("update-ref", f"{REMOTES}{remote}/runs/w", ours, cwd=repo)
    assert mark_lags(found, "team/hub", {"runs/w": ours, "runs/x": theirs, "notes": base}) == ()
    for there, state in ({"runs/w": base}, "behind"), ({"runs/w": theirs}, "parted"), ({"notes": base}, "gone"):
        expected = [Lag("team/hub", "w", state)]
        assert list(mark_lags(found, "team/hub", there)) == lags(found) == expected
    assert mark_lags(found, "team", {"runs/w": ours}) == ()
    assert len(lags(found)) == 1, "another remote says nothing of this one"
    assert mark_lags(found, "team/hub", {"runs/w": ours}) == ()
    assert list_refs(found, LAGGING) == {}


def test_a_mark_whose_tracking_copy_is_gone_says_nothing(repo: Path, git: Git) -> None:
    git("update-ref", f"{LAGGING}origin/runs/w", "HEAD", cwd=repo)
    assert lags(discover(repo)) == []
