"""How `./lab` gets uv on a machine that has none: by the hashes of uv.lock, from wherever the user's packages come."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bring_uv() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bring_uv", ROOT / ".ci/bring_uv.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("uv-0.13.8.data/scripts/uv", "#!/bin/sh\necho 'uv 0.13.8'\n")
        archive.writestr("uv-0.13.8.dist-info/METADATA", "Name: uv\n")
        archive.writestr("../outside", "no")
    return data.getvalue()


@pytest.fixture
def index(wheel: bytes) -> Iterator[str]:
    """Returns the address of a package index on loopback that serves one wheel and wants a password."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != "Basic YWRhOnNlY3JldA==":
                self.send_response(401)
                self.end_headers()
                return
            page = b'<a href="../../files/uv-0.13.8-py3-none-any.whl#sha256=x">uv</a>'
            self.send_response(200)
            self.end_headers()
            self.wfile.write(wheel if self.path.endswith(".whl") else page)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://ada:secret@127.0.0.1:{server.server_port}/simple"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("filename", "system", "machine", "libc", "fits"),
    [
        ("uv-1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "Linux", "x86_64", "glibc 2.36", True),
        ("uv-1-py3-none-manylinux_2_28_aarch64.whl", "Linux", "aarch64", "glibc 2.17", False),
        ("uv-1-py3-none-manylinux_2_28_aarch64.whl", "Linux", "aarch64", "glibc 2.28", True),
        ("uv-1-py3-none-musllinux_1_1_x86_64.whl", "Linux", "x86_64", "", True),
        ("uv-1-py3-none-musllinux_1_1_x86_64.whl", "Linux", "x86_64", "glibc 2.36", False),
        ("uv-1-py3-none-macosx_11_0_arm64.whl", "Darwin", "arm64", "", True),
        ("uv-1-py3-none-macosx_10_12_x86_64.whl", "Darwin", "arm64", "", False),
    ],
)
def test_a_wheel_is_chosen_by_system(
    bring_uv: ModuleType, *, filename: str, system: str, machine: str, libc: str, fits: bool
) -> None:
    assert bring_uv.suits(filename, system=system, machine=machine, libc=libc) is fits


def test_the_lock_names_uv_for_every_usual_system(bring_uv: ModuleType) -> None:
    _version, wheels = bring_uv.locked_wheels(ROOT / "uv.lock")
    for system, machine, libc in [
        ("Linux", "x86_64", "glibc 2.31"),
        ("Linux", "aarch64", "glibc 2.31"),
        ("Linux", "x86_64", ""),
        ("Darwin", "arm64", ""),
        ("Darwin", "x86_64", ""),
    ]:
        assert any(bring_uv.suits(each.filename, system=system, machine=machine, libc=libc) for each in wheels)


def test_a_wheel_comes_from_the_users_index(
    bring_uv: ModuleType, wheel: bytes, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    wanted = bring_uv.Wheel("uv-0.13.8-py3-none-any.whl", "https://unused.invalid/", hashlib.sha256(wheel).hexdigest())
    bring_uv.by_hand(wanted, tmp_path / "uv")
    assert [path.name for path in (tmp_path / "uv/bin").iterdir()] == ["uv"]
    assert not (tmp_path / "outside").exists()


def test_another_file_than_the_locked_one_is_refused(
    bring_uv: ModuleType, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    wanted = bring_uv.Wheel("uv-0.13.8-py3-none-any.whl", "https://unused.invalid/", "0" * 64)
    with pytest.raises(SystemExit, match="sha256 differs"):
        bring_uv.by_hand(wanted, tmp_path / "uv")
    assert not (tmp_path / "uv").exists()


def test_an_index_out_of_reach_is_told_with_what_to_set(
    bring_uv: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://ada:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(SystemExit, match="HTTPS_PROXY") as caught:
        bring_uv.by_hand(bring_uv.Wheel("a.whl", "https://unused.invalid/", "0" * 64), tmp_path / "uv")
    assert "secret" not in str(caught.value)
