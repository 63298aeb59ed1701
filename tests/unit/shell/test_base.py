from __future__ import annotations

from timelab.shell.base import Shell
from timelab.shell.host import HostShell
from timelab.shell.uv import UvShell


def test_each_shell_keeps_the_protocol() -> None:
    shells: tuple[Shell, ...] = (UvShell(), HostShell())
    assert [shell.kind for shell in shells] == ["uv", "host"]
