"""Puts our hooks into a repository beside whatever is there, and takes them out again without a trace (design 3).

Three places, in order of preference: configured hooks (git 2.54 and newer), the hooks folder of the common git dir
with the former hook kept and called, and, where `core.hooksPath` points elsewhere or the hooks folder is a link, a
folder of ours that hands every hook on.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from timelab.atomic import file_lock, write_atomic
from timelab.errors import GitError
from timelab.git.config import HooksPath, get_config, hooks_path, set_config, unset_config
from timelab.git.program import version
from timelab.git.repo import Repo
from timelab.git.stubs import HOOKS, VERSION, forwarder, stub, stub_version
from timelab.process import spawn_detached

Mode = Literal["configured", "folder", "redirect", "own", "none"]

CONFIGURED_SINCE = (2, 54)
"""The first git that runs `hook.<name>.command` on `hook.<name>.event` (its release notes)."""

CHAINED = ".timelab-chained"

# Every client hook git 2.39 may call (githooks(5)): the ones that a later checkout brings must run too. The rest change
# what git does by being there at all, or run on each ref update, so they are handed on only if they exist.
_FORWARDED = (
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "post-rewrite",
    "pre-auto-gc",
    "sendemail-validate",
)
_FORWARDED_IF_THERE = (
    "reference-transaction",
    "post-index-change",
    "push-to-checkout",
    "pre-receive",
    "update",
    "post-receive",
    "post-update",
    "proc-receive",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-prepare-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
)


_NOWHERE = "unset"
"""Is remembered as the scope of core.hooksPath where it was not set: git then takes the hooks folder."""


@dataclass(frozen=True)
class HookState:
    """Is how our hooks stand in a repository; `doctor` and `init` print it.

    `missing` are the hooks that git would not call; `outdated` those of another version of ours; `notes` are findings
    in plain words.
    """

    mode: Mode
    folder: Path | None
    active: tuple[str, ...]
    missing: tuple[str, ...]
    outdated: tuple[str, ...]
    command: Path | None
    command_works: bool
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Says whether a commit will reach us."""
        return self.mode == "none" or (self.command_works and not self.missing and not self.outdated)


def install(repo: Repo, command: Path) -> list[str]:
    """Installs or refreshes our hooks and says in one line each what was done; a second call changes nothing.

    Args:
        repo: where.
        command: the absolute path of the timelab program that the hooks are to start.
    """
    if repo.root is None:
        return ["hooks: none, a bare repository has no commits of its own"]
    (repo.timelab_dir / "queue").mkdir(parents=True, exist_ok=True)
    set_config(repo, "timelab.command", str(command))
    with file_lock(repo.timelab_dir / "hooks.lock"):
        if version() >= CONFIGURED_SINCE:
            return _install_configured(repo)
        elsewhere = hooks_path(repo)
        if elsewhere is None or _resolved(repo, elsewhere.value) == repo.common_dir / "hooks":
            if not (repo.common_dir / "hooks").is_symlink():
                return _install_folder(repo)
            elsewhere = elsewhere or HooksPath(_NOWHERE, str(repo.common_dir / "hooks"))
        if _is_own(repo, elsewhere.value):
            return [f"hooks: {_named(elsewhere.scope, elsewhere.value)} has them already"]
        return _install_redirect(repo, elsewhere)


def uninstall(repo: Repo) -> list[str]:
    """Takes our hooks out and puts back what was there, byte for byte; says in one line each what was done."""
    if repo.root is None and not (repo.timelab_dir / "hooks.json").exists():
        return []
    with file_lock(repo.timelab_dir / "hooks.lock"):
        said = _uninstall_configured(repo) + _uninstall_redirect(repo) + _uninstall_folder(repo)
        unset_config(repo, "timelab.command")
        (repo.timelab_dir / "hooks.json").unlink(missing_ok=True)
    return said


def start_worker(repo: Repo) -> bool:
    """Starts a worker that outlives us, as the hooks do; says whether there was a program to start."""
    command = get_config(repo, "timelab.command")
    if command is None or not _is_executable(Path(command)):
        return False
    # A worker runs what the user asked for, so it gets the user's environment, but none that git set for itself.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") and name != "TIMELAB_HOOK"}
    spawn_detached([command, "work"], cwd=repo.root or repo.common_dir, env=env)
    return True


# --- configured hooks (git 2.54) ---


def _install_configured(repo: Repo) -> list[str]:
    folder = repo.timelab_dir / "hooks"
    folder.mkdir(parents=True, exist_ok=True)
    for hook in HOOKS:
        _write_hook(folder / hook, stub(hook, chained="''"))
        # An event without a command breaks every commit, so the command comes first (measured, git 2.55).
        set_config(repo, f"hook.timelab-{hook}.command", shlex.quote(str(folder / hook)))
        set_config(repo, f"hook.timelab-{hook}.event", hook)
    _remember(repo, mode="configured")
    return [f"hooks: {', '.join(HOOKS)} in git's configuration; hooks that were here run as before"]


