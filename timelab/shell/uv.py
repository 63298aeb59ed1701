"""The hash-locked shell: a `pyproject.toml` and `uv.lock` of the commit, built once for each lock, checked per run."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from timelab.atomic import file_lock, write_atomic
from timelab.canonical import sha256_bytes, sha256_json
from timelab.errors import ShellError
from timelab.manifest import Environment, ShellRecord
from timelab.names import Sha256
from timelab.process import Completed, base_env, run
from timelab.shell.base import Session, ShellRequest
from timelab.shell.interpreter import default_python, pieces_of
from timelab.shell.measure import libc_version, measure_tools, nix_system

_log = logging.getLogger(__name__)

_BUILD_TIMEOUT_S = 1800.0
_PROJECT, _LOCK = "pyproject.toml", "uv.lock"
_MARKER = "complete.json"
# What decides about the environment beside the lock; a change elsewhere in pyproject.toml must not rebuild it.
_TABLES = ("dependency-groups",)
_PROJECT_KEYS = ("name", "requires-python", "dependencies", "optional-dependencies")
# How to reach an index is the user's; what to install is the lock's alone.
_KEPT_UV = (
    "UV_CACHE_DIR",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
    "NETRC",
)
_KEPT_UV_PREFIX = "UV_INDEX_"  # UV_INDEX_<NAME>_USERNAME and _PASSWORD
_STARTER = """\
# The pinned shell of the profile `default`: what commands of this repository run in.
# `uv add --project env/default PACKAGE` adds to it; commit pyproject.toml and uv.lock together.
[project]
name = "env-default"
version = "0"
requires-python = ">=3.11"
dependencies = []
"""


class UvShell:
    """Serves profiles that have a folder with pyproject.toml and uv.lock."""

    kind = "uv"

    def has_profile(self, request: ShellRequest) -> bool:
        """Says whether the commit holds a lock for the profile."""
        return find_pin(request) is not None

    def enter(self, request: ShellRequest) -> Session:
        """Returns the environment, built if this is the first time.

        Raises:
            ShellError: there is no lock, or it cannot be installed: a hash differs, a wheel is missing, no network.
        """
        folder = find_pin(request)
        if folder is None:
            raise ShellError(f"no uv.lock for the profile {request.profile!r}")
        files = {name: request.read(f"{folder}{name}") for name in (_PROJECT, _LOCK)}
        project, lock = files[_PROJECT], files[_LOCK]
        if project is None or lock is None:
            raise ShellError(f"cannot read {folder}{_PROJECT} and {folder}{_LOCK} at the commit")
        lock_sha256 = sha256_bytes(lock)
        home = request.cache / "shells" / _key(lock_sha256, project, f"{folder}{_PROJECT}")[:32]
        with file_lock(home.with_suffix(".lock"), timeout_s=_BUILD_TIMEOUT_S):
            facts = _checked(home)
            if facts is None:
                facts = _build(home, project, lock)
        return _make_session(request.profile, home, lock_sha256, facts)


def find_pin(request: ShellRequest) -> str | None:
    """Returns the folder of the profile's lock with its final `/` (`""` is the root), or None."""
    known = set(request.paths)
    if request.pin is not None:
        # A pin that the configuration names and the commit lacks must not turn into another one in silence.
        return _with_slash(request.pin)
    candidates = [f"env/{request.profile}/", *([""] if request.profile == "default" else [])]
    return next((folder for folder in candidates if {folder + _PROJECT, folder + _LOCK} <= known), None)


def _with_slash(folder: str) -> str:
    plain = folder.strip("/")
    return "" if plain in ("", ".") else f"{plain}/"


def _key(lock_sha256: Sha256, project: bytes, place: str) -> str:
    """Returns the name of the environment in this cache: over all that decides what is built, and the interpreter."""
    try:
        table: dict[str, Any] = tomllib.loads(project.decode())
        described = {key: table.get("project", {}).get(key) for key in _PROJECT_KEYS}
        described |= {key: table.get(key) for key in _TABLES} | {"uv": table.get("tool", {}).get("uv")}
    except (ValueError, AttributeError, RecursionError) as error:
        raise ShellError(f"{place}: not TOML: {ascii(str(error))[:120]}") from error
    python = default_python()
    machine = [str(python), platform.python_version(), nix_system(), libc_version()]
    return sha256_json({"lock": lock_sha256, "project": described, "machine": machine})


def _checked(home: Path) -> dict[str, Any] | None:
    """Returns what was noted when the environment was built, or None when it is absent or not as it was then.

    Not `uv sync --check`: that starts the environment's own Python outside the sandbox, and a `.pth` file of a locked
    package would run there with the user's rights (measured with uv 0.13).
    """
    try:
        facts = json.loads((home / _MARKER).read_bytes())
        if facts["listing"] == _list_digest(home / "venv") and Path(facts["base"]).exists():
            return dict(facts)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    _log.debug("environment %s has changed since it was built", home.name)
    return None


def _list_digest(folder: Path) -> Sha256:
    """Returns a digest over name, mode, size, time and link target of everything in a folder."""
    rows: list[list[str]] = []
    pending = [str(folder)]
    start = len(pending[0])
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                state = entry.stat(follow_symlinks=False)
                told = str(Path(entry.path).readlink()) if entry.is_symlink() else ""
                is_folder = entry.is_dir(follow_symlinks=False)
                size, when = ("", "") if is_folder else (str(state.st_size), str(state.st_mtime_ns))
                rows.append([os.fsencode(entry.path[start:]).hex(), str(state.st_mode), size, when, told])
                if is_folder:
                    pending.append(entry.path)
    return sha256_bytes("\n".join("\t".join(row) for row in sorted(rows)).encode(errors="surrogateescape"))


