"""What a hostile task tries, for every backend that works here, as the own user and as an ordinary one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandboxes import CELLS, Cell, cell_id, processes_with, require, wait_until_gone
from timelab.shell.sandbox import Backend

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=CELLS, ids=cell_id)
def cell(request: pytest.FixtureRequest) -> Cell:
    require(request.param)
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Gives a folder of the host that everybody may write in, so that only the sandbox stands in the way."""
    with tempfile.TemporaryDirectory(prefix="timelab-host-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


TRY = """
import errno, os, socket, sys
def attempt(name, action):
    try:
        action()
        print(name, "worked")
    except OSError as error:
        print(name, "failed")
"""


def outcomes(text: str) -> dict[str, str]:
    return dict(line.split() for line in text.splitlines())


def test_a_task_reaches_no_socket_of_the_host(cell: Cell, open_folder: Path) -> None:
    """A191, A33: TCP, UDP, DNS and UNIX sockets by path and by abstract name, all out of reach."""
    abstract = f"\0timelab-{uuid.uuid4().hex}"
    path = str(open_folder / "agent.sock")
    with (
        socket.socket() as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as hidden,
    ):
        for listener, address in ((tcp, ("127.0.0.1", 0)), (unix, path), (hidden, abstract)):
            listener.bind(address)
            listener.listen()
        Path(path).chmod(0o777)
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        code = TRY + (
            "tcp, udp, path, abstract = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], '\\0' + sys.argv[4]\n"
            "attempt('tcp', lambda: socket.create_connection(('127.0.0.1', tcp), 2))\n"
            "def send(): socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', udp))\n"
            "attempt('udp', send)\n"
            "attempt('dns', lambda: socket.getaddrinfo('example.com', 80))\n"
            "attempt('unix', lambda: socket.socket(socket.AF_UNIX).connect(path))\n"
            "attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect(abstract))\n"
            "attempt('vsock', lambda: socket.socket(40, socket.SOCK_STREAM))\n"
            "attempt('packet', lambda: socket.socket(17, socket.SOCK_RAW))\n"
        )
        ports = [str(each.getsockname()[1]) for each in (tcp, udp)]
        ended = cell.run(code, *ports, path, abstract[1:], timeout_s=30.0)
        seen = outcomes(ended.stdout)
        # A datagram to its own empty loopback may leave a task; it must not arrive here.
        assert {name for name, end in seen.items() if end == "worked"} <= {"udp"}, ended
        assert len(seen) == 7
        with pytest.raises(BlockingIOError):
            udp.recv(1)
    assert ended.record == {"kind": cell.backend.value, "network": "none", "enforced": True, "as_root": False}


def test_a_task_with_the_network_still_reaches_no_agent(cell: Cell, open_folder: Path) -> None:
    """A33: `allow_net` opens the network, not the user's UNIX sockets."""
    path = str(open_folder / "agent.sock")
    abstract = f"\0timelab-{uuid.uuid4().hex}"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_UNIX) as hidden:
        for listener, address in ((tcp, ("127.0.0.1", 0)), (unix, path), (hidden, abstract)):
            listener.bind(address)
            listener.listen()
        Path(path).chmod(0o777)
        code = TRY + (
            "attempt('tcp', lambda: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5))\n"
            "attempt('unix', lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[2]))\n"
            "attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect('\\0' + sys.argv[3]))\n"
        )
        ended = cell.run(code, str(tcp.getsockname()[1]), path, abstract[1:], allow_net=True)
    assert ended.record["network"] == "host"
    seen = outcomes(ended.stdout)
    assert (seen["tcp"], seen["unix"]) == ("worked", "failed"), ended
    if _landlock_abi() >= 6:
        assert seen["abstract"] == "failed"


def _landlock_abi() -> int:
    from timelab.shell.inside import landlock

    return landlock.abi()


