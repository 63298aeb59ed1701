"""The git executable, for what libgit2 lacks: discovery, status, transfer, fast-import."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from timelab.errors import GitError, RunError
from timelab.process import Completed, base_env, run

MIN_GIT = (2, 31)
"""The first with `git rev-parse --path-format=absolute` (git 2.31 release notes), which `repo.discover` stands on."""

_MAX_BYTES = 1 << 30
_SETTINGS = (
    # A repository may name a program as fsmonitor or bring hooks; nothing of ours may start them (design 4).
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("protocol.ext.allow", "never"),
    ("core.quotePath", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    # It would start gpg.program, which a repository may name too.
    ("log.showSignature", "false"),
)
_PREFIX = ("--no-pager", *(word for name, value in _SETTINGS for word in ("-c", f"{name}={value}")))
_DIFFING = frozenset({"diff", "diff-files", "diff-index", "diff-tree", "log", "show"})
_NO_DRIVERS = ("--no-ext-diff", "--no-textconv")
"""Keeps diff.external, diff.<driver>.command and diff.<driver>.textconv from being started."""

_NETWORK = frozenset({"clone", "fetch", "ls-remote", "push"})
_VALUED = ("-c", "-C", "--git-dir", "--work-tree")
_TRANSPORT = ("SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY", "GPG_TTY")


def git_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment in which git runs: no inherited `GIT_*` but transport ones, and our recursion guard."""
    env = base_env({name: os.environ[name] for name in _TRANSPORT if name in os.environ})
    env.update(LC_ALL="C", GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", TIMELAB_HOOK="off")
    # In a partial clone any look at a missing object would start a transfer (honoured from git 2.44 on).
    env["GIT_NO_LAZY_FETCH"] = "1"
    env.update(extra or {})
    return env


def git(
    args: Sequence[str | Path],
    *,
    cwd: Path,
    input: bytes | None = None,
    check: bool = True,
    timeout_s: float = 60.0,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Runs git with settings under which it starts no program of the repository's choosing.

    Args:
        args: without `git` itself.
        cwd: an existing folder.
        input: standard input.
        check: raise when git's exit code is not 0.
        timeout_s: limit in wall-clock seconds; passing it is an error even without `check`.
        env: further variables.

    Raises:
        GitError: git is missing, was too slow, wrote more than 1 GiB, or (with `check`) said no.
    """
    at = _verb_at(args)
    verb = str(args[at]) if at < len(args) else ""
    drivers = _NO_DRIVERS if verb in _DIFFING else ()
    words = ["git", *_PREFIX, *args[: at + 1], *drivers, *args[at + 1 :]]
    whole_env = git_env(env)
    if verb not in _NETWORK and whole_env["GIT_NO_LAZY_FETCH"] == "1":
        # Before git 2.44 this alone keeps a missing object from starting core.sshCommand or remote.*.uploadpack.
        whole_env["GIT_ALLOW_PROTOCOL"] = "none"
    try:
        done = run(words, cwd=cwd, env=whole_env, input=input, timeout_s=timeout_s, max_bytes=_MAX_BYTES)
    except RunError as error:
        raise GitError(error.message, hint="is git installed, and does the folder exist?") from error
    what = verb[:40]
    if done.timed_out:
        raise GitError(f"git {what} took longer than {timeout_s:g} s")
    if done.truncated:
        raise GitError(f"git {what} wrote more than {_MAX_BYTES >> 20} MiB")
    if check and done.code:
        raise GitError(f"git {what} failed with {done.code}: {said(done)}")
    return done


def _verb_at(args: Sequence[str | Path]) -> int:
    at = 0
    while at < len(args) and str(args[at]).startswith("-"):
        at += 2 if args[at] in _VALUED else 1
    return at


def said(done: Completed) -> str:
    """Returns git's complaint as one safe line, without the password that a remote's address may carry."""
    text = done.stderr.decode("utf-8", "replace").strip() or done.stdout.decode("utf-8", "replace").strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
    chosen = re.sub(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/@\s]+@", r"\1", chosen)
    return "".join(sign if sign.isprintable() else "?" for sign in chosen)[:400]


def version() -> tuple[int, ...]:
    """Returns git's version as numbers, for example `(2, 39, 5)`."""
    words = git(["version"], cwd=Path("/")).stdout.decode("utf-8", "replace").split()
    numbers = re.match(r"\d+(\.\d+)*", words[2] if len(words) > 2 else "")
    if not numbers:
        raise GitError("git does not tell its version")
    return tuple(int(part) for part in numbers.group().split("."))


def require_git() -> None:
    """Raises `GitError` when git is older than `MIN_GIT`."""
    found = version()
    if found < MIN_GIT:
        raise GitError(
            f"git {'.'.join(map(str, found))} is too old", hint=f"install git {'.'.join(map(str, MIN_GIT))} or newer"
        )
