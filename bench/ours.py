"""What is measured of timelab: the cost of its hook, of a run, of reading, and whether anything is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench.measure import Case, Failed, clean_env, in_turns, repository, sh

PROGRAMS = Path(sys.executable).parent
TIMELAB = str(PROGRAMS / "timelab")
_SPEC = 'timelab: 1\nkind: command\nargv: ["true"]\ntags: ["n{number}"]\n'
_PYTHON_HOOK = f"#!{sys.executable}\nimport click, pydantic, pygit2, yaml\npygit2.Repository('.').head.target\n"
_numbers = count(1)


def environment(room: Path) -> dict[str, str]:
    """Returns the environment of all our cases; waiting is asked for where it is wanted."""
    return clean_env(room / "home", [PROGRAMS])


def with_hooks(path: Path, env: dict[str, str]) -> Path:
    """Lets timelab into a repository."""
    sh([TIMELAB, "init"], path, env)
    sh(["git", "add", "-A"], path, env)
    sh(["git", "commit", "-q", "-m", "init", "--allow-empty"], path, env)
    return path


def _edit(path: Path, env: dict[str, str]) -> None:
    (path / "d1").mkdir(exist_ok=True)
    (path / "d1/f1.txt").write_text(f"{next(_numbers)}\n")
    sh(["git", "add", "d1/f1.txt"], path, env)


def _commit(path: Path, env: dict[str, str]) -> Case:
    return Case(["git", "commit", "-q", "-m", "x"], path, env, lambda: _edit(path, env))


def commits_without_specs(room: Path, files: int, precommit: Path | None) -> Iterator[tuple[str, Case]]:
    """Yields a commit that touches no spec: with no hook, with ours, with a Python hook, under pre-commit."""
    env = environment(room)
    yield "no hook", _commit(repository(room / f"plain-{files}", env, files=files), env)
    yield "timelab", _commit(with_hooks(repository(room / f"ours-{files}", env, files=files), env), env)
    path = repository(room / f"python-{files}", env, files=files)
    hook = path / ".git/hooks/post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(_PYTHON_HOOK)
    hook.chmod(0o755)
    yield "a Python hook with click, pydantic, pygit2, yaml", _commit(path, env)
    if precommit is not None:
        from bench.beside import precommit_hook

        path = repository(room / f"framework-{files}", env, files=files)
        precommit_hook(path, precommit, env)
        yield "pre-commit framework, one hook `true`", _commit(path, env)


def _settle(path: Path, env: dict[str, str], *, limit_s: float = 60.0) -> None:
    """Waits until the worker has done what was queued, so that it does not work into the next turn."""
    sh([TIMELAB, "work"], path, env)
    end = time.monotonic() + limit_s
    queue = path / ".git/timelab/queue"
    while any(queue.glob("*.job")):
        if time.monotonic() > end:
            raise Failed("the queue did not drain")
        time.sleep(0.02)


def _new_spec(path: Path, env: dict[str, str]) -> None:
    (path / "specs").mkdir(exist_ok=True)
    (path / "specs/true.yaml").write_text(_SPEC.format(number=next(_numbers)))
    sh(["git", "add", "specs"], path, env)


def commits_with_a_spec(room: Path) -> Iterator[tuple[str, Case]]:
    """Yields a commit of a spec: with no hook, with ours until the prompt is back, and with ours until all is done."""
    env = environment(room)
    plain = repository(room / "spec-plain", env)
    yield "no hook", Case(["git", "commit", "-q", "-m", "x"], plain, env, lambda: _new_spec(plain, env))
    ours = with_hooks(repository(room / "spec-ours", env), env)

    def calm() -> None:
        _settle(ours, env)
        _new_spec(ours, env)

    yield "timelab, not waiting", Case(["git", "commit", "-q", "-m", "x"], ours, env, calm)
    waiting = with_hooks(repository(room / "spec-waiting", env), env)
    env_waiting = {**env, "TIMELAB_WAIT": "1"}
    yield (
        "timelab, waiting for the record",
        Case(["git", "commit", "-q", "-m", "x"], waiting, env_waiting, lambda: _new_spec(waiting, env)),
    )


def runs(room: Path) -> Iterator[tuple[str, Case]]:
    """Yields one trivial run, recorded whole: chain, note, folder, index."""
    env = environment(room)
    path = with_hooks(repository(room / "run", env), env)
    _new_spec(path, env)
    sh(["git", "commit", "-q", "-m", "spec", "--no-verify"], path, {**env, "TIMELAB_HOOK": "off"})
    yield "timelab run, one command", Case([TIMELAB, "run", "specs/true.yaml"], path, env)


def startups(room: Path) -> Iterator[tuple[str, Case]]:
    """Yields how long it takes to say anything."""
    env = environment(room)
    path = with_hooks(repository(room / "startup", env), env)
    _new_spec(path, env)
    sh(["git", "commit", "-q", "-m", "spec"], path, {**env, "TIMELAB_WAIT": "1"})
    yield "timelab --version", Case([TIMELAB, "--version"], path, env)
    yield "timelab log", Case([TIMELAB, "log"], path, env)


def sample(room: Path) -> tuple[Path, dict[str, object]]:
    """Returns a repository with one real run, and that run's record: the pattern for many."""
    env = environment(room)
    path = with_hooks(repository(room / f"many-{next(_numbers)}", env), env)
    _new_spec(path, env)
    sh(["git", "commit", "-q", "-m", "spec"], path, {**env, "TIMELAB_WAIT": "1"})
    record = json.loads(sh(["git", "notes", "--ref", "timelab", "show"], path, env))
    return path, record


def in_process(room: Path, what: str, *args: str) -> dict[str, float]:
    """Runs a function of `bench.records` in a process of its own, with the environment of our cases."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.records", what, *args],
        cwd=Path(__file__).parent.parent,
        env=environment(room),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"bench.records {what}: {done.stderr.strip()[-800:]}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def log_of_many(room: Path, runs_count: int, *, n: int) -> dict[str, float]:
    """Returns how long `timelab log` takes over so many runs, with a warm index."""
    path, _ = sample(room)
    made = in_process(room, "many", str(path), str(runs_count))
    env = environment(room)
    sh([TIMELAB, "log"], path, env)
    timing = in_turns({"log": Case([TIMELAB, "log"], path, env)}, n=n)["log"]
    return {"made_s": made["seconds"], "log_ms": timing.wall_ms, "log_cpu_ms": timing.cpu_ms}