def _build(home: Path, project: bytes, lock: bytes) -> dict[str, Any]:
    """Installs in place, since environments cannot be moved; the marker comes last, and without it nothing counts."""
    shutil.rmtree(home, ignore_errors=True)
    (home / "project").mkdir(parents=True)
    (home / "project" / _PROJECT).write_bytes(project)
    (home / "project" / _LOCK).write_bytes(lock)
    venv = home / "venv"
    # --no-build: building a source distribution would run its code outside the sandbox, with the network.
    sync = ["sync", "--frozen", "--no-install-project", "--no-build", "--link-mode", "copy", "--quiet"]
    env = {"UV_PROJECT_ENVIRONMENT": str(venv)}
    done = _uv([*sync, "--python", str(default_python())], home / "project", env)
    if done.code and (b"requires-python" in done.stderr.lower() or b"incompatible" in done.stderr):
        shutil.rmtree(venv, ignore_errors=True)
        done = _uv(sync, home / "project", env)
    if done.code or done.timed_out:
        raise _explain(done)
    base = Path(os.path.realpath(venv / "bin/python"))
    # Without this every run would compile what it imports, since it cannot write here. -S keeps `.pth` files out.
    compile_all = ("-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    run((base, *compile_all, venv / "lib"), cwd=home, env=base_env(), timeout_s=_BUILD_TIMEOUT_S)
    _open_modes(home)
    tools = measure_tools([venv / "bin"], {}, _shown(venv, base))
    described = _read_description(venv)
    facts = {
        "listing": _list_digest(venv),
        "base": str(base),
        "implementation": described["implementation"],
        "tools": {**tools, "python": described["version_info"], "uv": _uv_version()},
    }
    write_atomic(home / _MARKER, json.dumps(facts).encode())
    return facts


def _open_modes(home: Path) -> None:
    """Lets a task read what a strict umask of the user's had shut (as root it runs as somebody else)."""
    from timelab.shell.identity import open_to_others

    if os.geteuid() == 0:
        open_to_others(home / "venv")


def _read_description(venv: Path) -> dict[str, str]:
    """Returns what uv wrote into pyvenv.cfg: the interpreter is known without being started."""
    pairs = (line.partition("=") for line in (venv / "pyvenv.cfg").read_text().splitlines())
    return {"implementation": "unknown", "version_info": "unknown"} | {
        key.strip(): value.strip() for key, _, value in pairs
    }


def _make_session(profile: str, home: Path, lock_sha256: Sha256, facts: dict[str, Any]) -> Session:
    venv, base = home / "venv", Path(facts["base"])
    tools = {str(name): str(version) for name, version in facts["tools"].items()}
    fingerprint = sha256_json(
        {
            "kind": "uv",
            "lock": lock_sha256,
            "python": [facts["implementation"], tools["python"]],
            "system": nix_system(),
            "libc": tools["libc"],
        }
    )
    return Session(
        path=(venv / "bin",),
        variables={"VIRTUAL_ENV": str(venv)},
        read_only=_shown(venv, base),
        record=ShellRecord(kind="uv", profile=profile, pinned=True, lock_sha256=lock_sha256, fingerprint=fingerprint),
        environment=Environment(system=nix_system(), apps=(f"uv@{tools['uv']}",), tools=tools),
    )


def _shown(venv: Path, base: Path) -> tuple[Path, ...]:
    """Returns what a task must see: the environment, and of its interpreter's installation no more than it needs."""
    # uv links to a folder named for the minor version, and pyvenv.cfg names that one too.
    link = venv / "bin/python"
    named = link.parent / link.readlink() if link.is_symlink() else base
    return (venv, *dict.fromkeys([*pieces_of(base), *pieces_of(named)]))


def _uv(args: list[str], cwd: Path, extra: dict[str, str], timeout_s: float = _BUILD_TIMEOUT_S) -> Completed:
    import uv

    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_UV or (name.startswith(_KEPT_UV_PREFIX) and name.endswith(("_USERNAME", "_PASSWORD")))
    }
    env = base_env({**kept, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1", **extra})
    return run([uv.find_uv_bin(), *args], cwd=cwd, env=env, timeout_s=timeout_s)


def _uv_version() -> str:
    from importlib.metadata import version

    return version("uv")


def _explain(done: Completed) -> ShellError:
    said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    text = ascii(" ".join(said))[1:-1][:600]
    if done.timed_out:
        return ShellError(f"uv did not finish within {_BUILD_TIMEOUT_S:g} s")
    if "ash mismatch" in text:
        return ShellError(
            f"uv.lock: a hash does not match what the index serves: {text}",
            hint="somebody changed the lock or the package; compare with `git log -p -- uv.lock`",
        )
    if "no-build" in text or "--no-build" in text or "no usable wheels" in text:
        return ShellError(f"uv.lock: a package has no wheel for this machine: {text}", hint="lock a version with one")
    return ShellError(f"uv cannot install the lock: {text}", hint="is the network there? `uv sync --frozen` says more")


def starter_pin() -> dict[str, bytes]:
    """Returns the files of a first pin, `env/default/pyproject.toml` and its `uv.lock`, without dependencies.

    The lock is written by the installed uv, offline.

    Raises:
        ShellError: uv failed.
    """
    with tempfile.TemporaryDirectory(prefix="timelab-pin-") as name:
        folder = Path(name)
        (folder / _PROJECT).write_text(_STARTER)
        done = _uv(["lock", "--offline", "--quiet", "--python", str(default_python())], folder, {}, 60.0)
        if done.code:
            raise _explain(done)
        return {f"env/default/{file}": (folder / file).read_bytes() for file in (_PROJECT, _LOCK)}
