"""Who may make a spec run by itself: each row of design 4 with real git."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Git
from timelab.errors import UsageError
from timelab.git import origins
from timelab.git.repo import Repo, discover
from timelab.names import Oid
from timelab.queue import Job
from timelab.trust import AllowList, Evidence, open_allow_list, plain_commit, trust_folder

EVE = {
    "GIT_AUTHOR_NAME": "Eve",
    "GIT_AUTHOR_EMAIL": "eve@example.invalid",
    "GIT_COMMITTER_NAME": "Eve",
    "GIT_COMMITTER_EMAIL": "eve@example.invalid",
}
SPEC = "specs/a.yaml"


@pytest.fixture
def lab(repo: Path) -> Repo:
    found = discover(repo)
    open_allow_list(found).trust(found)
    return found


def job_of(lab: Repo, git: Git) -> Job:
    """Returns what the hook would write down now."""
    assert lab.root is not None
    log = git("log", "-g", "-2", "--format=%H %gs", cwd=lab.root).splitlines()
    remotes = git("for-each-ref", "--format=%(objectname)", "refs/remotes", cwd=lab.root).split()
    return Job(
        id="x",
        hook="post-commit",
        commit=Oid(log[0].split()[0]),
        previous=Oid(log[1].split()[0]) if len(log) > 1 else None,
        reflog_subject=log[0].split(" ", 1)[1],
        remote_ids=frozenset(map(Oid, remotes)),
    )


def put(repo: Path, git: Git, path: str, text: str, message: str = "c", *args: str, **env: str) -> None:
    (repo / path).parent.mkdir(parents=True, exist_ok=True)
    (repo / path).write_text(text)
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", message, *args, cwd=repo, **env)


def pair(repo: Path, git: Git, path: str = SPEC) -> tuple[str, str]:
    return path, git("rev-parse", f"HEAD:{path}", cwd=repo)


def is_own(lab: Repo, git: Git, job: Job | None = None, path: str = SPEC) -> bool:
    """Does what the worker does with one file of a closure."""
    assert lab.root is not None
    asked = job or job_of(lab, git)
    found = pair(lab.root, git, path)
    if plain_commit(lab, asked):
        open_allow_list(lab).allow_own(lab, asked, [found])
    return open_allow_list(lab).is_allowed(*found)


# --- the list ---


def test_nothing_is_allowed_before_the_repository_is_trusted(repo: Path, git: Git) -> None:
    lab = discover(repo)
    put(repo, git, SPEC, "x")
    assert not open_allow_list(lab).is_trusted
    assert not is_own(lab, git)
    with pytest.raises(UsageError, match="not set up"):
        open_allow_list(lab).allow_files([pair(repo, git)])


def test_a_tree_is_allowed_at_its_paths_only(lab: Repo, repo: Path, git: Git) -> None:
    put(repo, git, SPEC, "x")
    allowed = open_allow_list(lab)
    assert allowed.allow_tree(lab, Oid(git("rev-parse", "HEAD^{tree}", cwd=repo))) == 2
    assert allowed.is_allowed(*pair(repo, git))
    assert not allowed.is_allowed("specs/b.yaml", pair(repo, git)[1])
    assert not allowed.is_allowed(SPEC, "0" * 40)
    assert allowed.allow_files([pair(repo, git)]) == 0


def test_the_list_lies_with_the_user_and_not_in_the_repository(lab: Repo, repo: Path, git: Git, hermetic: Path) -> None:
    put(repo, git, SPEC, "x")
    open_allow_list(lab).allow_files([pair(repo, git)])
    folder = hermetic / ".local/share/timelab/trust"
    assert sorted(path.suffix for path in folder.iterdir()) == [".allow", ".json", ".lock"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("*.json"))
    assert trust_folder({"XDG_DATA_HOME": "relative", "HOME": "/h"}) == Path("/h/.local/share/timelab/trust")


def test_a_copy_and_a_successor_inherit_no_trust(lab: Repo, repo: Path, git: Git, tmp_path: Path) -> None:
    """A copy elsewhere has the id and another place; a new repository here has the place and another id."""
    put(repo, git, SPEC, "x")
    open_allow_list(lab).allow_files([pair(repo, git)])
    shutil.copytree(repo, tmp_path / "copy")
    assert not open_allow_list(discover(tmp_path / "copy")).is_trusted
    shutil.move(repo, tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", repo)
    assert open_allow_list(discover(repo)).is_trusted
    (repo / ".git/timelab/id").unlink()
    assert not open_allow_list(discover(repo)).is_trusted


def test_a_line_that_a_crash_cut_short_allows_nothing(lab: Repo, repo: Path, git: Git, hermetic: Path) -> None:
    put(repo, git, SPEC, "x")
    open_allow_list(lab).allow_files([("a", "1" * 40)])
    (file,) = (hermetic / ".local/share/timelab/trust").glob("*.allow")
    with file.open("ab") as stream:
        stream.write(f"{'2' * 40} b".encode())
    assert not open_allow_list(lab).is_allowed("b", "2" * 40)
    open_allow_list(lab).allow_files([("c", "3" * 40)])
    allowed = open_allow_list(lab)
    assert allowed.is_allowed("a", "1" * 40)
    assert allowed.is_allowed("c", "3" * 40)


def test_trust_can_be_withdrawn(lab: Repo, repo: Path, git: Git, hermetic: Path) -> None:
    open_allow_list(lab).allow_files([("a", "1" * 40)])
    open_allow_list(lab).forget()
    assert not open_allow_list(lab).is_trusted
    assert list((hermetic / ".local/share/timelab/trust").iterdir()) == []


def test_paths_that_cannot_be_are_not_allowed(lab: Repo) -> None:
    allowed = open_allow_list(lab)
    assert allowed.allow_files([("../a", "1" * 40), ("a\nb", "1" * 40), (".git/config", "1" * 40)]) == 0


# --- plain commits ---


def test_a_commit_of_one_s_own_is_plain_and_allows_its_files(lab: Repo, repo: Path, git: Git) -> None:
    put(repo, git, SPEC, "x")
    assert plain_commit(lab, job_of(lab, git))
    assert is_own(lab, git)
    put(repo, git, SPEC, "y")
    assert is_own(lab, git)


def test_the_first_commit_is_plain(tmp_path: Path, git: Git) -> None:
    (tmp_path / "new").mkdir()
    git("init", "-q", cwd=tmp_path / "new")
    lab = discover(tmp_path / "new")
    open_allow_list(lab).trust(lab)
    put(tmp_path / "new", git, SPEC, "x")
    assert job_of(lab, git).reflog_subject.startswith("commit (initial): ")
    assert is_own(lab, git)


def test_an_amend_allows_what_it_changes(lab: Repo, repo: Path, git: Git) -> None:
    put(repo, git, SPEC, "x")
    put(repo, git, SPEC, "y", "c", "--amend")
    assert is_own(lab, git)


@pytest.mark.parametrize(
    "change",
    [
        {"hook": "post-merge"},
        {"hook": "allow"},
        {"reflog_subject": "cherry-pick: c"},
        {"reflog_subject": "rebase (pick): c"},
        {"reflog_subject": "am: c"},
        {"reflog_subject": "revert: c"},
        {"reflog_subject": "merge x: Fast-forward"},
        {"reflog_subject": "commit (merge): c"},
        {"reflog_subject": "commit (cherry-pick): c"},
        {"reflog_subject": ""},
        {"commit": None},
        {"commit": Oid("0" * 40)},
    ],
)
def test_anything_else_is_not_plain(lab: Repo, repo: Path, git: Git, change: dict[str, object]) -> None:
    from dataclasses import replace

    put(repo, git, SPEC, "x")
    assert plain_commit(lab, job_of(lab, git))
    assert not plain_commit(lab, replace(job_of(lab, git), **change))  # type: ignore[arg-type]


def test_a_commit_under_another_name_is_not_plain(lab: Repo, repo: Path, git: Git) -> None:
    put(repo, git, SPEC, "x", **EVE)
    assert not plain_commit(lab, job_of(lab, git))


def test_a_name_that_init_saw_counts_too(lab: Repo, repo: Path, git: Git) -> None:
    """Who sets GIT_COMMITTER_EMAIL instead of user.email is the same person."""
    open_allow_list(lab).trust(lab, identities=["Eve <eve@example.invalid>"])
    put(repo, git, SPEC, "x", **EVE)
    assert is_own(lab, git)


# --- what came from elsewhere ---


@pytest.fixture
def theirs(repo: Path, git: Git, tmp_path: Path) -> Path:
    """Is Eve's clone, with a spec on branch `evil`, which this repository has fetched."""
    path = tmp_path / "theirs"
    git("clone", "-q", str(repo), str(path), cwd=tmp_path)
    git("checkout", "-q", "-b", "evil", cwd=path)
    put(path, git, SPEC, "evil", "evil", **EVE)
    git("remote", "add", "origin", str(path), cwd=repo)
    git("fetch", "-q", "origin", cwd=repo)
    return path


