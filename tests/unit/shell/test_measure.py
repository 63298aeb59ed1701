from __future__ import annotations

from pathlib import Path

from timelab.shell.measure import SYSTEM_PATH, libc_version, measure_tools, nix_system


def test_tools_are_asked_inside_the_sandbox(tmp_path: Path) -> None:
    """A61: a program of the folder is asked, and what it does stays inside."""
    tool = tmp_path / "bin/jq"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran 2>/dev/null\necho jq-7.8.9\n")
    tool.chmod(0o755)
    (tmp_path / "bin/just").write_text("#!/bin/sh\necho none\n")
    (tmp_path / "bin/just").chmod(0o755)
    tools = measure_tools([tmp_path / "bin", *SYSTEM_PATH], {}, (tmp_path / "bin",))
    assert tools["jq"] == "7.8.9"
    assert tools["just"] == "unknown"
    assert tools["libc"] == libc_version()
    assert not (tmp_path / "ran").exists()


def test_the_system_is_named_as_nix_names_it() -> None:
    assert nix_system().split("-")[1] in ("linux", "darwin")
