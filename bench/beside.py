"""The peers: installed by hash, and set before the same trivial work as timelab.

Each does nothing, or writes one small file, so that what is timed is what the tool adds.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from bench.measure import Case, Failed, clean_env, repository, sh

HERE = Path(__file__).parent
PEERS = ("datalad", "dvc", "redun", "snakemake", "precommit")
_counter = count(1)


def install(name: str, cache: Path, uv: Path) -> Path:
    """Returns the `bin` folder of a peer's environment, made once for each state of its lock."""
    lock = HERE / "peers" / f"{name}.lock"
    venv = cache / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    programs = venv / "bin"
    if (venv / "complete").exists():
        return programs
    shutil.rmtree(venv, ignore_errors=True)
    python = HERE.parent / ".venv/bin/python"
    for argv in (
        [str(uv), "venv", "--quiet", "--python", str(python), str(venv)],
        [str(uv), "pip", "install", "--quiet", "--python", str(programs / "python"), "--require-hashes",
         "--compile-bytecode", "-r", str(lock)],
    ):  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"cannot install {name}: {done.stderr.strip()[-600:]}")
    (venv / "complete").touch()
    return programs


def versions(programs: dict[str, Path]) -> dict[str, str]:
    """Returns the locked version of each peer."""
    found = {}
    for name in programs:
        wanted = {"precommit": "pre-commit"}.get(name, name)
        for line in (HERE / "peers" / f"{name}.lock").read_text().splitlines():
            if line.startswith(f"{wanted}=="):
                found[wanted] = line.split("==")[1].split()[0]
    return found


def _each_time(action: Callable[[int], None]) -> Callable[[], None]:
    return lambda: action(next(_counter))


def datalad(room: Path, programs: Path) -> Iterator[tuple[str, Case]]:
    """`datalad run` of a script that writes one file: the record is a commit."""
    env = clean_env(room / "home", [programs])
    quiet = ["datalad", "-l", "error"]
    path = room / "datalad"
    sh([*quiet, "create", "-c", "text2git", str(path)], room, env)
    script = path / "w.sh"
    script.write_text("#!/bin/sh\ndate +%s%N > out.txt\n")
    script.chmod(0o755)
    sh([*quiet, "save", "-m", "base"], path, env)
    yield "datalad run, one output", Case([*quiet, "run", "-m", "x", "--output", "out.txt", "./w.sh"], path, env)
    yield (
        "datalad run --explicit, one output",
        Case([*quiet, "run", "--explicit", "-m", "x", "-o", "out.txt", "./w.sh"], path, env),
    )


def dvc(room: Path, programs: Path) -> Iterator[tuple[str, Case]]:
    """`dvc repro` and `dvc exp run` of a stage that copies its parameter: the record is a lock file, or hidden refs."""
    env = {**clean_env(room / "home", [programs]), "DVC_NO_ANALYTICS": "1"}
    path = repository(room / "dvc", env, files=1)
    sh(["dvc", "init", "-q"], path, env)
    (path / "params.yaml").write_text("n: 0\n")
    (path / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: cat params.yaml > out.txt\n    params: [n]\n    outs: [out.txt]\n"
    )
    sh(["dvc", "repro", "-q"], path, env)
    sh(["git", "add", "-A"], path, env)
    sh(["git", "commit", "-q", "-m", "stage"], path, env)

    def new_parameter(number: int) -> None:
        (path / "params.yaml").write_text(f"n: {number}\n")

    yield "dvc repro, changed parameter", Case(["dvc", "repro", "-q"], path, env, _each_time(new_parameter))
    yield "dvc exp run", Case(["dvc", "exp", "run", "-q"], path, env, _each_time(new_parameter))


def redun(room: Path, programs: Path) -> Iterator[tuple[str, Case]]:
    """`redun run` of a Python task with a new argument: the record is a row in a database."""
    env = clean_env(room / "home", [programs])
    path = room / "redun"
    path.mkdir()
    task = path / "task.py"

    def new_task(number: int) -> None:
        # Another default is another call for redun, as another argument would be.
        task.write_text(
            f"from redun import task\nredun_namespace = 'b'\n\n@task()\ndef main(n: int = {number}):\n    return n\n"
        )

    new_task(0)
    yield "redun run, new argument", Case(["redun", "run", "task.py", "main"], path, env, _each_time(new_task))


