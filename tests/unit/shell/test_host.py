from __future__ import annotations

import json
from pathlib import Path

import pytest

from timelab.shell.base import ShellRequest
from timelab.shell.host import HostShell, has_pins


def ask(cache: Path, *paths: str, profile: str = "default", names_pins: bool = False) -> ShellRequest:
    return ShellRequest(profile=profile, read=lambda path: None, paths=paths, cache=cache, names_pins=names_pins)


@pytest.mark.parametrize(
    ("paths", "pinned"),
    [
        ((), False),
        (("env/x/uv.lock", "env/x/pyproject.toml"), True),
        (("flake.nix", "flake.lock"), True),
        (("flake.nix",), False),
        (("pyproject.toml", "uv.lock"), True),
        (("uv.lock",), False),
        (("env/deep/er/uv.lock",), False),
    ],
)
def test_the_host_serves_where_nothing_is_pinned(tmp_path: Path, paths: tuple[str, ...], pinned: bool) -> None:
    """A13: a repository with pins never falls to the host in silence."""
    assert has_pins(paths) is pinned
    assert HostShell().has_profile(ask(tmp_path, *paths)) is not pinned


def test_the_host_does_not_serve_beside_a_pin_that_the_configuration_names(tmp_path: Path) -> None:
    """A13: wherever it lies, and whatever profile it is for."""
    assert not HostShell().has_profile(ask(tmp_path, "pins/a/uv.lock", "timelab.toml", names_pins=True))
    assert HostShell().has_profile(ask(tmp_path, "pins/a/uv.lock", profile="host", names_pins=True))


def test_the_host_serves_when_the_spec_says_so(tmp_path: Path) -> None:
    assert HostShell().has_profile(ask(tmp_path, "flake.nix", "flake.lock", profile="host"))


def test_versions_are_measured_and_kept(tmp_path: Path) -> None:
    """A61: not written down by hand; measured anew when a program changes."""
    request = ask(tmp_path)
    session = HostShell().enter(request)
    assert not session.record.pinned
    assert session.record.lock_sha256 is None
    assert session.environment.tools["git"][0].isdigit()
    assert HostShell().enter(request) == session
    kept = tmp_path / "shells/host.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "tools": {"git": "0.0", "libc": "x"}}))
    other = HostShell().enter(request)
    assert other.record.fingerprint != session.record.fingerprint
    kept.write_text("broken")
    assert HostShell().enter(request) == session