def test_a_task_reads_nothing_of_the_users(cell: Cell, open_folder: Path) -> None:
    """A191: keys in a home, secrets in another process's environment and memory, the system's own secrets."""
    key = open_folder / ".ssh/id_ed25519"
    key.parent.mkdir()
    key.write_text("PRIVATE")
    key.parent.chmod(0o755)
    key.chmod(0o644)
    code = TRY + (
        "attempt('key', lambda: open(sys.argv[1]).read())\n"
        "attempt('list', lambda: os.listdir(os.path.dirname(sys.argv[1])))\n"
        "attempt('environ', lambda: open('/proc/%s/environ' % sys.argv[2]).read())\n"
        "attempt('cwd', lambda: os.listdir('/proc/%s/cwd/' % sys.argv[2]))\n"
        "attempt('shadow', lambda: open('/etc/shadow').read())\n"
        "attempt('parent', lambda: open('/proc/%s/environ' % os.getppid()).read())\n"
    )
    # A process of the same user that holds a secret in its environment, as the user's own shell may.
    who = {} if not cell.ordinary else {"user": 54_321, "group": 54_321}
    with subprocess.Popen(["/bin/sleep", "60"], env={"TOKEN": "x"}, cwd="/", **who) as other:  # type: ignore[call-overload]
        try:
            ended = cell.run(code, str(key), str(other.pid))
        finally:
            other.kill()
    assert set(outcomes(ended.stdout).values()) == {"failed"}, ended


def test_a_task_writes_nowhere_but_in_its_rooms(cell: Cell, open_folder: Path) -> None:
    """A191: the commit's tree, the input and the host stay as they were."""
    (open_folder / "file").write_text("host")
    (open_folder / "file").chmod(0o666)
    code = TRY + (
        "host, out = sys.argv[1], os.environ['TIMELAB_OUTPUT']\n"
        "src, given = os.environ['TIMELAB_SRC'], os.environ['TIMELAB_INPUT']\n"
        "def write(path): open(path, 'w').close()\n"
        "attempt('host', lambda: write(host + '/new'))\n"
        "attempt('over', lambda: write(host + '/file'))\n"
        "attempt('truncate', lambda: os.truncate(host + '/file', 0))\n"
        "attempt('remove', lambda: os.remove(host + '/file'))\n"
        "attempt('rename', lambda: os.rename(host + '/file', host + '/other'))\n"
        "attempt('source', lambda: write(src + '/new'))\n"
        "attempt('edit', lambda: write(src + '/code.py'))\n"
        "attempt('input', lambda: write(given + '/given.txt'))\n"
        "attempt('usr', lambda: write('/usr/new'))\n"
        "attempt('etc', lambda: write('/etc/passwd'))\n"
        "attempt('hardlink', lambda: os.link(src + '/code.py', out + '/linked'))\n"
        "write(out + '/kept')\n"
    )
    ended = cell.run(code, str(open_folder), files={"code.py": b"print()"})
    assert set(outcomes(ended.stdout).values()) == {"failed"}, ended
    assert sorted(path.name for path in open_folder.iterdir()) == ["file"]
    assert (open_folder / "file").read_text() == "host"
    assert list(ended.files) == ["kept"]


def test_a_fork_bomb_is_bounded_ended_and_counted(cell: Cell) -> None:
    """A191: no more processes than allowed, none of them left."""
    marker = f"bomb-{uuid.uuid4().hex}"
    code = (
        "import os, time\n"
        "made = 0\n"
        "while True:\n"
        "    try:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(600)\n"
        "    except BlockingIOError:\n"
        "        break\n"
        "    made += 1\n"
        "print(made)\n"
    )
    ended = cell.run(code, marker, processes=30)
    assert ended.exit_code == 0, ended
    assert 0 < int(ended.stdout) <= 40
    assert ended.left_over == int(ended.stdout)
    assert wait_until_gone(marker) == []


def test_a_bomb_that_multiplies_is_ended_by_the_clock(cell: Cell) -> None:
    marker = f"bomb-{uuid.uuid4().hex}"
    code = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
    ended = cell.run(code, marker, processes=50, timeout_s=1.0)
    assert ended.timed_out
    assert wait_until_gone(marker) == []


