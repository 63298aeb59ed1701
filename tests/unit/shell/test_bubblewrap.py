from __future__ import annotations

from pathlib import Path

from timelab.shell.bubblewrap import make_argv

VIEW = {
    "binds": [("/usr", "/usr"), ("/host/src", "/lab/src")],
    "links": [("/lab/tmp", "/tmp")],
    "files": [("/etc/passwd", "root")],
    "rooms": [("/lab/tmp", 4096, 10)],
}


def words(**changes: bool) -> str:
    options = {"allow_net": False, "as_root": False, **changes}
    return " ".join(make_argv(Path("/usr/bin/bwrap"), VIEW, data_fds=[7], **options))  # type: ignore[arg-type]


def test_the_network_is_cut_unless_allowed() -> None:
    """A191."""
    assert "--unshare-net" in words()
    assert "--unshare-net" not in words(allow_net=True)


def test_an_ordinary_user_becomes_the_lab_user_in_a_namespace() -> None:
    assert "--unshare-user --uid 1000 --gid 1000" in words()
    assert "--unshare-user" not in words(as_root=True)


def test_everything_of_the_host_is_read_only() -> None:
    line = words()
    assert "--bind " not in line.replace("--ro-bind ", "")
    assert "--ro-bind /host/src /lab/src" in line
    assert "--perms 0444 --file 7 /etc/passwd" in line
    assert line.endswith("--remount-ro / --chdir /")
    assert "--perms 0755 --dir /lab --size 4096 --tmpfs /lab/tmp" in line
