from __future__ import annotations

from pathlib import Path

from timelab.shell.inside import landlock
from timelab.shell.sandbox import Limits, Task
from timelab.shell.view import OUTPUT, SOURCE, make_rules, make_view


def make_task(**changes: object) -> Task:
    base = Path("/work")
    values: dict[str, object] = {
        "argv": ("true",),
        "env": {},
        "source": base / "src",
        "input": base / "input",
        "output": base / "output",
        "stdout": base / "o",
        "stderr": base / "e",
    }
    return Task(**{**values, **changes})  # type: ignore[arg-type]


def test_the_view_holds_no_home_no_tmp_no_run() -> None:
    """A191: only the system's programs, the task's own folders and what the shell needs."""
    view = make_view(make_task())
    shown = {target for _, target in view["binds"]}
    assert {"/usr", SOURCE} <= shown
    for hidden in (
        "/",
        "/home",
        "/root",
        "/run",
        "/tmp",
        "/var",
        "/etc",
        "/etc/shadow",
        "/etc/passwd",
        "/proc",
        "/sys",
    ):
        assert hidden not in shown
    assert ("/lab/tmp", "/tmp") in view["links"]


def test_parents_stand_before_what_is_below_them() -> None:
    view = make_view(make_task(read_only=(Path("/opt/a/b"), Path("/opt/a"), Path("/usr/lib/x"))))
    targets = [target for _, target in view["binds"]]
    assert "/opt/a" in targets
    assert "/opt/a/b" not in targets
    assert "/usr/lib/x" not in targets


def test_rooms_are_a_little_larger_than_the_limit() -> None:
    rooms = {target: (size, files) for target, size, files in make_view(make_task(limits=Limits()))["rooms"]}
    assert rooms[OUTPUT][0] > Limits().output_bytes
    assert rooms[OUTPUT][1] > Limits().max_files
    assert SOURCE in {target for target, _, _ in make_view(make_task(source=None))["rooms"]}


def test_names_are_resolved_by_the_host_only_with_the_network() -> None:
    offline = {target for target, _ in make_view(make_task())["files"]}
    online = {target for target, _ in make_view(make_task(allow_net=True))["files"]}
    assert "/etc/resolv.conf" not in offline
    assert {"/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group"} <= offline
    assert "/etc/passwd" in online


def test_rules_let_a_task_write_in_its_rooms_only(tmp_path: Path) -> None:
    rules = dict(make_rules(make_task(), tmp_path / "out", tmp_path / "tmp"))
    writable = {path for path, rights in rules.items() if rights & landlock.WRITE & ~landlock.READ}
    devices = {path for path in writable if path.startswith("/dev/")}
    assert writable - devices == {str(tmp_path / "out"), str(tmp_path / "tmp")}
    assert "/" not in rules
    assert "/etc/shadow" not in rules
