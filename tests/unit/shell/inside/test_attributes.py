"""Every call that changes mode or times arrives, in all its forms, and for nobody's files but the task's."""

from __future__ import annotations

import os
import platform

import pytest

from tests.sandboxes import Cell, require
from timelab.shell.sandbox import Backend

_FORMS = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    return 0 if libc.syscall(number, *arguments) == 0 else ctypes.get_errno()
os.chdir(os.environ["TIMELAB_TMP"])
open("own", "w").close()
fd = os.open(".", os.O_RDONLY)
own = os.open("own", os.O_RDONLY)
foreign = sys.argv[1].encode()
pair, micros, nanos = struct.pack("=2q", 11, 12), struct.pack("=4q", 21, 5, 22, 6), struct.pack("=4q", 31, 7, 32, 8)
here = -100
for path in (b"own", foreign):
    print(call(132, path, pair), call(235, path, micros), call(261, here, path, micros),
          call(280, here, path, nanos, 0), call(90, path, 0o604), call(268, fd, path, 0o640),
          call(452, fd, path, 0o600, 0), call(132, path, None))
    if path == b"own":
        print(call(132, path, pair), os.stat("own").st_mtime_ns, call(235, path, micros), os.stat("own").st_mtime_ns)
print(call(452, own, b"", 0o400, 0x1000), call(280, own, None, nanos, 0), call(280, own, b"", nanos, 0x1000))
print(oct(os.stat("own").st_mode)[-3:], os.stat("own").st_mtime_ns)
print(call(452, fd, b"own", 0o777, 0x40), call(90, 8, 0o777), call(90, b"x" * 5000, 0o777), call(90, b"", 0o777))
import mmap
page = mmap.mmap(-1, 8192)
page[4088:4096] = b"x" * 8
edge = ctypes.addressof(ctypes.c_char.from_buffer(page)) + 4096
libc.munmap(ctypes.c_void_p(edge), 4096)
print(call(280, -100, b"own", ctypes.c_void_p(edge - 8), 0), call(90, ctypes.c_void_p(edge - 2), 0o700))
print(call(235, b"own", struct.pack("=4q", 1, 10**6, 1, 0)))
"""
_MANY = """
import os
os.chdir(os.environ["TIMELAB_TMP"])
for number in range(8):
    if os.fork() == 0:
        name = str(number)
        open(name, "w").close()
        for turn in range(50):
            os.chmod(name, 0o600 + turn % 8)
            os.utime(name, (turn, turn))
        os._exit(0 if os.stat(name).st_mtime == 49 and os.stat(name).st_mode & 0o777 == 0o601 else 1)
print(sum(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(8)))
"""


@pytest.fixture
def cell() -> Cell:
    found = Cell(Backend.LANDLOCK, ordinary=os.geteuid() == 0)
    require(found)
    return found


def test_every_form_of_the_calls_is_understood(cell: Cell) -> None:
    """A191: also those that only old programs make."""
    if platform.machine() != "x86_64":
        pytest.skip("needs x86_64: the numbers in this test are its own")
    with cell.room() as room:
        (room / "key").write_text("PRIVATE")
        os.utime(room / "key", (1, 1))
        if os.geteuid() == 0:
            for path in (room, room / "key"):
                os.chown(path, 54_321, 54_321)
        ended = cell.run(_FORMS, str(room / "key"))
        assert (room / "key").stat().st_mtime == 1
    assert ended.stdout.splitlines() == [
        "0 0 0 0 0 0 0 0",
        "0 12000000000 0 22000006000",
        "1 1 1 1 1 1 1 1",
        "0 0 0",
        "400 32000000008",
        "22 14 36 2",
        "14 14",
        "22",
    ], ended


def test_many_processes_are_answered_at_once(cell: Cell) -> None:
    ended = cell.run(_MANY)
    assert (ended.exit_code, ended.stdout, ended.left_over) == (0, "0\n", 0), ended