def test_a_full_disk_is_a_limit_not_a_full_host(cell: Cell) -> None:
    """A191: writing stops at the limit, and of an output that reached it nothing is kept."""
    code = (
        "import os\n"
        "with open(os.environ['TIMELAB_OUTPUT'] + '/big', 'wb', 0) as stream:\n"
        "    while True:\n"
        "        stream.write(bytes(1 << 16))\n"
    )
    ended = cell.run(code, output_bytes=4 << 20, timeout_s=30.0)
    assert ended.overflow == "output", ended
    assert ended.files == {}


def test_an_output_of_exactly_the_limit_is_kept(cell: Cell) -> None:
    code = "import os; open(os.environ['TIMELAB_OUTPUT'] + '/full', 'wb').write(bytes(1 << 20))"
    ended = cell.run(code, output_bytes=1 << 20)
    assert (ended.exit_code, ended.overflow) == (0, None), ended
    assert len(ended.files["full"][1]) == 1 << 20


def test_a_sparse_file_counts_in_full(cell: Cell) -> None:
    code = (
        "import os\nfor name in 'abcd':\n    open(os.environ['TIMELAB_OUTPUT'] + '/' + name, 'wb').truncate(1 << 20)\n"
    )
    ended = cell.run(code, output_bytes=2 << 20, tmp_bytes=2 << 20)
    assert (ended.overflow, ended.files) == ("output", {})


def test_too_many_files_are_a_limit(cell: Cell) -> None:
    code = "import os\nfor number in range(1000):\n    open(os.environ['TIMELAB_OUTPUT'] + f'/{number}', 'w').close()\n"
    ended = cell.run(code, max_files=100)
    assert (ended.overflow, ended.files) == ("files", {}), ended


def test_memory_is_bounded(cell: Cell) -> None:
    code = "try:\n    block = bytearray(512 << 20)\n    print('worked')\nexcept MemoryError:\n    print('failed')\n"
    assert cell.run(code, memory_bytes=256 << 20).stdout == "failed\n"


def test_memory_is_bounded_over_all_processes(cell: Cell) -> None:
    code = (
        "import os, time\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0:\n"
        "        block = bytearray(b'x' * (48 << 20))\n"
        "        time.sleep(600)\n"
        "time.sleep(600)\n"
    )
    ended = cell.run(code, memory_bytes=128 << 20, timeout_s=30.0)
    assert (ended.overflow, ended.timed_out) == ("memory", False), ended


def test_cpu_time_is_bounded(cell: Cell) -> None:
    ended = cell.run("while True: pass", cpu_s=1, timeout_s=60.0)
    assert (ended.overflow, ended.signal) == ("cpu", signal.SIGXCPU)


@pytest.mark.parametrize("how", ["background", "daemon"])
def test_what_a_task_leaves_behind_is_ended_and_counted(cell: Cell, how: str) -> None:
    """A191: also one that made itself a session and a parent of its own."""
    marker = f"left-{uuid.uuid4().hex}"
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    if sys.argv[2] == 'daemon':\n"
        "        os.setsid()\n"
        "        if os.fork():\n"
        "            os._exit(0)\n"
        "        for fd in range(3):\n"
        "            os.close(fd)\n"
        "    time.sleep(600)\n"
        "print('done')\n"
    )
    ended = cell.run(code, marker, how)
    assert (ended.exit_code, ended.stdout, ended.left_over) == (0, "done\n", 1)
    assert wait_until_gone(marker) == []


def test_a_helper_that_ends_by_itself_is_not_left_over(cell: Cell) -> None:
    code = "import os, time\nif os.fork() == 0:\n    time.sleep(0.05)\n"
    assert cell.run(code).left_over == 0


