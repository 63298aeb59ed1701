"""timelab/process.py: one way to run a program, with bounds on time, output and what it leaves behind."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from timelab.atomic import process_start
from timelab.errors import RunError
from timelab.process import Helper, base_env, run, spawn_detached


def test_a_program_gets_its_input_and_both_streams_come_back(tmp_path: Path) -> None:
    data = b"x" * 3_000_000
    code = (
        "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d); sys.stderr.buffer.write(d); sys.exit(3)"
    )
    done = run([sys.executable, "-c", code], cwd=tmp_path, env=base_env(), input=data)
    assert (done.code, done.stdout, done.stderr) == (3, data, data)
    assert not done.timed_out
    assert not done.truncated


def test_output_beyond_the_cap_is_read_and_dropped(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('a' * 500_000)"
    done = run([sys.executable, "-c", code], cwd=tmp_path, env=base_env(), max_bytes=1000)
    assert (done.code, done.stdout, done.truncated) == (0, b"a" * 1000, True)


def test_a_program_that_does_not_read_its_input_is_no_error(tmp_path: Path) -> None:
    done = run(["true"], cwd=tmp_path, env=base_env(), input=b"x" * 1_000_000)
    assert done.code == 0


def test_the_whole_group_ends_when_time_is_up(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; wait"
    done = run(["sh", "-c", script], cwd=tmp_path, env=base_env(), timeout_s=1.0)
    assert done.timed_out
    _wait_until_dead(int((tmp_path / "child").read_text()))


def test_what_holds_the_pipes_of_a_dead_program_is_ended(tmp_path: Path) -> None:
    done = run(["sh", "-c", "sleep 600 & echo $! > child; exit 4"], cwd=tmp_path, env=base_env(), timeout_s=60.0)
    assert (done.code, done.timed_out) == (4, False)
    _wait_until_dead(int((tmp_path / "child").read_text()))


def _wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 20
    while process_start(pid) is not None:
        assert time.monotonic() < deadline, "a child outlived its group"
        time.sleep(0.01)


@pytest.mark.parametrize("argv", [["/no/such/program"], ["sh", "-c", "a\0b"]])
def test_a_program_that_cannot_start_is_an_error_without_its_path(argv: list[str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^cannot start '(program|sh)': "):
        run(argv, cwd=tmp_path, env=base_env())


def test_the_environment_keeps_transport_and_drops_repository_and_person(monkeypatch: pytest.MonkeyPatch) -> None:
    leaked = ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_AUTHOR_NAME", "GIT_COMMITTER_DATE"]
    for name in [*leaked, "GIT_CONFIG_PARAMETERS", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "LC_ALL"]:
        monkeypatch.setenv(name, "leak")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    env = base_env({"MINE": "1"})
    assert "leak" not in env.values()
    assert env["GIT_SSH_COMMAND"] == "ssh -i key"
    assert (env["LANG"], env["MINE"], env["HOME"]) == ("C.UTF-8", "1", os.environ["HOME"])


def test_a_detached_program_has_its_own_session_and_no_descriptor_of_ours(tmp_path: Path) -> None:
    script = "ls -l /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2 > fds; ps -o sid= -p $$ > sid; echo $$ > pid; mv pid done"
    if not Path("/proc/self/fd").exists():
        script = "ps -o sess= -p $$ > sid; echo $$ > pid; mv pid done"
    spawn_detached(["sh", "-c", script], cwd=tmp_path, env=base_env())
    deadline = time.monotonic() + 20
    while not (tmp_path / "done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if (tmp_path / "fds").exists():
        assert (tmp_path / "fds").read_text().count("/dev/null") == 2  # 1 is the file that `>` opened


ECHO = "import sys\nfor line in sys.stdin:\n    print(line.strip() * 2, flush=True)"


def test_a_helper_is_talked_with_line_by_line() -> None:
    helper = Helper([sys.executable, "-c", ECHO], cwd=None, env=base_env())
    for word in (b"a", "ä".encode(), b"x" * 300_000):
        assert helper.send(word, time.monotonic() + 30)
        assert helper.receive(time.monotonic() + 30) == word * 2
    assert helper.ended() is None
    helper.close()
    helper.close()
    assert helper.ended() == -9


def test_a_silent_helper_is_waited_for_so_long_and_no_longer() -> None:
    helper = Helper([sys.executable, "-c", "import time; time.sleep(60)"], cwd=None, env=base_env())
    with pytest.raises(TimeoutError):
        helper.receive(time.monotonic() + 0.1)
    assert not helper.send(b"x" * (1 << 22), time.monotonic() + 0.2)
    helper.close()


def test_a_helper_that_ended_tells_how_and_what_it_said_last() -> None:
    code = "import sys; print('one'); sys.stderr.write('x' * 9000 + 'no memory'); sys.exit(7)"
    helper = Helper([sys.executable, "-c", code], cwd=None, env=base_env())
    assert helper.receive(time.monotonic() + 30) == b"one"
    assert helper.receive(time.monotonic() + 30) is None
    assert helper.ended(30.0) == 7
    assert helper.said.endswith("no memory") and len(helper.said) <= 4096
    assert not helper.send(b"x", time.monotonic() + 1)
    helper.close()


def test_what_a_helper_started_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
        "\nprint(child.pid, flush=True)\ntime.sleep(60)"
    )
    helper = Helper([sys.executable, "-c", code], cwd=None, env=base_env())
    pid = int(helper.receive(time.monotonic() + 30) or b"0")
    helper.close()
    deadline = time.monotonic() + 10
    while process_start(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process_start(pid) is None
