"""Installing and removing hooks, judged by files and configuration; `tests/flow` runs them under git."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Git
from timelab.errors import GitError
from timelab.git import hooks, stubs
from timelab.git.config import get_config
from timelab.git.repo import discover

ROOT = Path(__file__).parents[3]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "timelab"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def every_text() -> dict[str, str]:
    texts = {hook: stubs.stub(hook) for hook in stubs.HOOKS}
    texts |= {f"redirect-{hook}": stubs.stub(hook, chained="'.husky/_/it'\\''s'") for hook in stubs.HOOKS}
    texts["framework"] = stubs.stub("pre-commit", framework=True)
    texts["forwarder"] = stubs.forwarder("commit-msg", chained="'.husky/_/commit-msg'")
    return texts


def test_every_hook_is_shellcheck_clean(tmp_path: Path) -> None:
    """A144: sh in strict mode, checked."""
    for name, text in every_text().items():
        (tmp_path / name).write_text(text)
        assert "\nset -eu\n" in text
    program = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    assert program, "shellcheck is a part of the development group"
    done = subprocess.run([program, "-s", "sh", *map(str, tmp_path.iterdir())], capture_output=True, check=False)
    assert done.stdout.decode() == ""
    assert done.returncode == 0


def test_our_own_hooks_are_the_ones_that_we_install() -> None:
    """D11: `.githooks/` holds the same texts, so the tests of one are the tests of the other."""
    for hook in ("post-commit", "post-rewrite", "pre-commit"):
        path = ROOT / ".githooks" / hook
        assert path.read_text() == stubs.stub(hook, chained="''", framework=hook == "pre-commit")
        assert path.stat().st_mode & 0o111 == 0o111


def test_a_stub_is_recognised_with_its_version() -> None:
    for text in every_text().values():
        assert stubs.stub_version(text.encode()) == stubs.VERSION
    assert stubs.stub_version(b"#!/bin/sh\nexit 0\n") is None
    assert stubs.stub_version(b"#!/bin/sh\n# timelab hook 7: post-commit\n") == 7
    assert stubs.stub_version(b"") is None


def test_an_older_stub_is_replaced_and_not_chained(repo: Path, program: Path) -> None:
    lab = discover(repo)
    hooks.install(lab, program)
    path = repo / ".git/hooks/post-commit"
    path.write_text("#!/bin/sh\n# timelab hook 0: post-commit\n")
    assert hooks.state(lab).outdated == ("post-commit",)
    hooks.install(lab, program)
    assert path.read_text() == stubs.stub("post-commit")
    assert not path.with_name("post-commit.timelab-chained").exists()


def test_a_bare_repository_gets_no_hooks(tmp_path: Path, program: Path, git: Git) -> None:
    git("init", "-q", "--bare", "bare.git", cwd=tmp_path)
    lab = discover(tmp_path / "bare.git")
    assert hooks.install(lab, program) == ["hooks: none, a bare repository has no commits of its own"]
    assert hooks.state(lab).mode == "none"
    assert hooks.uninstall(lab) == []


def test_a_hooks_folder_that_we_made_goes_away_again(repo: Path, program: Path) -> None:
    shutil.rmtree(repo / ".git/hooks")
    lab = discover(repo)
    hooks.install(lab, program)
    assert hooks.state(lab).is_whole
    hooks.uninstall(lab)
    assert not (repo / ".git/hooks").exists()


def test_a_folder_that_tracks_our_hooks_is_left_alone(repo: Path, program: Path, git: Git) -> None:
    shutil.copytree(ROOT / ".githooks", repo / ".githooks")
    git("config", "core.hooksPath", ".githooks", cwd=repo)
    lab = discover(repo)
    assert hooks.install(lab, program) == ["hooks: core.hooksPath .githooks has them already"]
    state = hooks.state(lab)
    assert (state.mode, state.is_whole) == ("own", True)
    assert state.active == ("post-commit", "post-rewrite", "pre-commit")


@pytest.mark.parametrize("is_set", [True, False])
def test_a_hooks_folder_that_is_a_link_is_called_and_never_written_to(
    repo: Path, program: Path, git: Git, is_set: bool
) -> None:
    """The link may lead to tracked files: installing, twice, and undoing change none of them."""
    shutil.rmtree(repo / ".git/hooks")
    (repo / "tools").mkdir()
    (repo / "tools/pre-commit").write_text("#!/bin/sh\necho mine >&2\n")
    (repo / "tools/pre-commit").chmod(0o755)
    (repo / ".git/hooks").symlink_to("../tools")
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "hooks", cwd=repo)
    if is_set:
        git("config", "core.hooksPath", ".git/hooks", cwd=repo)
    before = (repo / ".git/config").read_bytes()
    lab = discover(repo)
    said = hooks.install(lab, program)
    assert hooks.install(lab, program) == said
    assert said[0].endswith(
        f"those of {'core.hooksPath .git/hooks' if is_set else '.git/hooks, which is a link,'} still run"
    )
    assert (hooks.state(lab).mode, hooks.state(lab).is_whole, hooks.state(lab).notes) == ("redirect", True, ())
    done = subprocess.run(["git", "commit", "--allow-empty", "-m", "x"], cwd=repo, capture_output=True, check=True)
    assert b"mine" in done.stderr
    assert [path.name for path in (repo / "tools").iterdir()] == ["pre-commit"]
    assert git("status", "--porcelain", cwd=repo) == ""
    assert hooks.uninstall(lab) == [f"hooks: core.hooksPath is {'.git/hooks' if is_set else 'unset'} again"]
    assert (repo / ".git/config").read_bytes() == before
    assert (repo / ".git/hooks").is_symlink()
    assert git("status", "--porcelain", cwd=repo) == ""


def test_a_link_to_a_folder_that_tracks_our_hooks_is_left_alone(repo: Path, program: Path) -> None:
    shutil.rmtree(repo / ".git/hooks")
    shutil.copytree(ROOT / ".githooks", repo / ".githooks")
    (repo / ".git/hooks").symlink_to("../.githooks")
    before = {path.name: path.read_bytes() for path in (repo / ".githooks").iterdir()}
    lab = discover(repo)
    assert hooks.install(lab, program) == ["hooks: .git/hooks, which is a link, has them already"]
    assert (hooks.state(lab).mode, hooks.state(lab).is_whole) == ("own", True)
    hooks.uninstall(lab)
    assert {path.name: path.read_bytes() for path in (repo / ".githooks").iterdir()} == before


def test_a_hooks_path_that_wins_over_the_repository_is_said_and_nothing_changed(
    repo: Path, program: Path, git: Git, tmp_path: Path
) -> None:
    git("config", "extensions.worktreeConfig", "true", cwd=repo)
    git("config", "--worktree", "core.hooksPath", "elsewhere", cwd=repo)
    (line,) = hooks.install(discover(repo), program)
    assert line.startswith("hooks: not installed, core.hooksPath is set for this work tree only")
    assert git("config", "core.hooksPath", cwd=repo) == "elsewhere"


def test_an_include_after_our_setting_is_an_error_and_not_a_silence(repo: Path, program: Path, git: Git) -> None:
    (repo / ".git/more").write_text("[core]\n\thooksPath = elsewhere\n")
    git("config", "core.hooksPath", "first", cwd=repo)
    git("config", "include.path", "more", cwd=repo)
    with pytest.raises(GitError, match="a file that wins"):
        hooks.install(discover(repo), program)


def test_state_names_what_is_wrong(repo: Path, program: Path) -> None:
    lab = discover(repo)
    assert hooks.state(lab).missing == stubs.HOOKS
    hooks.install(lab, program)
    assert hooks.state(lab).is_whole
    (repo / ".git/hooks/post-merge").chmod(0o644)
    program.unlink()
    state = hooks.state(lab)
    assert state.missing == ("post-merge",)
    assert not state.command_works
    assert not state.is_whole


def test_a_newer_git_gets_configured_hooks(
    repo: Path, program: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From git 2.54 on. What is tested is what is written, in which order; an older git ignores these settings."""
    monkeypatch.setattr(hooks, "version", lambda: (2, 54))
    before = (repo / ".git/config").read_bytes()
    lab = discover(repo)
    for _ in range(2):
        hooks.install(lab, program)
    written = git("config", "--get-regexp", r"^hook\.", cwd=repo).splitlines()
    names = [line.split()[0] for line in written]
    assert names == [f"hook.timelab-{hook}.{part}" for hook in stubs.HOOKS for part in ("command", "event")]
    command = get_config(lab, "hook.timelab-post-commit.command")
    assert command is not None
    subprocess.run(["sh", "-c", command], cwd=repo, check=True)
    state = hooks.state(lab)
    assert (state.mode, state.is_whole) == ("configured", True)
    assert not (repo / ".git/hooks/post-commit").exists()
    hooks.uninstall(lab)
    assert (repo / ".git/config").read_bytes() == before
    assert not (lab.timelab_dir / "hooks").exists()


def test_an_older_git_does_not_get_configured_hooks(
    repo: Path, program: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "version", lambda: (2, 53, 9))
    hooks.install(discover(repo), program)
    assert git("config", "--get-regexp", r"^hook\.", cwd=repo, check=False) == ""
