"""Runs a command or a script of the commit in the pinned shell, behind the sandbox."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from timelab.errors import TaskError
from timelab.executors.base import TaskContext, TaskResult
from timelab.manifest import Determinism, Failure, Status
from timelab.plan import matches_any
from timelab.shell.sandbox import Limits, Outcome, Overflow, Task, run_task
from timelab.spec.model import CommandSpec

_log = logging.getLogger(__name__)

STDOUT, STDERR = "logs/stdout.txt", "logs/stderr.txt"
_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_OVERFLOWS: dict[Overflow, tuple[str, str]] = {
    "output": ("output-limit", "its output reached the limit of {limits.output_bytes} bytes; none of it is kept"),
    "files": ("output-limit", "it made more than {limits.max_files} files; none of them is kept"),
    "tmp": ("tmp-limit", "its temporary files reached the limit of {limits.tmp_bytes} bytes"),
    "memory": ("memory-limit", "it took more than {limits.memory_bytes} bytes of memory"),
    "cpu": ("cpu-limit", "it took more than {limits.cpu_s} s of CPU time"),
}
_UNSTEADY = frozenset({"timeout", "sandbox-lost", "memory-limit", "cpu-limit", "tmp-limit", "left-over"})
"""Ends that depend on how fast and how full the machine was."""


class CommandExecutor:
    """Does tasks of kind `command`."""

    kind = "command"

    def execute(self, context: TaskContext) -> TaskResult:
        """Runs the command; what it says goes to `logs/stdout.txt` and `logs/stderr.txt`.

        Raises:
            SandboxError: nothing here can hold the task, and best effort is not asked for; it has not run.
            TaskError: the script is not among the commit's files.
        """
        spec = context.plan.spec
        if not isinstance(spec, CommandSpec):
            raise TaskError(f"not a command: {spec.kind}")
        argv = make_argv(spec, context.source)
        task = Task(
            argv=argv,
            env=make_env(context),
            source=context.source,
            input=context.staging / "input",
            output=context.staging / "output",
            stdout=context.staging / STDOUT,
            stderr=context.staging / STDERR,
            read_only=context.session.read_only,
            allow_net=spec.allow_net,
            limits=resolve_limits(spec),
            timeout_s=spec.timeout_s,
        )
        outcome = run_task(task, best_effort=context.best_effort_sandbox)
        faults = list(find_faults(outcome, task))
        if not faults:
            faults += keep_outputs(task.output, spec.outputs)
        error = Failure(slug=faults[0][0], message="; ".join(text for _, text in faults)[:1_900]) if faults else None
        status = Status.OK if error is None else Status.TIMEOUT if error.slug == "timeout" else Status.FAILED
        return TaskResult(
            status=status,
            cmd=argv,
            exit_code=outcome.exit_code,
            usage=outcome.usage,
            sandbox=outcome.record,
            determinism=judge_determinism(context, outcome, error),
            error=error,
        )


def make_argv(spec: CommandSpec, source: Path | None) -> tuple[str, ...]:
    """Returns the argv as it stands inside, where the working directory is the commit's tree.

    A script runs by its own first line when it is executable, otherwise by its suffix: `.py` or `.sh`.

    Raises:
        TaskError: the script is not there, or nothing says what runs it.
    """
    if spec.argv is not None:
        return tuple(spec.argv)
    script = str(spec.script)
    path = source / script if source is not None else None
    if path is None or not path.is_file():
        raise TaskError(f"no such script in the commit: {ascii(script)[:200]}")
    if path.stat().st_mode & 0o100:
        return (f"./{script}", *spec.args)
    interpreter = {".py": "python", ".sh": "sh"}.get(path.suffix)
    if interpreter is None:
        raise TaskError(
            f"nothing says what runs {ascii(script)[:200]}",
            hint=f"git update-index --chmod=+x {script}, with a '#!' line, or name it .py or .sh",
        )
    return (interpreter, f"./{script}", *spec.args)


def make_env(context: TaskContext) -> dict[str, str]:
    """Returns the task's environment: what the spec asks of the user's, the shell's, and ours, the later winning."""
    committed_at = context.plan.commit.committed_at
    folders = dict.fromkeys([*map(str, context.session.path), *_SYSTEM_PATH])
    return {
        **context.user_env,
        **context.session.variables,
        "PATH": ":".join(folders),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(int(committed_at.timestamp())) if committed_at else "0",
        # Sets of strings are printed in another order in every process otherwise.
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def resolve_limits(spec: CommandSpec) -> Limits:
    """Returns the spec's limits, the absent ones at their default."""
    given = spec.limits.model_dump(exclude_none=True)
    return Limits(**given)


def find_faults(outcome: Outcome, task: Task) -> Iterator[tuple[str, str]]:
    """Yields (slug, text) for everything that keeps the run from being `ok`, the gravest first."""
    if outcome.timed_out:
        yield "timeout", f"the command was stopped after {task.timeout_s:g} s"
    elif outcome.overflow is not None and not (outcome.overflow == "tmp" and outcome.exit_code == 0):
        slug, text = _OVERFLOWS[outcome.overflow]
        yield slug, "the command was stopped: " + text.format(limits=task.limits)
    elif outcome.start_error is not None:
        yield "not-started", f"the command could not be started: {ascii(outcome.start_error)[1:-1][:400]}"
    elif outcome.lost:
        yield "sandbox-lost", "the sandbox was ended from outside, by lack of memory or by a signal"
    elif outcome.signal is not None:
        yield "signal", f"the command was ended by signal {outcome.signal}"
    elif outcome.exit_code:
        yield "exit-status", f"the command ended with {outcome.exit_code}"
    if outcome.left_over:
        yield "left-over", f"it left {outcome.left_over} process(es) running, which were ended"
    for slug, kinds in (("output-kind", ("link", "special")), ("output-name", ("name",))):
        found = [str(item) for item in outcome.rejected if item.kind in kinds]
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            yield slug, f"not kept, since outputs are regular files with plain names: {', '.join(found[:5])}{more}"


def keep_outputs(folder: Path, patterns: tuple[str, ...]) -> list[tuple[str, str]]:
    """Removes what no pattern names, if any is given; returns a fault for each pattern that names nothing."""
    if not patterns:
        return []
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name, path in files.items():
        if not matches_any(name, patterns):
            path.unlink()
    missing = [pattern for pattern in patterns if not any(matches_any(name, (pattern,)) for name in files)]
    return [("output-missing", f"no output fits {ascii(pattern)[:200]}") for pattern in missing]


def judge_determinism(context: TaskContext, outcome: Outcome, error: Failure | None) -> Determinism:
    """Returns what a replay of this run may be held to: `exact`, or `none` with every reason."""
    reasons = []
    spec = context.plan.spec
    if not context.session.record.pinned:
        reasons.append(f"the shell is not pinned ({context.session.record.kind})")
    if spec.allow_net:
        reasons.append("the network was allowed")
    if not outcome.record.enforced:
        reasons.append("no sandbox was enforced")
    if spec.env:
        reasons.append("variables of the user's were passed, their values are not recorded: " + ", ".join(spec.env))
    if error is not None and error.slug in _UNSTEADY:
        reasons.append(f"the run did not complete: {error.slug}")
    return Determinism(
        level="none" if reasons else "exact", seed_drawn=False, reasons=tuple(reason[:1_900] for reason in reasons)
    )