def _uninstall_configured(repo: Repo) -> list[str]:
    found = [hook for hook in HOOKS if get_config(repo, f"hook.timelab-{hook}.command") is not None]
    for hook in found:
        unset_config(repo, f"hook.timelab-{hook}.event")
        unset_config(repo, f"hook.timelab-{hook}.command")
    if not found:
        return []
    for hook in HOOKS:
        (repo.timelab_dir / "hooks" / hook).unlink(missing_ok=True)
    _remove_if_empty(repo.timelab_dir / "hooks")
    return ["hooks: taken out of git's configuration"]


# --- the hooks folder ---


def _install_folder(repo: Repo) -> list[str]:
    folder = repo.common_dir / "hooks"
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    chained = [hook for hook in HOOKS if _install_one(folder, hook)]
    if made or not _memory(repo):
        _remember(repo, mode="folder", made_folder=made)
    line = f"hooks: {', '.join(HOOKS)} in .git/hooks"
    return [line + (f"; kept and called: {', '.join(chained)}" if chained else "")]


def _install_one(folder: Path, hook: str) -> bool:
    """Writes one stub; says whether a hook of somebody else runs behind it."""
    path, kept = folder / hook, folder / (hook + CHAINED)
    if _is_there(path) and _version_of(path) is None:
        if _is_there(kept):
            # Somebody put a new hook over ours. The newest counts; the older one is kept aside, not lost.
            kept.rename(_free_name(folder, hook))
        path.rename(kept)
    _write_hook(path, stub(hook))
    return _is_there(kept)


def _uninstall_folder(repo: Repo) -> list[str]:
    folder = repo.common_dir / "hooks"
    if folder.is_symlink():
        # Nothing was installed there: what a link leads to is the user's, and may be tracked.
        return []
    removed, restored, foreign = [], [], []
    for hook in HOOKS:
        path, kept = folder / hook, folder / (hook + CHAINED)
        if _is_there(path) and _version_of(path) is None:
            if _is_there(kept):
                foreign.append(kept.name)
            continue
        if _is_there(path):
            path.unlink()
            removed.append(hook)
        if _is_there(kept):
            kept.rename(path)
            restored.append(hook)
    for legacy in folder.glob("*.legacy") if folder.is_dir() else ():
        # `pre-commit install` after us moves our stub there and calls it.
        if _version_of(legacy) is not None:
            legacy.unlink()
    if _memory(repo).get("made_folder"):
        _remove_if_empty(folder)
    said = [f"hooks: removed {', '.join(removed)}"] if removed else []
    said += [f"hooks: put back {', '.join(restored)}"] if restored else []
    said += [f"hooks: left {', '.join(foreign)}: a newer hook stands in its place"] if foreign else []
    return said


# --- a core.hooksPath that is not ours, or a hooks folder that is a link ---


def _install_redirect(repo: Repo, elsewhere: HooksPath) -> list[str]:
    """Points this repository at a folder of ours that calls every hook of the configured one, then ours.

    We write nothing into the user's folder: it may be tracked, or shared by all repositories.
    """
    ours = repo.timelab_dir / "hooks"
    if _resolved(repo, elsewhere.value) == ours:
        # Installed before: what stands behind us was remembered then.
        elsewhere = HooksPath(str(_memory(repo).get("scope", "local")), str(_memory(repo).get("value", "")))
    elif elsewhere.scope == "worktree":
        return [
            f"hooks: not installed, core.hooksPath is set for this work tree only; call {', '.join(HOOKS)} of {ours}",
        ]
    else:
        _remember(repo, mode="redirect", scope=elsewhere.scope, value=elsewhere.value)
    _write_redirect(repo, ours, elsewhere.value)
    set_config(repo, "core.hooksPath", str(ours))
    now = hooks_path(repo)
    if now is None or now.value != str(ours):
        unset_config(repo, "core.hooksPath")
        raise GitError(
            "core.hooksPath is set in a file that wins over .git/config",
            hint="git config --show-origin core.hooksPath",
        )
    behind = _named(elsewhere.scope, elsewhere.value)
    return [f"hooks: {', '.join(HOOKS)} in .git/timelab/hooks; those of {behind} still run"]


def _named(scope: str, value: str) -> str:
    return ".git/hooks, which is a link," if scope == _NOWHERE else f"core.hooksPath {value}"