def test_a_task_cannot_end_what_holds_it(cell: Cell) -> None:
    """A191: neither by its parent's id, nor by the group's, nor by naming everybody."""
    victim_env = {"user": 54_321, "group": 54_321} if cell.ordinary else {}
    code = TRY + (
        "import resource\n"
        "for target in (os.getppid(), -os.getppid() if os.getppid() > 1 else 1, int(sys.argv[1])):\n"
        "    attempt(f'kill{target}', lambda: os.kill(target, 9))\n"
        "try:\n"
        "    os.kill(-1, 9)\n"
        "except OSError:\n"
        "    pass\n"
        "attempt('prlimit', lambda: resource.prlimit(int(sys.argv[1]), resource.RLIMIT_CPU, (0, 0)))\n"
        "open(os.environ['TIMELAB_OUTPUT'] + '/alive', 'w').close()\n"
    )
    with subprocess.Popen(["/bin/sleep", "60"], cwd="/", **victim_env) as victim:  # type: ignore[call-overload]
        try:
            ended = cell.run(code, str(victim.pid))
            assert victim.poll() is None, ended
        finally:
            victim.kill()
    assert not ended.lost, ended
    assert list(ended.files) == ["alive"]


def test_a_gigabyte_on_stdout_is_cut_and_stops_nobody(cell: Cell) -> None:
    ended = cell.run_argv(["dd", "if=/dev/zero", "bs=1M", "count=1024", "status=none"], log_bytes=1 << 20)
    assert (ended.exit_code, ended.log_cut) == (0, True)
    assert ended.stdout == "\0" * (1 << 20) + f"\n[timelab: cut after {1 << 20} bytes]\n"


def test_a_task_that_ignores_sigterm_ends_at_its_time(cell: Cell) -> None:
    marker = f"deaf-{uuid.uuid4().hex}"
    code = (
        "import os, signal, time\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "open(os.environ['TIMELAB_OUTPUT'] + '/so far', 'w').close()\n"
        "while True:\n"
        "    time.sleep(600)\n"
    )
    begin = time.monotonic()
    ended = cell.run(code, marker, timeout_s=0.5)
    assert ended.timed_out
    assert time.monotonic() - begin < 15
    assert list(ended.files) == ["so far"]
    assert wait_until_gone(marker) == []


def test_setuid_bits_do_not_arrive(cell: Cell) -> None:
    code = (
        "import os\n"
        "path = os.environ['TIMELAB_OUTPUT'] + '/tool'\n"
        "open(path, 'w').close()\n"
        "os.chmod(path, 0o6755)\n"
        "open(path + '2', 'w').close()\n"
        "os.chmod(path + '2', 0)\n"
    )
    ended = cell.run(code)
    assert {name: mode for name, (mode, _) in ended.files.items()} == {"tool": 0o755, "tool2": 0o644}


def test_only_regular_files_are_collected(cell: Cell) -> None:
    """A191: links, fifos and sockets are named, and nothing is followed."""
    code = (
        "import os\n"
        "os.chdir(os.environ['TIMELAB_OUTPUT'])\n"
        "os.symlink('/etc/passwd', 'link')\n"
        "os.symlink('..', 'up')\n"
        "os.mkfifo('pipe')\n"
        "os.mkdir('folder')\n"
        "os.symlink('/', 'folder/root')\n"
        "open('folder/file', 'w').write('kept')\n"
    )
    ended = cell.run(code)
    assert {name: data for name, (_, data) in ended.files.items()} == {"folder/file": b"kept"}
    assert sorted(map(tuple, ended.rejected)) == [
        ("link", "folder/root"),
        ("link", "link"),
        ("link", "up"),
        ("special", "pipe"),
    ]


def test_names_that_no_record_can_hold_are_refused(cell: Cell) -> None:
    code = (
        "import os\n"
        "os.chdir(os.environ['TIMELAB_OUTPUT'].encode())\n"
        "for name in (b'plain', b'new\\nline', b'\\xff\\xfe', b'esc\\x1b[31m', b'con.txt', b'a\\\\b'):\n"
        "    open(name, 'w').close()\n"
        "os.mkdir('.git')\n"
        "open('.git/config', 'w').close()\n"
    )
    ended = cell.run(code)
    assert list(ended.files) == ["plain"]
    assert {kind for kind, _ in ended.rejected} == {"name"}
    assert len(ended.rejected) == 6


