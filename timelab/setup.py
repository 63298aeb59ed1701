"""Makes a repository run its specs on commit, and undoes it: what `timelab init` does, step by step (design 1, 3, 4).

Every step says in one line what it did, changes nothing when it is done again, and leaves what it changed in
`<common git dir>/timelab/init.json`, so that `undo` can put files back to the byte.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from timelab.atomic import file_lock, write_atomic
from timelab.canonical import sha256_bytes
from timelab.config import Settings
from timelab.errors import ShellError
from timelab.git import history, hooks, origins
from timelab.git.chain import REMOTES, RUNS
from timelab.git.config import get_config, set_config
from timelab.git.notes import NOTES
from timelab.git.refs import list_refs
from timelab.git.repo import Repo, commit_info
from timelab.git.watch import watch_patterns
from timelab.shell.host import has_pins
from timelab.shell.uv import starter_pin
from timelab.store.day import exclude_derived
from timelab.store.layout import DAY_GLOB, DAY_README, LATEST, RUN_FOLDER, RUNS_CSV
from timelab.trust import open_allow_list

_PIN = "env/default"
_OWN_REFS = "refs/timelab/"
_RUN_ROOMS = (f"{DAY_GLOB}/ai-team/artifacts", f"{DAY_GLOB}/analyzer/outputs")


def set_up(repo: Repo, program: Path, *, settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Sets the repository up, or completes an earlier set-up; returns what was done, one line each.

    Args:
        repo: where.
        program: the absolute path of the timelab program that the hooks start.
        settings: what the user and the repository chose.
        environ: read for the name that this user commits under, and for the place of the allow-list.
    """
    repo.timelab_dir.mkdir(exist_ok=True)
    with file_lock(repo.timelab_dir / "init.lock"):
        memory = _Memory(repo)
        memory.before()
        said = _install_hooks(repo, program, settings.spec_patterns)
        said += _set_notes(repo, memory)
        said += _set_remotes(repo)
        said += _set_since(repo, memory)
        if repo.root is not None:
            memory.excluded(lambda: exclude_derived(repo))
        said += _write_pin(repo, memory, settings)
        said += _trust(repo, environ)
        memory.after()
    return said


def undo(repo: Repo, *, environ: Mapping[str, str]) -> list[str]:
    """Takes back what `set_up` did; records, chains and notes stay."""
    if not repo.timelab_dir.is_dir():
        return []
    with file_lock(repo.timelab_dir / "init.lock"):
        memory = _Memory(repo)
        untouched = memory.untouched()
        said = hooks.uninstall(repo)
        said += memory.restore(untouched)
        said += _remove_pin(repo, memory)
        allowed = open_allow_list(repo, environ)
        if allowed.is_trusted:
            allowed.forget()
            said.append("trust: withdrawn")
        memory.forget()
    return said


def remains(repo: Repo) -> list[tuple[str, str]]:
    """Returns what `undo` leaves, for it is the user's: what it is, and the sh command that removes it, at the root."""
    left: list[tuple[str, str]] = []
    chains = len(list_refs(repo, RUNS))
    if list_refs(repo, _OWN_REFS):
        delete = f"git for-each-ref --format='delete %(refname)' {_OWN_REFS} | git update-ref --stdin"
        left.append((f"records: {chains} chain{'' if chains == 1 else 's'} below {_OWN_REFS}", delete))
    if list_refs(repo, NOTES):
        left.append((f"notes: {NOTES}", f"git update-ref -d {NOTES}"))
    if repo.root is not None:
        left += _files_left(repo, repo.root)
    if repo.timelab_dir.is_dir():
        left.append(("queue, index and cached shells", f"rm -rf {shlex.quote(str(repo.timelab_dir))}"))
    return left


def _files_left(repo: Repo, root: Path) -> list[tuple[str, str]]:
    left = []
    rooms = [
        room
        for room in _RUN_ROOMS
        if any(RUN_FOLDER.fullmatch(path.relative_to(root).as_posix()) for path in root.glob(f"{room}/*"))
    ]
    if rooms:
        left.append(("run folders", f"rm -rf {' '.join(rooms)}"))
    for name, what in ((RUNS_CSV, "tables of the days"), (DAY_README, "pages of the days, with what you wrote there")):
        if any(root.glob(f"{DAY_GLOB}/{name}")):
            left.append((what, f"rm {DAY_GLOB}/{name}"))
    if (root / LATEST).is_symlink():
        left.append(("link to the newest run", f"rm {LATEST}"))
    if (root / _PIN).is_dir():
        tracked = repo.git(["ls-files", "--", _PIN]).stdout
        left.append((f"pinned shell: {_PIN}", f"{'git rm -rq' if tracked else 'rm -r'} {_PIN}"))
    return left