def take_file(repo: Path, git: Git) -> None:
    git("checkout", "-q", "origin/evil", "--", SPEC, cwd=repo)
    git("commit", "-q", "-m", "mine now", cwd=repo)


def squash(repo: Path, git: Git) -> None:
    git("merge", "-q", "--squash", "origin/evil", cwd=repo)
    git("commit", "-q", "-m", "mine now", cwd=repo)


def cherry_pick_and_amend(repo: Path, git: Git) -> None:
    git("cherry-pick", "origin/evil", cwd=repo)
    git("commit", "-q", "--amend", "-m", "mine now", cwd=repo)


def merge_and_amend(repo: Path, git: Git) -> None:
    git("merge", "-q", "--ff-only", "origin/evil", cwd=repo)
    git("commit", "-q", "--amend", "-m", "mine now", cwd=repo)


def mail_and_amend(repo: Path, git: Git) -> None:
    patch = git("format-patch", "--stdout", "-1", "origin/evil", cwd=repo)
    (repo.parent / "mail").write_text(patch + "\n")
    git("branch", "-q", "-D", "-r", "origin/evil", cwd=repo)
    git("am", "-q", str(repo.parent / "mail"), cwd=repo)
    git("commit", "-q", "--amend", "-m", "mine now", cwd=repo)