def test_kernel_doors_around_the_walls_are_shut(cell: Cell) -> None:
    """io_uring opens sockets past a filter, keyrings know no namespaces, a user namespace gives capabilities."""
    code = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.syscall(425, 8, ctypes.create_string_buffer(256)), ctypes.get_errno())\n"
        "print(libc.unshare(0x10000000), ctypes.get_errno())\n"
        "print(libc.syscall(250 if libc.syscall(39) > 0 else 219, 0, -3, 0), ctypes.get_errno())\n"
    )
    import platform

    if platform.machine() != "x86_64":
        pytest.skip("needs x86_64: the numbers in this test are its own")
    assert cell.run(code).stdout == "-1 1\n" * 3


def test_files_of_the_user_keep_their_mode_times_and_attributes(cell: Cell) -> None:
    """A191: a path is all that chmod needs, so a file that cannot be read must not be opened up either."""
    with cell.room() as foreign:
        (foreign / "key").write_text("PRIVATE")
        (foreign / "key").chmod(0o600)
        (foreign / "folder").mkdir(0o700)
        for path in (foreign, foreign / "key", foreign / "folder"):
            os.utime(path, (1, 1))
            if cell.ordinary and os.geteuid() == 0:
                os.chown(path, 54_321, 54_321)
        code = TRY + (
            "import ctypes\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "def call(*a):\n"
            "    if libc.syscall(*a) < 0: raise OSError(ctypes.get_errno(), 'x')\n"
            "key, folder, out = sys.argv[1], sys.argv[2], os.environ['TIMELAB_OUTPUT']\n"
            "os.symlink(key, out + '/link')\n"
            "at = -100\n"
            "attempt('chmod', lambda: os.chmod(key, 0o777))\n"
            "attempt('link', lambda: os.chmod(out + '/link', 0o777))\n"
            "attempt('climb', lambda: os.chmod(os.path.relpath(key, os.getcwd()), 0o777))\n"
            "attempt('folder', lambda: os.chmod(folder, 0o777))\n"
            "attempt('utime', lambda: os.utime(key))\n"
            "attempt('chown', lambda: os.chown(key, os.getuid(), os.getgid()))\n"
            "attempt('lchown', lambda: os.lchown(key, os.getuid(), os.getgid()))\n"
            "attempt('setxattr', lambda: os.setxattr(key, 'user.x', b'x'))\n"
            "attempt('removexattr', lambda: os.removexattr(key, 'user.x'))\n"
            "attempt('fchmodat2', lambda: call(452, at, key.encode(), 0o777, 0))\n"
            "def place():\n"
            "    fd = os.open(key, os.O_PATH)\n"
            "    os.chmod('/proc/self/fd/%d' % fd, 0o777)\n"
            "attempt('place', place)\n"
        )
        ended = cell.run(code, str(foreign / "key"), str(foreign / "folder"))
        seen = outcomes(ended.stdout)
        states = [(foreign / name).stat() for name in ("key", "folder")]
        attributes = os.listxattr(foreign / "key")
    assert len(seen) == 11, ended
    assert set(seen.values()) == {"failed"}, ended
    assert [(oct(state.st_mode & 0o7777), state.st_mtime) for state in states] == [("0o600", 1), ("0o700", 1)]
    assert attributes == []