def _install_hooks(repo: Repo, program: Path, patterns: Iterable[str]) -> list[str]:
    said = hooks.install(repo, program)
    watch_patterns(repo, patterns)
    return said


def _set_notes(repo: Repo, memory: _Memory) -> list[str]:
    asked = "notes: git notes show"
    current = get_config(repo, "core.notesRef")
    if current == NOTES:
        return [asked]
    if current is not None or any(name != NOTES for name in list_refs(repo, "refs/notes/")):
        return ["notes: yours stay as they are; ours: git notes --ref timelab show"]
    memory.put(repo, "core.notesRef", NOTES)
    if get_config(repo, "notes.displayRef") is None:
        # With core.notesRef elsewhere, `git log` would no longer show notes that are written later in git's own place.
        # As a glob of that one name: git warns of a plain name that nobody has written notes to yet.
        memory.put(repo, "notes.displayRef", "refs/notes/commit[s]")
    return [asked]


def _set_remotes(repo: Repo) -> list[str]:
    """Leaves the remotes' refspecs alone, and takes out those that an earlier version added.

    A plain `git fetch` moves what its refspecs name by force, or fails, and prunes it: it must not know chains (T024).
    """
    remotes = repo.git(["remote"]).stdout.decode("utf-8", "surrogateescape").splitlines()
    for remote in remotes:
        for spec in _all(repo, f"remote.{remote}.fetch"):
            if f":{REMOTES}" in spec:
                unset = ["config", "--local", "--fixed-value", "--unset-all", f"remote.{remote}.fetch", spec]
                repo.git(unset, check=False)
    return [f"remotes: timelab sync brings the records of {', '.join(remotes)}"] if remotes else []


def _all(repo: Repo, name: str) -> list[str]:
    done = repo.git(["config", "-z", "--get-all", name], check=False)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


def _set_since(repo: Repo, memory: _Memory) -> list[str]:
    head = history.head(repo)
    if head is not None and get_config(repo, "timelab.since") is None:
        memory.put(repo, "timelab.since", head)
    return []


def _write_pin(repo: Repo, memory: _Memory, settings: Settings) -> list[str]:
    head = history.head(repo)
    paths = tuple(history_paths(repo, head)) if head else ()
    if repo.root is None or has_pins(paths) or (repo.root / _PIN).exists() or (repo.root / "flake.nix").exists():
        return []
    if any(profile.uv or profile.nix for profile in settings.profiles.values()):
        return []
    try:
        files = starter_pin()
    except ShellError as error:
        return [f"shell: no starter pin, uv failed ({error.message}); runs use the host until there is one"]
    for path, data in files.items():
        target = repo.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, data)
        memory.wrote(path, data)
    # Many a .gitignore has `env/`, for virtual environments.
    ignored = repo.git(["check-ignore", "-q", "--", f"{_PIN}/uv.lock"], check=False).code == 0
    add = f"git add {'-f ' if ignored else ''}{_PIN}"
    return [f"shell: wrote a starter pin to {_PIN}; commit it, and runs are pinned: {add}"]


def history_paths(repo: Repo, commit: str) -> list[str]:
    """Returns the paths of all files of a commit."""
    done = repo.git(["ls-tree", "-r", "-z", "--name-only", commit])
    return [name for name in done.stdout.decode("utf-8", "surrogateescape").split("\0") if name]


def _remove_pin(repo: Repo, memory: _Memory) -> list[str]:
    if repo.root is None:
        return []
    removed = []
    for path, digest in memory.written().items():
        target = repo.root / path
        tracked = repo.git(["ls-files", "--error-unmatch", "--", path], check=False).code == 0
        if not tracked and target.is_file() and not target.is_symlink() and sha256_bytes(target.read_bytes()) == digest:
            target.unlink()
            removed.append(path)
    for folder in (repo.root / _PIN, repo.root / "env"):
        if removed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return [f"shell: removed {', '.join(removed)}"] if removed else []


def _trust(repo: Repo, environ: Mapping[str, str]) -> list[str]:
    allowed = open_allow_list(repo, environ)
    if allowed.is_trusted:
        return ["trust: given before; what came since from others needs timelab allow"]
    name, mail = environ.get("GIT_COMMITTER_NAME"), environ.get("GIT_COMMITTER_EMAIL")
    configured = origins.identity(repo)
    identities = ([f"{name} <{mail}>"] if name and mail else []) + ([configured] if configured else [])
    allowed.trust(repo, identities=identities)
    head = history.head(repo)
    count = allowed.allow_tree(repo, commit_info(repo, head).tree) if head else 0
    return [f"trust: {count} files of HEAD, and what you commit here from now on"]