def snakemake(room: Path, programs: Path) -> Iterator[tuple[str, Case]]:
    """`snakemake` with one rule that writes one file: the record is a file's metadata."""
    env = clean_env(room / "home", [programs])
    path = room / "snakemake"
    path.mkdir()
    (path / "Snakefile").write_text("rule a:\n    output: 'out.txt'\n    shell: 'echo x > {output}'\n")
    yield (
        "snakemake, one rule",
        Case(["snakemake", "-c1", "-q"], path, env, lambda: (path / "out.txt").unlink(missing_ok=True)),
    )


def precommit_hook(path: Path, programs: Path, env: dict[str, str]) -> None:
    """Lets the pre-commit framework own post-commit in a repository, with one hook that does nothing."""
    (path / ".pre-commit-config.yaml").write_text(
        "repos:\n- repo: local\n  hooks:\n  - {id: t, name: t, entry: 'true', language: system, always_run: true, "
        "pass_filenames: false, stages: [post-commit]}\n"
    )
    sh(["git", "add", "-A"], path, env)
    sh(["git", "commit", "-q", "-m", "config"], path, env)
    sh([str(programs / "pre-commit"), "install", "-t", "post-commit"], path, env)


RUNS: dict[str, Callable[[Path, Path], Iterator[tuple[str, Case]]]] = {
    "datalad": datalad,
    "dvc": dvc,
    "redun": redun,
    "snakemake": snakemake,
}
VERSION_ARGV = {
    "datalad": ["datalad", "--version"],
    "dvc": ["dvc", "--version"],
    "redun": ["redun", "--version"],
    "snakemake": ["snakemake", "--version"],
    "precommit": ["pre-commit", "--version"],
}


def datalad_losses(room: Path, programs: Path, *, runs: int = 20, at_once: int = 4) -> tuple[int, int]:
    """Returns how many of concurrent `datalad run --explicit` failed, and how many outputs are in no commit of theirs.

    The defect is datalad issue 7899: runs that go on at once commit each other's outputs.
    """
    env = clean_env(room / "home", [programs])
    path = room / "datalad-at-once"
    quiet = ["datalad", "-l", "error"]
    sh([*quiet, "create", "-c", "text2git", str(path)], room, env)
    failed = 0
    for start in range(0, runs, at_once):
        children = [
            subprocess.Popen(
                [*quiet, "run", "--explicit", "-o", f"p{number}.txt", "-m", f"run {number}",
                 f"sh -c 'sleep 0.2; echo {number} > p{number}.txt'"],
                cwd=path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for number in range(start, start + at_once)
        ]  # fmt: skip
        failed += sum(child.wait() != 0 for child in children)
    misplaced = 0
    for number in range(runs):
        log = sh(["git", "log", "--format=%s", "--", f"p{number}.txt"], path, env).decode()
        misplaced += not any(line.endswith(f"run {number}") for line in log.splitlines())
    return failed, misplaced


def note_losses(room: Path, *, writers: int = 8, each: int = 50) -> int:
    """Returns how many of the notes that `git notes add` reported as written are not there."""
    env = clean_env(room / "home")
    path = repository(room / "notes-at-once", env, files=1)
    stream = "".join(
        f"commit refs/heads/many\ncommitter B <b@example.invalid> {number} +0000\ndata 1\nx\n"
        for number in range(writers * each)
    )
    sh(["git", "fast-import", "--quiet"], path, env, data=stream.encode())
    commits = sh(["git", "rev-list", "many"], path, env).decode().split()
    children = [
        subprocess.Popen(
            ["sh", "-c", 'for c; do git notes --ref x add -m x "$c" 2>/dev/null && echo y; done', "sh",
             *commits[start::writers]],
            cwd=path, env=env, stdout=subprocess.PIPE, text=True,
        )
        for start in range(writers)
    ]  # fmt: skip
    reported = sum(child.communicate()[0].count("y") for child in children)
    return reported - len(sh(["git", "notes", "--ref", "x", "list"], path, env).splitlines())