def test_a_task_changes_mode_and_times_of_its_own_files(cell: Cell) -> None:
    """A191: what keeps the user's files does not keep programs from their own."""
    code = (
        "import os, shutil, subprocess, sys\n"
        "out, tmp, src = (os.environ['TIMELAB_' + name] for name in ('OUTPUT', 'TMP', 'SRC'))\n"
        "shutil.copy2(src + '/tree/tool', out + '/copied')\n"
        "os.utime(out + '/copied', ns=(5 * 10**9 + 7, 6 * 10**9 + 8))\n"
        "print(os.stat(out + '/copied').st_mtime_ns, oct(os.stat(out + '/copied').st_mode)[-3:])\n"
        "shutil.copytree(src + '/tree', tmp + '/tree')\n"
        "os.chdir(tmp)\n"
        "run = lambda *argv: subprocess.run(argv, check=True)\n"
        "open('new', 'w').close()\n"
        "os.chmod('new', 0o755)\n"
        "run('chmod', 'u-w,g-r', 'new')\n"
        "print(oct(os.stat('new').st_mode)[-3:])\n"
        "run('touch', '-d', '2001-01-01T00:00:00Z', 'tree', 'new')\n"
        "print(int(os.stat('tree').st_mtime), int(os.stat('new').st_mtime))\n"
        "run('cp', '-a', 'tree', 'again')\n"
        "run('tar', '-cf', 'all.tar', 'tree')\n"
        "os.mkdir('unpacked')\n"
        "run('tar', '-xpf', 'all.tar', '-C', 'unpacked')\n"
        "print(oct(os.stat('unpacked/tree/tool').st_mode)[-3:], int(os.stat('unpacked/tree').st_mtime))\n"
        "fd = os.open('tree', os.O_RDONLY)\n"
        "os.chmod('tool', 0o700, dir_fd=fd)\n"
        "os.symlink('nowhere', 'dangling')\n"
        "os.utime('dangling', (3, 3), follow_symlinks=False)\n"
        "print(oct(os.stat('tree/tool').st_mode)[-3:], int(os.lstat('dangling').st_mtime))\n"
        "for wrong in ('', 'absent', 'new/below'):\n"
        "    try: os.chmod(wrong, 0o700)\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )
    ended = cell.run(code, files={"tree/tool": b"#!/bin/sh\n"})
    assert ended.exit_code == 0, ended
    day = 978307200
    assert ended.stdout.splitlines() == [
        "6000000008 755",
        "515",
        f"{day} {day}",
        f"755 {day}",
        "700 3",
        "FileNotFoundError",
        "FileNotFoundError",
        "NotADirectoryError",
    ]
    assert ended.files["copied"][0] & 0o100


def test_shared_memory_and_queues_of_the_user_are_out_of_reach(cell: Cell) -> None:
    """A191: System V objects are reached by number alone, without any path."""
    import platform

    if platform.machine() != "x86_64":
        pytest.skip("needs x86_64: the numbers in this test are its own")
    make = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.shmat.restype = ctypes.c_void_p\n"
        "shm, sem, msg = libc.shmget(0, 64, 0o1600), libc.semget(0, 1, 0o1600), libc.msgget(0, 0o1600)\n"
        "ctypes.memmove(libc.shmat(shm, None, 0), b'PRIVATE', 7)\n"
        "print(shm, sem, msg, flush=True)\n"
        "sys.stdin.readline()\n"
        "print(ctypes.string_at(libc.shmat(shm, None, 0), 7).decode(), libc.semctl(sem, 0, 12), flush=True)\n"
        "print(libc.shmctl(shm, 0, None), libc.semctl(sem, 0, 0), libc.msgctl(msg, 0, None))\n"
    )
    code = TRY + (
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "shm, sem, msg = map(int, sys.argv[1:])\n"
        "def call(*a):\n"
        "    if libc.syscall(*a) < 0: raise OSError(ctypes.get_errno(), 'x')\n"
        "room = ctypes.create_string_buffer(256)\n"
        "for name, *a in (('shmat', 30, shm, 0, 0), ('shmstat', 31, shm, 2, room), ('semval', 66, sem, 0, 12),\n"
        "        ('semset', 66, sem, 0, 16, 1), ('msgsnd', 69, msg, room, 8, 2048),\n"
        "        ('msgrcv', 70, msg, room, 8, 0, 2048), ('shmdrop', 31, shm, 0, 0),\n"
        "        ('semdrop', 66, sem, 0, 0), ('msgdrop', 71, msg, 0, 0)):\n"
        "    attempt(name, lambda: call(*a))\n"
    )
    who = {"user": 54_321, "group": 54_321} if cell.ordinary else {}
    argv = [str(cell.python), "-I", "-S", "-c", make]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True, cwd="/", **who) as owner:  # type: ignore[call-overload]
        ids = owner.stdout.readline().split()
        ended = cell.run(code, *ids)
        said = owner.communicate("\n", timeout=60)[0].splitlines()
    seen = outcomes(ended.stdout)
    assert (len(seen), set(seen.values())) == (9, {"failed"}), ended
    assert said == ["PRIVATE 0", "0 0 0"]


