"""`timelab init` and `timelab init --undo`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli.notebook import HELLO, Notebook
from tests.conftest import Git
from timelab.cli import cli
from timelab.git.repo import discover
from timelab.trust import open_allow_list


def timelab(*args: str, cwd: Path) -> Result:
    return CliRunner().invoke(cli, ["-C", str(cwd), *args])


def picture(root: Path) -> dict[str, tuple[int, bytes]]:
    """Returns every file but objects, logs and what `timelab/` keeps for itself."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith((".git/timelab/", ".git/objects/", ".git/logs/")):
            found[name] = (path.lstat().st_mode, path.read_bytes())
    return found


def test_init_says_what_it_did_and_what_comes_next(repo: Path) -> None:
    done = timelab("init", cwd=repo)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "hooks: post-commit, post-rewrite, post-merge, pre-commit in .git/hooks",
        "notes: git notes show",
        "shell: wrote a starter pin to env/default; commit it, and runs are pinned: git add env/default",
        "trust: 1 files of HEAD, and what you commit here from now on",
    ]
    assert done.stderr == (
        'next: git add env/default && git commit -m "pin the shell", then write a spec and commit it\n'
    )


def test_init_sets_what_the_hooks_and_plain_git_need(repo: Path, git: Git) -> None:
    """D8, T3: `git notes show` finds our notes, and the hooks find us."""
    timelab("init", cwd=repo)
    assert git("config", "core.notesRef", cwd=repo) == "refs/notes/timelab"
    assert git("config", "timelab.since", cwd=repo) == git("rev-parse", "HEAD", cwd=repo)
    program = Path(git("config", "timelab.command", cwd=repo))
    assert program.is_absolute()
    assert os.access(program, os.X_OK)
    assert "/latest" in (repo / ".git/info/exclude").read_text().splitlines()
    assert git("status", "--porcelain", cwd=repo) == "?? env/"


def test_git_log_shows_both_kinds_of_notes_and_warns_of_none(repo: Path, git: Git) -> None:
    timelab("init", cwd=repo)
    argv = ["git", "log", "--format=%N", "-1"]
    assert subprocess.run(argv, cwd=repo, capture_output=True, check=True).stderr == b""
    git("notes", "--ref=timelab", "add", "-m", "ours", "HEAD", cwd=repo)
    shown = subprocess.run(["git", "notes", "show"], cwd=repo, capture_output=True, check=True)
    assert (shown.stdout, shown.stderr) == (b"ours\n", b"")
    git("notes", "--ref=commits", "add", "-m", "theirs", "HEAD", cwd=repo)
    assert git(*argv[1:], cwd=repo).split() == ["ours", "theirs"]


def test_a_second_init_changes_nothing(repo: Path) -> None:
    timelab("init", cwd=repo)
    before = picture(repo)
    done = timelab("init", cwd=repo)
    assert done.exit_code == 0
    assert picture(repo) == before
    assert done.stdout.splitlines()[-1] == "trust: given before; what came since from others needs timelab allow"