def _write_redirect(repo: Repo, ours: Path, behind: str) -> None:
    ours.mkdir(parents=True, exist_ok=True)
    source = _resolved(repo, behind)
    for hook in (*_FORWARDED, *_FORWARDED_IF_THERE):
        if hook in _FORWARDED_IF_THERE and not _is_there(source / hook):
            continue
        # A relative path stays relative: git starts hooks at the top of each work tree, and so it resolves them too.
        chained = shlex.quote(f"{behind.rstrip('/')}/{hook}")
        _write_hook(ours / hook, stub(hook, chained=chained) if hook in HOOKS else forwarder(hook, chained=chained))


def _uninstall_redirect(repo: Repo) -> list[str]:
    ours, memory = repo.timelab_dir / "hooks", _memory(repo)
    if memory.get("mode") != "redirect":
        return []
    now = hooks_path(repo)
    said = []
    if now is not None and now.value == str(ours):
        if memory.get("scope") == "local":
            set_config(repo, "core.hooksPath", str(memory["value"]))
        else:
            unset_config(repo, "core.hooksPath")
        before = "unset" if memory.get("scope") == _NOWHERE else memory["value"]
        said = [f"hooks: core.hooksPath is {before} again"]
    for hook in (*_FORWARDED, *_FORWARDED_IF_THERE):
        (ours / hook).unlink(missing_ok=True)
    _remove_if_empty(ours)
    return said


def _is_own(repo: Repo, value: str) -> bool:
    """Says whether a configured folder already holds our hooks, as `.githooks/` of our own repository does."""
    folder = _resolved(repo, value)
    return folder != repo.timelab_dir / "hooks" and _version_of(folder / "post-commit") is not None


# --- state ---


def state(repo: Repo) -> HookState:
    """Returns how our hooks stand, judged by what git would call, not by what we remember having done."""
    command = get_config(repo, "timelab.command")
    program = Path(command) if command else None
    works = program is not None and program.is_file()
    if repo.root is None:
        return HookState("none", None, (), (), (), program, works)
    elsewhere = hooks_path(repo)
    folder = _resolved(repo, elsewhere.value) if elsewhere else repo.common_dir / "hooks"
    mode: Mode = "folder"
    if get_config(repo, "hook.timelab-post-commit.command") is not None:
        mode, folder = "configured", repo.timelab_dir / "hooks"
    elif folder == repo.timelab_dir / "hooks":
        mode = "redirect"
    elif (elsewhere or folder.is_symlink()) and _is_own(repo, str(folder)):
        mode = "own"
    active: list[str] = []
    missing: list[str] = []
    outdated: list[str] = []
    for hook in HOOKS:
        found = _version_of(folder / hook)
        if found is None or not _is_executable(folder / hook):
            missing.append(hook)
        else:
            (active if found == VERSION else outdated).append(hook)
    if mode == "own":
        # A repository that tracks its hooks decides which.
        missing = [hook for hook in missing if hook == "post-commit"]
    return HookState(
        mode, folder, tuple(active), tuple(missing), tuple(outdated), program, works, _notes(repo, elsewhere)
    )


def _notes(repo: Repo, elsewhere: HooksPath | None) -> tuple[str, ...]:
    memory, ours, notes = _memory(repo), repo.timelab_dir / "hooks", []
    if memory.get("mode") == "redirect":
        behind = _resolved(repo, str(memory["value"]))
        if elsewhere is None or elsewhere.value != str(ours):
            notes.append("core.hooksPath was set anew after `timelab init`, so our hooks are not called")
        new = [h for h in _FORWARDED_IF_THERE if _is_there(behind / h) and not _is_there(ours / h)]
        if new:
            notes.append(f"{memory['value']} got {', '.join(new)} after `timelab init`: not called")
    return tuple(notes)


# --- files ---


def _resolved(repo: Repo, value: str) -> Path:
    return (repo.root or repo.common_dir) / value.rstrip("/")


def _memory(repo: Repo) -> dict[str, Any]:
    try:
        memory = json.loads((repo.timelab_dir / "hooks.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}


def _remember(repo: Repo, **facts: Any) -> None:
    write_atomic(repo.timelab_dir / "hooks.json", json.dumps(facts, sort_keys=True).encode() + b"\n")


def _write_hook(path: Path, text: str) -> None:
    data = text.encode()
    if not path.is_file() or path.read_bytes() != data or not _is_executable(path):
        write_atomic(path, data, mode=0o755)


def _version_of(path: Path) -> int | None:
    try:
        return stub_version(path.read_bytes()[:4096])
    except OSError:
        return None


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _is_executable(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & 0o100)


def _free_name(folder: Path, hook: str) -> Path:
    number = 1
    while _is_there(path := folder / f"{hook}.timelab-old-{number}"):
        number += 1
    return path


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