def test_results_do_not_depend_on_who_runs_it(cell: Cell) -> None:
    """A191, A8: ids, names, environment and modes are the sandbox's, wherever it can make them so."""
    code = (
        "import json, os, socket, time\n"
        "out = os.environ['TIMELAB_OUTPUT'] + '/file'\n"
        "open(out, 'w').close()\n"
        "print(json.dumps({'uid': os.getuid(), 'gid': os.getgid(), 'host': socket.gethostname(),\n"
        "  'tz': time.tzname[0],\n"
        "  'cwd': os.getcwd(), 'mode': os.stat(out).st_mode & 0o777, 'umask': os.umask(0), 'env': dict(os.environ)}))\n"
    )
    before = os.umask(0o077)
    try:
        ended = cell.run(code)
    finally:
        os.umask(before)
    seen = json.loads(ended.stdout)
    assert (seen["tz"], seen["umask"], seen["mode"]) == ("UTC", 0o022, 0o644)
    assert ended.files["file"][0] == 0o644
    if cell.backend is not Backend.LANDLOCK:
        assert (seen["uid"], seen["gid"], seen["host"], seen["cwd"]) == (1000, 1000, "lab", "/lab/src")
        assert seen["env"] == {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": "/lab/tmp/home",
            "TMPDIR": "/lab/tmp",
            "TIMELAB_SRC": "/lab/src",
            "TIMELAB_INPUT": "/lab/input",
            "TIMELAB_OUTPUT": "/lab/output",
            "TIMELAB_TMP": "/lab/tmp",
        }


def test_a_task_can_talk_to_itself_over_loopback(cell: Cell) -> None:
    if cell.backend is Backend.LANDLOCK:
        code = "import socket; socket.socketpair()"  # all that there is without a network namespace
    else:
        code = (
            "import socket\n"
            "listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen()\n"
            "socket.create_connection(listener.getsockname(), 5)\n"
        )
    assert cell.run(code).exit_code == 0


def test_tools_of_the_system_work_inside(cell: Cell) -> None:
    script = (
        b'#!/bin/sh\nset -e\ncp code.sh "$TIMELAB_OUTPUT/copy"\necho hi | sort >&2\ncat "$TIMELAB_INPUT/given.txt"\n'
    )
    ended = cell.run_argv(["./code.sh"], files={"code.sh": script})
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "given", "hi\n")
    assert ended.files == {"copy": (0o755, script)}


def test_a_command_that_is_not_there_says_so(cell: Cell) -> None:
    ended = cell.run_argv(["no-such-command"])
    assert (ended.exit_code, ended.lost) == (None, False)
    assert ended.start_error is not None and "not found" in ended.start_error


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_survives_the_one_who_asked(cell: Cell, how: signal.Signals) -> None:
    """Design 4: an interrupt ends the task; so does the death of timelab itself."""
    marker = f"orphan-{uuid.uuid4().hex}"
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(600)"
    with cell.room() as room:
        cell.prepare(room, [str(cell.python), "-I", "-S", "-c", code, marker], {}, {})
        driver = [sys.executable, "-m", "tests.sandboxes", str(room)]
        with subprocess.Popen(driver, cwd=ROOT, stderr=subprocess.DEVNULL) as asker:
            deadline = time.monotonic() + 30
            while len(processes_with(marker)) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert len(processes_with(marker)) >= 2
            asker.send_signal(how)
            asker.wait(30)
        assert wait_until_gone(marker) == []


def test_eight_tasks_at_once_do_not_meet(cell: Cell) -> None:
    found: list[str] = []
    code = "import os, sys; open(os.environ['TIMELAB_OUTPUT'] + '/mine', 'w').write(sys.argv[1])"

    def work(number: int) -> None:
        ended = cell.run(code, str(number))
        found.append(ended.files["mine"][1].decode())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [str(number) for number in range(8)]