def test_undo_restores_every_byte(repo: Path, git: Git, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", str(repo), str(tmp_path / "far.git"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "far.git"), cwd=repo)
    (repo / ".git/hooks/pre-commit").write_text("#!/bin/sh\nexit 0\n")
    (repo / ".git/hooks/pre-commit").chmod(0o751)
    before = picture(repo)
    timelab("init", cwd=repo)
    timelab("init", cwd=repo)
    done = timelab("init", "--undo", cwd=repo)
    assert done.exit_code == 0, done.stderr
    assert picture(repo) == before
    assert not open_allow_list(discover(repo)).is_trusted
    assert timelab("init", "--undo", cwd=repo).stdout == "nothing to undo\n"


def test_undo_names_what_stays_and_each_command_removes_it(
    repo: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the user's is removed unasked, and nothing is left that nobody told of."""
    # A worker that still drains would make its folder again.
    monkeypatch.setenv("TIMELAB_WAIT", "1")
    before = git("for-each-ref", cwd=repo)
    timelab("init", cwd=repo)
    git("add", "env", cwd=repo)
    git("commit", "-q", "-m", "pin the shell", cwd=repo)
    notebook = Notebook(repo)
    notebook.commit({"specs/hello.yaml": HELLO})
    assert notebook.timelab("run", "specs/hello.yaml").code == 0
    said = timelab("init", "--undo", cwd=repo).stderr.splitlines()
    assert said[0] == "what stays, and what would remove it, typed at the root:"
    what = [line.strip() for line in said[1::2]]
    assert what == [
        "records: 1 chain below refs/timelab/",
        "notes: refs/notes/timelab",
        "run folders",
        "tables of the days",
        "pages of the days, with what you wrote there",
        "link to the newest run",
        "pinned shell: env/default",
        "queue, index and cached shells",
    ]
    assert (repo / "latest").is_symlink() and (repo / "env/default/uv.lock").exists()
    # Said again, for who looks later.
    assert timelab("init", "--undo", cwd=repo).stderr.splitlines() == said
    for line in said[2::2]:
        subprocess.run(["sh", "-ec", line], cwd=repo, check=True)
    assert timelab("init", "--undo", cwd=repo).stderr == ""
    git("update-ref", "HEAD", before.split()[0], cwd=repo)
    assert git("for-each-ref", cwd=repo) == before
    files = [path for path in repo.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert sorted(path.relative_to(repo).as_posix() for path in files) == ["README.md", "specs/hello.yaml"]


def test_undo_keeps_what_others_wrote_since(repo: Path, git: Git, tmp_path: Path) -> None:
    git("remote", "add", "origin", str(tmp_path / "far.git"), cwd=repo)
    timelab("init", cwd=repo)
    git("config", "user.email", "new@example.invalid", cwd=repo)
    with (repo / ".git/info/exclude").open("a") as stream:
        stream.write("*.mine\n")
    git("add", "env", cwd=repo)
    timelab("init", "--undo", cwd=repo)
    assert git("config", "--local", "user.email", cwd=repo) == "new@example.invalid"
    assert "timelab" not in (repo / ".git/config").read_text()
    excluded = (repo / ".git/info/exclude").read_text()
    assert "*.mine\n" in excluded
    assert "timelab" not in excluded
    assert (repo / "env/default/uv.lock").exists()


def test_notes_of_the_user_stay_where_they_are(repo: Path, git: Git) -> None:
    git("notes", "add", "-m", "mine", "HEAD", cwd=repo)
    done = timelab("init", cwd=repo)
    assert "notes: yours stay as they are; ours: git notes --ref timelab show" in done.stdout.splitlines()
    assert git("notes", "show", cwd=repo) == "mine"
    assert git("config", "core.notesRef", cwd=repo, check=False) == ""


def test_a_notes_ref_of_the_user_stays(repo: Path, git: Git) -> None:
    git("config", "--global", "core.notesRef", "refs/notes/review", cwd=repo)
    timelab("init", cwd=repo)
    assert git("config", "core.notesRef", cwd=repo) == "refs/notes/review"


def test_a_plain_fetch_cannot_drop_records(repo: Path, git: Git, tmp_path: Path) -> None:
    """T6, G6: only `timelab sync` touches them; the refspecs of an earlier version, which could, are taken out."""
    far = tmp_path / "far.git"
    git("clone", "-q", "--bare", str(repo), str(far), cwd=tmp_path)
    git("remote", "add", "origin", str(far), cwd=repo)
    head = git("rev-parse", "HEAD", cwd=repo)
    git("config", "--add", "remote.origin.fetch", "+refs/timelab/runs/*:refs/timelab/remotes/origin/runs/*", cwd=repo)
    git("update-ref", "refs/timelab/remotes/origin/runs/w", head, cwd=repo)
    assert "a plain git fetch from origin can drop records" in timelab("doctor", cwd=repo).output
    assert "remotes: timelab sync brings the records of origin" in timelab("init", cwd=repo).stdout
    git("fetch", "-q", "--prune", "origin", cwd=repo)
    git("remote", "remove", "origin", cwd=repo)
    assert git("for-each-ref", "--format=%(refname)", "refs/timelab/remotes", cwd=repo).split() == [
        "refs/timelab/remotes/origin/runs/w"
    ]


def test_what_came_since_is_not_trusted_by_a_second_init(repo: Path, git: Git) -> None:
    timelab("init", cwd=repo)
    (repo / "theirs").write_text("x")
    git("add", "theirs", cwd=repo)
    git("commit", "-q", "-m", "x", cwd=repo, TIMELAB_HOOK="off")
    timelab("init", cwd=repo)
    allowed = open_allow_list(discover(repo))
    assert allowed.is_allowed("README.md", git("rev-parse", "HEAD:README.md", cwd=repo))
    assert not allowed.is_allowed("theirs", git("rev-parse", "HEAD:theirs", cwd=repo))


def test_a_repository_with_pins_gets_no_other(repo: Path, git: Git) -> None:
    for name in ("pyproject.toml", "uv.lock"):
        (repo / name).write_text("")
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "pins", cwd=repo)
    assert "starter" not in timelab("init", cwd=repo).stdout
    assert not (repo / "env").exists()


def test_a_repository_whose_settings_name_a_pin_gets_no_other(repo: Path, git: Git) -> None:
    """Design 5: the file says where they are; a second pin would only be a question."""
    (repo / "timelab.toml").write_text('[profiles.default]\nuv = "pins/a"\n')
    git("add", "timelab.toml", cwd=repo)
    git("commit", "-q", "-m", "settings", cwd=repo)
    assert CliRunner().invoke(cli, ["-C", str(repo), "init"]).exit_code == 0
    assert not (repo / "env").exists()


def test_an_ignored_pin_is_added_all_the_same(repo: Path, git: Git) -> None:
    (repo / ".gitignore").write_text("env/\n")
    next_command = timelab("init", cwd=repo).stderr
    assert next_command.startswith("next: git add -f env/default && ")
    git("add", "-f", "env/default", cwd=repo)


def test_a_folder_without_git_is_told_how_to_begin(tmp_path: Path) -> None:
    done = timelab("init", cwd=tmp_path)
    assert done.exit_code == 64
    assert done.stderr == "timelab: not a git repository, nor any folder above\nhint: git init\n"


def test_a_repository_without_a_commit_can_be_set_up(tmp_path: Path, git: Git) -> None:
    git("init", "-q", cwd=tmp_path)
    done = timelab("init", cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "trust: 0 files of HEAD, and what you commit here from now on"


def test_a_bare_repository_gets_no_hooks_and_says_so(repo: Path, git: Git, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", str(repo), str(tmp_path / "bare.git"), cwd=tmp_path)
    done = timelab("init", cwd=tmp_path / "bare.git")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0] == "hooks: none, a bare repository has no commits of its own"
    assert timelab("init", "--undo", cwd=tmp_path / "bare.git").exit_code == 0


def test_init_from_a_linked_worktree_serves_all(repo: Path, git: Git, tmp_path: Path) -> None:
    git("worktree", "add", "-q", str(tmp_path / "side"), "-b", "side", cwd=repo)
    done = timelab("init", cwd=tmp_path / "side")
    assert done.exit_code == 0, done.stderr
    assert (repo / ".git/hooks/post-commit").exists()


@pytest.mark.parametrize("manager", ["pre-commit", "core.hooksPath"])
def test_init_beside_another_hook_manager_says_in_one_line_what_it_did(repo: Path, git: Git, manager: str) -> None:
    if manager == "pre-commit":
        framework = shutil.which("pre-commit", path=str(Path(sys.executable).parent))
        assert framework
        (repo / ".pre-commit-config.yaml").write_text("repos: []\n")
        subprocess.run([framework, "install"], cwd=repo, check=True, capture_output=True)
    else:
        git("config", "core.hooksPath", "hooks", cwd=repo)
    line = timelab("init", cwd=repo).stdout.splitlines()[0]
    begin = "hooks: post-commit, post-rewrite, post-merge, pre-commit in "
    kept = {
        "pre-commit": ".git/hooks; kept and called: pre-commit",
        "core.hooksPath": ".git/timelab/hooks; those of core.hooksPath hooks still run",
    }
    assert line == begin + kept[manager]
    git("commit", "-q", "--allow-empty", "-m", "still works", cwd=repo)