class _Memory:
    """Keeps what was there before, and what was added, until `undo`."""

    def __init__(self, repo: Repo) -> None:
        self._file = repo.timelab_dir / "init.json"
        self._repo = repo
        self._kept = {"config": repo.common_dir / "config", "exclude": repo.common_dir / "info" / "exclude"}
        try:
            self._facts: dict[str, Any] = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            self._facts = {}

    def before(self) -> None:
        """Keeps the files as they are; in a later call only if nobody but us changed them since."""
        files = self._facts.setdefault("files", {})
        for name, path in self._kept.items():
            data = path.read_bytes() if path.is_file() else None
            known = files.get(name)
            if known is None:
                files[name] = {"before": None if data is None else base64.b64encode(data).decode(), "after": None}
            elif known["after"] != _digest(data):
                known["mixed"] = True
        self._save()

    def excluded(self, change: Callable[[], None]) -> None:
        """Remembers the lines that `change` adds to info/exclude."""
        path = self._kept["exclude"]
        old = path.read_bytes() if path.is_file() else b""
        change()
        new = path.read_bytes().decode("utf-8", "surrogateescape").splitlines()
        known = set(old.decode("utf-8", "surrogateescape").splitlines())
        self._facts.setdefault("excluded", []).extend(line for line in new if line not in known)
        self._save()

    def after(self) -> None:
        """Notes what the files are now."""
        for name, path in self._kept.items():
            self._facts["files"][name]["after"] = _digest(path.read_bytes() if path.is_file() else None)
        self._save()

    def put(self, repo: Repo, key: str, value: str) -> None:
        """Sets a value and remembers to unset it."""
        self._remember_value(key, value)
        set_config(repo, key, value)

    def _remember_value(self, key: str, value: str) -> None:
        values = self._facts.setdefault("values", [])
        if [key, value] not in values:
            values.append([key, value])
        # Written down first: a crash in between leaves something to remove, not something forgotten.
        self._save()

    def wrote(self, path: str, data: bytes) -> None:
        """Remembers a file of ours in the work tree."""
        self._facts.setdefault("written", {})[path] = sha256_bytes(data)
        self._save()

    def written(self) -> dict[str, str]:
        """Returns the files of ours in the work tree, with their digests."""
        return dict(self._facts.get("written", {}))

    def untouched(self) -> set[str]:
        """Returns the kept files that nobody changed since the last set-up."""
        return {
            name
            for name, known in self._facts.get("files", {}).items()
            if not known.get("mixed")
            and known["after"] == _digest(self._kept[name].read_bytes() if self._kept[name].is_file() else None)
        }

    def restore(self, untouched: set[str]) -> list[str]:
        """Puts the kept files back to the byte; where others wrote in them since, takes out what is ours."""
        for name, path in self._kept.items():
            known = self._facts.get("files", {}).get(name)
            if known is None:
                continue
            before = None if known["before"] is None else base64.b64decode(known["before"])
            if name in untouched:
                _put_back(path, before)
            elif name == "exclude":
                _take_out(path, frozenset(self._facts.get("excluded", [])))
        for key, value in self._facts.get("values", []):
            self._repo.git(["config", "--local", "--fixed-value", "--unset-all", key, value], check=False)
        return ["git: configuration and info/exclude as they were"] if self._facts else []

    def forget(self) -> None:
        """Ends the memory."""
        self._file.unlink(missing_ok=True)

    def _save(self) -> None:
        write_atomic(self._file, json.dumps(self._facts, sort_keys=True).encode() + b"\n")


def _digest(data: bytes | None) -> str | None:
    return None if data is None else sha256_bytes(data)


def _put_back(path: Path, before: bytes | None) -> None:
    if before is None:
        path.unlink(missing_ok=True)
    elif path.read_bytes() != before:
        # In place, not by rename: the file may be a link, and it keeps its mode.
        path.write_bytes(before)


def _take_out(path: Path, ours: frozenset[str]) -> None:
    if path.is_file():
        lines = path.read_bytes().decode("utf-8", "surrogateescape").splitlines(keepends=True)
        kept = "".join(line for line in lines if line.rstrip("\r\n") not in ours)
        path.write_bytes(kept.encode("utf-8", "surrogateescape"))
