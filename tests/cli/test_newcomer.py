"""What a newcomer does wrong, and what a machine does to them: one clear line, the right code, never a traceback."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.notebook import TIMELAB, Notebook
from timelab.cli import COMMANDS

NEEDS_A_REPOSITORY = {
    "init": [], "run": ["x.yaml"], "status": [], "watch": [], "log": [], "show": [], "trace": ["x"], "diff": [],
    "verify": [], "replay": ["last"], "sync": [], "allow": ["HEAD"], "forget": ["last"], "reindex": [], "doctor": [],
    "day": [], "ai": ["x.yaml"], "work": [],
}  # fmt: skip
READS = [
    ["log"],
    ["log", "--json"],
    ["show"],
    ["status"],
    ["verify"],
    ["doctor"],
    ["config"],
    ["schema", "run"],
    ["--help"],
]


def call(*args: str, cwd: Path, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TIMELAB, *args], cwd=cwd, text=True, errors="replace", check=False, env={**os.environ},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how},
    )  # type: ignore[call-overload,no-any-return]  # fmt: skip


@pytest.mark.parametrize("command", NEEDS_A_REPOSITORY)
def test_outside_of_a_repository_each_command_says_so(tmp_path: Path, command: str) -> None:
    """A223."""
    said = Notebook(tmp_path).timelab(command, *NEEDS_A_REPOSITORY[command])
    assert (said.code, said.out) == (64, "")
    assert said.err == "timelab: not a git repository, nor any folder above\nhint: git init\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_refuses_a_wrong_option(tmp_path: Path, command: str) -> None:
    """A223, T12: 64 where click alone would say 2."""
    notebook = Notebook(tmp_path)
    shown = notebook.timelab(command, "--help")
    assert shown.code == 0 and shown.out.startswith(f"Usage: timelab {command} ")
    if command in ("mine", "summ"):
        return
    said = notebook.timelab(command, "--no-such-option")
    assert (said.code, said.out) == (64, "")
    assert said.err.startswith("timelab: no such option '--no-such-option'")
    assert said.err.endswith(f"hint: timelab {command} --help\n")
    assert len(said.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("lgo", "no such command: lgo; did you mean 'log'?"),
        ("verfy", "no such command: verfy; did you mean 'verify'?"),
        ("--jsn", "no such option '--jsn'"),
        ("zzz", "no such command: zzz"),
        ("\x1b[31mlog", "no such command: \\x1b[31mlog"),
    ],
)
def test_a_misspelt_command_names_the_nearest(tmp_path: Path, typed: str, words: str) -> None:
    said = Notebook(tmp_path).timelab(typed)
    assert (said.code, said.out) == (64, "")
    assert said.err.startswith(f"timelab: {words}")
    assert said.err.endswith("\nhint: timelab --help\n")


def test_a_bare_call_shows_the_help_on_stderr(tmp_path: Path) -> None:
    done = call(cwd=tmp_path)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("Usage: timelab [OPTIONS] COMMAND [ARGS]...\n\n  Turn git history")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = call("-C", "none", "log", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (64, "timelab: no such folder: none")


def test_before_the_first_commit_every_read_command_answers(tmp_path: Path) -> None:
    """A222: an empty listing is no failure."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    notebook = Notebook(tmp_path)
    for args in (["log"], ["status", "--all"], ["run", "--pending"], ["doctor"], ["check"], ["reindex"], ["watch"]):
        assert notebook.timelab(*args).code == 0, args
    assert notebook.timelab("verify").code == 65
    for args in (["show"], ["diff"], ["replay", "last"], ["log", "specs/x.yaml"], ["log", "--commit", "HEAD"]):
        said = notebook.timelab(*args)
        assert (said.code, len(said.err.splitlines()) <= 2) == (64, True), args


def test_a_detached_head_is_nothing_special(notebook: Notebook) -> None:
    notebook.git("checkout", "-q", "--detach")
    assert notebook.timelab("run", "specs/hello.yaml").code == 0
    assert notebook.runs()[0]["git_sha"] == notebook.git("rev-parse", "HEAD")
    for args in (["log"], ["status", "--all"], ["verify"], ["log", "specs/hello.yaml"], ["diff"]):
        assert notebook.timelab(*args).code == 0, args


def test_a_bare_clone_can_be_read(notebook: Notebook, tmp_path: Path) -> None:
    notebook.git("clone", "-q", "--mirror", str(notebook.root), str(tmp_path / "bare.git"))
    bare = Notebook(tmp_path / "bare.git")
    for args in (["log"], ["status"], ["show"], ["verify"], ["log", "specs/hello.yaml"], ["doctor"], ["config"]):
        assert bare.timelab(*args).code == 0, args
    assert bare.timelab("show", "--path").out == "\n"
    said = bare.timelab("check")
    assert (said.code, said.err) == (64, "timelab: this repository has no work tree\nhint: timelab check FILE…\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="needs an ordinary user")
def test_what_cannot_be_written_can_be_read(notebook: Notebook) -> None:
    """A225: reading needs no write access; a run that cannot be recorded says why."""
    git_dir = notebook.root / ".git"
    folders = [path for path in [git_dir, *git_dir.rglob("*")] if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for args in (["log"], ["show"], ["verify"], ["status"]):
            assert notebook.timelab(*args).code == 0, args
        said = notebook.timelab("run", "specs/hello.yaml")
        assert said.code == 70
        assert len(said.err.splitlines()) <= 2
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_a_reader_that_goes_away_is_no_failure(notebook: Notebook, args: list[str]) -> None:
    """Style E2: `timelab log | head -1` is silent, and 0."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = call(*args, cwd=notebook.root, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr.replace("hint: timelab init\n", "")) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_output_that_cannot_be_written_is_a_failure(notebook: Notebook, args: list[str]) -> None:
    """A225: nobody should take a truncated listing for the whole."""
    with Path("/dev/full").open("w") as full:
        done = call(*args, cwd=notebook.root, stdout=full)
    assert done.returncode == 70
    assert done.stderr.splitlines()[-1] == "timelab: cannot write the output: no space left on device"
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_failure(notebook: Notebook, closed: str) -> None:
    """Design 3: hooks and daemons start programs without any of the three."""
    for args in ("log", "status", "show", "verify --quiet", "run specs/hello.yaml"):
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" {args} {closed}', TIMELAB], cwd=notebook.root, capture_output=True, check=False
        )
        assert done.returncode == 0, (args, done.stderr)
        assert b"bug" not in done.stderr
    assert len(notebook.runs()) == 4
    assert notebook.timelab("verify").code == 0


def test_ctrl_c_is_130_and_the_run_is_recorded_as_interrupted(notebook: Notebook) -> None:
    """A68: style E2, the manifest says so first."""
    import signal
    import time

    notebook.write("specs/slow.yaml", "timelab: 1\nkind: command\nprofile: host\nargv: [sleep, '60']\n")
    with subprocess.Popen(
        [TIMELAB, "run", "specs/slow.yaml"],
        cwd=notebook.root,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        staging, end = notebook.root / ".git/timelab/staging", time.monotonic() + 60
        while not list(staging.glob("*/logs/stdout.txt")) and time.monotonic() < end:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert notebook.runs()[0]["status"] == "interrupted"
    assert notebook.timelab("verify").code == 0