def fetched_and_gone(repo: Path, git: Git) -> None:
    git("cherry-pick", "origin/evil", cwd=repo)
    git("remote", "remove", "origin", cwd=repo)
    (repo / ".git/FETCH_HEAD").unlink()
    git("commit", "-q", "--amend", "-m", "mine now", cwd=repo)


def rename(repo: Path, git: Git) -> None:
    git("merge", "-q", "--squash", "origin/evil", cwd=repo)
    git("mv", SPEC, "specs/b.yaml", cwd=repo)
    git("commit", "-q", "-m", "mine now", cwd=repo)


@pytest.mark.parametrize(
    "take", [take_file, squash, cherry_pick_and_amend, merge_and_amend, mail_and_amend, fetched_and_gone, rename]
)
def test_a_stranger_s_file_is_not_allowed_by_one_s_own_commit(
    lab: Repo, repo: Path, git: Git, theirs: Path, take: Callable[[Path, Git], None]
) -> None:
    """Trust-and-UI section 7: `plain` is not enough, the content must be one's own."""
    take(repo, git)
    path = "specs/b.yaml" if take is rename else SPEC
    job = job_of(lab, git)
    assert plain_commit(lab, job)
    assert not is_own(lab, git, job, path)
    put(repo, git, path, "read and changed")
    assert is_own(lab, git, path=path)


def test_a_stranger_under_this_user_s_name_is_a_stranger(lab: Repo, repo: Path, git: Git, theirs: Path) -> None:
    """Anybody can write any committer into a commit; where it was fetched from, they cannot."""
    put(theirs, git, SPEC, "forged", "forged")
    git("fetch", "-q", "origin", cwd=repo)
    take_file(repo, git)
    assert plain_commit(lab, job_of(lab, git))
    assert not is_own(lab, git)


def test_a_stranger_s_file_at_another_path_is_not_allowed_either(lab: Repo, repo: Path, git: Git, theirs: Path) -> None:
    put(repo, git, "specs/copy.yaml", "evil")
    assert not is_own(lab, git, path="specs/copy.yaml")


def test_one_s_own_file_stays_one_s_own_when_pushed_rebased_or_merged(
    lab: Repo, repo: Path, git: Git, theirs: Path
) -> None:
    """A file committed before any spec names it leaves no job; the reflog still knows who made it."""
    put(repo, git, "data/cases.csv", "1,2\n", "data")
    git("push", "-q", "origin", "HEAD:refs/heads/pushed", cwd=repo)
    git("checkout", "-q", "-b", "side", "HEAD~1", cwd=repo)
    put(repo, git, "other", "x")
    git("rebase", "-q", "side", "main", cwd=repo)
    put(repo, git, SPEC, "x")
    job = job_of(lab, git)
    assert job.remote_ids
    open_allow_list(lab).allow_own(lab, job, [pair(repo, git), pair(repo, git, "data/cases.csv")])
    assert open_allow_list(lab).is_allowed(*pair(repo, git))
    assert open_allow_list(lab).is_allowed(*pair(repo, git, "data/cases.csv"))


