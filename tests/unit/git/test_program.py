"""timelab/git/program.py: git runs on the repository we mean, as nobody, and starts nothing of the repository's."""

from __future__ import annotations

from pathlib import Path

import pytest

from timelab.errors import GitError
from timelab.git.program import MIN_GIT, git, require_git, version


def test_this_git_is_new_enough() -> None:
    assert version() >= MIN_GIT
    require_git()


def test_variables_that_a_hook_leaks_are_ignored(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GIT_DIR": str(tmp_path / "nowhere"),
        "GIT_INDEX_FILE": ".git/other-index",
        "GIT_WORK_TREE": "/",
        "GIT_PREFIX": "sub/",
        "GIT_CONFIG_PARAMETERS": "'core.bare'='true'",
    }.items():
        monkeypatch.setenv(name, value)
    assert git(["rev-parse", "--show-toplevel"], cwd=repo).stdout.decode().strip() == str(repo)
    assert git(["status", "--porcelain"], cwd=repo).stdout == b""


def test_no_program_of_the_repository_is_started(repo: Path) -> None:
    marker = repo / "started"
    script = repo / "monitor"
    script.write_text(f"#!/bin/sh\ntouch {marker}\n")
    script.chmod(0o755)
    hooks = repo / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "reference-transaction").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (hooks / "reference-transaction").chmod(0o755)
    git(["config", "core.fsmonitor", str(script)], cwd=repo)
    git(["status"], cwd=repo)
    git(["update-ref", "refs/timelab/x", "HEAD"], cwd=repo)
    assert not marker.exists()


def plant(repo: Path, tmp_path: Path) -> Path:
    """Names one program wherever a repository's configuration may name one; returns the mark that it leaves."""
    marker, program = tmp_path / "started", tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >>{marker}\nexit 1\n')
    program.chmod(0o755)
    settings = {"log.showSignature": "true", "pager.log": "true", "diff.evil.binary": "true"}
    for name in (
        *("gpg.program", "gpg.ssh.program", "gpg.x509.program", "core.pager", "core.editor", "core.fsmonitor"),
        *("core.sshCommand", "core.gitProxy", "core.askPass", "diff.external", "diff.evil.command"),
        *("diff.evil.textconv", "credential.helper", "remote.origin.uploadpack", "interactive.diffFilter"),
    ):
        settings[name] = str(program)
    settings.update({"remote.origin.url": "host:path", "remote.origin.promisor": "true"})
    settings.update({"core.repositoryFormatVersion": "1", "extensions.partialClone": "origin"})
    with (repo / ".git/config").open("a") as stream:
        for name, value in settings.items():
            section, _, key = name.rpartition(".")
            head, _, middle = section.partition(".")
            stream.write(f'[{head} "{middle}"]\n' if middle else f"[{head}]\n")
            stream.write(f"\t{key} = {value}\n")
    (repo / ".git/info").mkdir(exist_ok=True)
    (repo / ".git/info/attributes").write_text("* diff=evil\n")
    return marker


def sign(repo: Path) -> None:
    """Puts a signature on HEAD, which no program has made."""
    data = git(["cat-file", "commit", "HEAD"], cwd=repo).stdout
    header, _, message = data.partition(b"\n\n")
    armour = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"
    made = git(
        ["hash-object", "-t", "commit", "-w", "--stdin"], cwd=repo, input=header + b"\n" + armour + b"\n\n" + message
    )
    git(["update-ref", "HEAD", made.stdout.decode().strip()], cwd=repo)


@pytest.mark.parametrize(
    "words",
    [
        ["log", "-1"],
        ["log", "-1", "-p", "--root"],
        ["-c", "i18n.logOutputEncoding=UTF-8", "log", "-1"],
        ["show", "HEAD"],
        ["diff", "HEAD~1"],
        ["diff", "--quiet", "HEAD~1"],
        ["diff-tree", "-p", "--root", "HEAD"],
        ["diff-index", "-p", "HEAD~1"],
        ["status", "--porcelain"],
        ["cat-file", "-e", "1" * 40],
        ["rev-list", "--objects", "HEAD", "1" * 40],
    ],
)
def test_no_program_that_the_configuration_names_is_started(repo: Path, tmp_path: Path, words: list[str]) -> None:
    """Design 4: a repository that came from somebody else may be read."""
    (repo / "README.md").write_text("changed\n")
    git(["-c", "user.name=A", "-c", "user.email=a@b.invalid", "commit", "-qam", "second"], cwd=repo)
    sign(repo)
    marker = plant(repo, tmp_path)
    (repo / "README.md").write_text("again\n")
    git(words, cwd=repo, check=False)
    assert not marker.exists(), marker.read_text()


def test_a_failure_names_the_verb_and_what_git_said(repo: Path) -> None:
    with pytest.raises(GitError, match=r"^git rev-parse failed with 128: fatal: Needed a single revision$"):
        git(["rev-parse", "--verify", "nothing"], cwd=repo)
    assert git(["rev-parse", "--verify", "nothing"], cwd=repo, check=False).code == 128


def test_a_password_in_a_remote_address_is_not_repeated(repo: Path) -> None:
    with pytest.raises(GitError) as caught:
        git(["fetch", "http://me:hunter2@127.0.0.1:1/x.git"], cwd=repo)
    assert "hunter2" not in caught.value.message


def test_git_that_is_too_slow_is_an_error_even_unchecked(repo: Path) -> None:
    with pytest.raises(GitError, match="took longer than"):
        git(["-c", "alias.nap=!sleep 60", "nap"], cwd=repo, check=False, timeout_s=0.2)
