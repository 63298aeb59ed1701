"""Which versions of which tools a task meets: asked inside the sandbox, never written down by hand (A61)."""

from __future__ import annotations

import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from timelab.errors import SandboxError, ShellError
from timelab.process import base_env, run
from timelab.shell.sandbox import Task, run_task

SYSTEM_PATH = (Path("/usr/local/bin"), Path("/usr/bin"), Path("/bin"))
TOOLS = ("bash", "cargo", "cc", "git", "jq", "just", "make", "node", "perl", "python", "python3", "rustc", "shellcheck")
_TIMEOUT_S = 60.0
_VERSION = re.compile(r"\d+(?:\.\d+)+[0-9A-Za-z.+-]*")
_SCRIPT = """
for tool do
  command -v "$tool" >/dev/null 2>&1 || continue
  printf '%s\\t%s\\n' "$tool" "$("$tool" --version 2>&1 </dev/null | grep -m 1 .)"
done
"""


def measure_tools(path: Iterable[Path], variables: Mapping[str, str], read_only: tuple[Path, ...]) -> dict[str, str]:
    """Returns tool → version for those of `TOOLS` that are there; one that tells no version is `unknown`.

    Raises:
        ShellError: not even `sh` runs there.
    """
    argv = ("sh", "-c", _SCRIPT, "sh", *TOOLS)
    plain = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    try:
        folders = dict.fromkeys(map(str, [*path, *SYSTEM_PATH]))
        text = _ask(argv, {**variables, **plain, "PATH": ":".join(folders)}, read_only)
    except SandboxError:
        # Nothing can hold a task here: of programs that nothing holds, only the system's own are asked.
        system = {**base_env(), **plain, "PATH": ":".join(map(str, SYSTEM_PATH))}
        text = run(argv, cwd=Path("/"), env=system, timeout_s=_TIMEOUT_S).stdout.decode(errors="replace")
    tools = {}
    for line in text.splitlines():
        name, _, said = line.partition("\t")
        found = _VERSION.search(said)
        tools[name] = found.group()[:80] if found else "unknown"
    return {**tools, "libc": libc_version()}


def _ask(argv: tuple[str, ...], env: Mapping[str, str], read_only: tuple[Path, ...]) -> str:
    with tempfile.TemporaryDirectory(prefix="timelab-measure-") as name:
        base = Path(name)
        for folder in ("input", "output"):
            (base / folder).mkdir()
        task = Task(
            argv=argv,
            env=env,
            source=None,
            input=base / "input",
            output=base / "output",
            stdout=base / "stdout",
            stderr=base / "stderr",
            read_only=read_only,
            timeout_s=_TIMEOUT_S,
        )
        code = run_task(task).exit_code
        text = (base / "stdout").read_text(errors="replace")
    if code != 0:
        raise ShellError(f"the shell cannot be measured: sh ended with {code}")
    return text


def libc_version() -> str:
    """Returns the C library and its version, such as `glibc 2.36`."""
    return " ".join(part for part in platform.libc_ver() if part) or "unknown"


def nix_system() -> str:
    """Returns the system as Nix names it, such as `x86_64-linux` (A59)."""
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    return f"{machine}-{sys.platform}"
