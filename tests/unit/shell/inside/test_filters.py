"""The filter is run by a small interpreter of classic BPF, so that both machines are tested on either."""

from __future__ import annotations

import struct

import pytest

from timelab.shell.inside import filters

ALLOW, EPERM, EACCES, ENOSYS = 0x7FFF0000, 0x50001, 0x5000D, 0x50026
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def judge(program: bytes, number: int, argument: int = 0, arch: int = ARCH["x86_64"], second: int = 0) -> int:
    """Runs the program over one `struct seccomp_data`."""
    data = struct.pack("=iIQQQQQQQ", number, arch, 0, argument & (1 << 64) - 1, second, 0, 0, 0, 0)
    at, value = 0, 0
    while True:
        code, if_true, if_false, k = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, k)
        elif code == 0x06:
            return int(k)
        else:
            truth = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            at += if_true if truth else if_false


def make(machine: str = "x86_64", families: tuple[int, ...] = (1, 2), spared: tuple[int, ...] | None = None) -> bytes:
    return filters.make_program(machine, families=families, spared=spared)


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_only_named_families_open(machine: str, column: int) -> None:
    """A191: AF_VSOCK (40) knows no namespaces."""
    program, arch = make(machine), ARCH[machine]
    number = (41, 198)[column]
    assert [judge(program, number, family, arch) for family in (1, 2, 10, 16, 17, 40)] == [ALLOW, ALLOW, *[EACCES] * 4]
    assert judge(make(machine, ()), number, 2, arch) == EACCES
    assert judge(program, (53, 199)[column], 1, arch) == ALLOW  # socketpair


def test_foreign_tables_of_system_calls_are_refused() -> None:
    assert judge(make(), 41, 1, arch=0x40000003) == ENOSYS  # 32-bit
    assert judge(make(), 0x40000000 | 41, 40) == ENOSYS  # x32


@pytest.mark.parametrize("number", [425, 426, 427, 248, 249, 250, 321, 298, 323, 165, 304])
def test_doors_beside_the_walls_are_shut(number: int) -> None:
    assert judge(make(), number) == EPERM


def test_a_new_user_namespace_is_refused_and_threads_are_not() -> None:
    assert judge(make(), 56, 0x10000000 | 17) == EPERM
    assert judge(make(), 272, 0x10000000) == EPERM
    assert judge(make(), 56, 0x3D0F00) == ALLOW
    assert judge(make(), 435) == ENOSYS


def test_those_who_hold_the_task_get_no_signal() -> None:
    program = make(spared=(100, -100, -1))
    for number in (62, 200, 234, 129, 297):
        assert [judge(program, number, pid) for pid in (100, -100, -1, 101, 0)] == [EPERM] * 3 + [ALLOW] * 2
    assert [judge(program, 302, pid) for pid in (0, 100, 101)] == [ALLOW, EPERM, EPERM]
    assert judge(program, 434) == EPERM
    assert judge(make(), 62, -1) == ALLOW


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
@pytest.mark.parametrize("changes", [filters.REFUSED, filters.ASKED])
def test_files_are_changed_by_descriptor_or_by_asking(machine: str, column: int, changes: int) -> None:
    """A191: Landlock governs neither mode, times, owners nor attributes."""
    program = filters.make_program(machine, families=(), spared=(1,), changes=changes)
    plain, arch = make(machine, spared=(1,)), ARCH[machine]
    by_path = ([90, 268, 452, 132, 235, 261], [53, 452])[column]
    assert {judge(program, number, 7, arch) for number in by_path} == {changes}
    times = (280, 88)[column]
    assert [judge(program, times, 7, arch, at) for at in (0, 1, 1 << 32)] == [ALLOW, changes, changes]
    assert {judge(program, number, 7, arch) for number in ([92, 93, 94, 260], [54, 55])[column]} == {EPERM}
    attributes = ([188, 189, 190, 197, 198, 199], [5, 6, 7, 14, 15, 16])[column]
    assert {judge(program, number, 7, arch) for number in attributes} == {0x5005F}
    assert judge(program, (91, 52)[column], 7, arch) == ALLOW  # fchmod
    assert {judge(plain, number, 7, arch) for number in (*by_path, *attributes)} == {ALLOW}


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_system_v_objects_are_shut_by_number_too(machine: str, column: int) -> None:
    """A191: an id is enough to attach, read and remove."""
    calls = ([29, 30, 31, 67, 64, 65, 66, 220, 68, 69, 70, 71], range(186, 198))[column]
    assert {judge(make(machine, spared=(1,)), number, 0, ARCH[machine]) for number in calls} == {EPERM}
    assert {judge(make(machine), number, 0, ARCH[machine]) for number in calls} == {ALLOW}


def test_every_jump_stays_inside() -> None:
    program = filters.make_program("x86_64", families=(1,), spared=tuple(range(1, 6)), changes=filters.ASKED)
    assert len(program) % 8 == 0
    for number in range(460):
        judge(program, number, 7)