def test_what_pull_rebased_stays_one_s_own(lab: Repo, repo: Path, git: Git, theirs: Path) -> None:
    """Its reflog entries carry the words that were typed: `pull -q --rebase origin side (pick): data`."""
    git("push", "-q", "origin", "HEAD:refs/heads/side", cwd=repo)
    git("checkout", "-q", "side", cwd=theirs)
    put(theirs, git, "other", "x", **EVE)
    put(repo, git, "data/cases.csv", "1,2\n", "data")
    git("pull", "-q", "--rebase", "origin", "side", cwd=repo)
    git("push", "-q", "origin", "HEAD:refs/heads/pushed", cwd=repo)
    put(repo, git, SPEC, "x")
    job = job_of(lab, git)
    open_allow_list(lab).allow_own(lab, job, [pair(repo, git, "data/cases.csv")])
    assert open_allow_list(lab).is_allowed(*pair(repo, git, "data/cases.csv"))


def test_a_forged_commit_that_a_rebase_went_to_is_still_a_stranger_s(
    lab: Repo, repo: Path, git: Git, theirs: Path
) -> None:
    """`rebase (start)` and `(finish)` make nothing here: they go to what was fetched."""
    put(theirs, git, SPEC, "forged", "forged")
    git("fetch", "-q", "origin", cwd=repo)
    before = git("rev-parse", "HEAD", cwd=repo)
    git("rebase", "-q", "origin/evil", cwd=repo)
    git("reset", "-q", "--hard", before, cwd=repo)
    take_file(repo, git)
    assert plain_commit(lab, job_of(lab, git))
    assert not is_own(lab, git)


@pytest.mark.parametrize(
    ("subject", "local"),
    [
        ("rebase (pick): x", True),
        ("rebase -i (squash): x", True),
        ("pull -q --rebase origin refs/heads/a:refs/heads/b (pick): (start): x", True),
        ("pull --rebase (continue): x", True),
        ("cherry-pick: x", True),
        ("revert: x", True),
        ("commit (cherry-pick): x", True),
        ("rebase (start): checkout origin/evil", False),
        ("rebase (finish): refs/heads/main onto 1234", False),
        ("pull --rebase (start): checkout 1234 (pick): x", False),
        ("pull --rebase (pick): fast-forward", False),
        ("cherry-pick: fast-forward", False),
        ("rebase: fast-forward", False),
        ("pull origin main: Fast-forward", False),
        ("reset: moving to (pick): x", False),
        ("merge x: Fast-forward", False),
    ],
)
def test_a_move_of_the_reflog_is_local_work_or_a_step_to_a_commit_that_was_there(subject: str, local: bool) -> None:
    commit, previous = Oid("1" * 40), Oid("2" * 40)
    job = Job(id="x", hook="post-merge", commit=None)
    found = Evidence.of(job, [origins.Move(commit, previous, subject)], frozenset())
    assert (commit in found.local) is local


def test_a_push_before_the_worker_comes_changes_nothing(lab: Repo, repo: Path, git: Git, theirs: Path) -> None:
    put(repo, git, SPEC, "x")
    job = job_of(lab, git)
    git("push", "-q", "origin", "HEAD:refs/heads/pushed", cwd=repo)
    assert is_own(lab, git, job)


def test_a_merge_that_nobody_s_parent_has_is_found(lab: Repo, repo: Path, git: Git) -> None:
    """An evil merge brings content that is in none of its parents."""
    git("checkout", "-q", "-b", "side", cwd=repo)
    put(repo, git, "b", "b")
    git("checkout", "-q", "main", cwd=repo)
    git("merge", "-q", "--no-ff", "--no-commit", "side", cwd=repo)
    put(repo, git, SPEC, "evil", "merged", **EVE)
    found = origins.bringings(lab, [pair(repo, git)], [])
    assert [each.committer for each in found[pair(repo, git)[1]]] == ["Eve <eve@example.invalid>"]


def test_our_own_records_are_not_a_stranger(lab: Repo, repo: Path, git: Git) -> None:
    put(repo, git, SPEC, "x")
    tree = git("rev-parse", "HEAD^{tree}", cwd=repo)
    chain = git("commit-tree", "-m", "run", tree, cwd=repo, **EVE)
    git("update-ref", "refs/timelab/runs/w", chain, cwd=repo)
    assert is_own(lab, git)


def test_a_history_too_long_to_search_allows_nothing(
    lab: Repo, repo: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origins, "SEARCH_TIMEOUT_S", 0.0001)
    put(repo, git, SPEC, "x")
    assert not is_own(lab, git)


def test_the_key_of_a_repository_is_made_once(repo: Path) -> None:
    lab = discover(repo)
    first, second = open_allow_list(lab), open_allow_list(lab)
    assert isinstance(first, AllowList)
    first.trust(lab)
    assert second.is_trusted
    assert os.stat(lab.timelab_dir / "id").st_mode & 0o077 == 0  # noqa: PTH116
